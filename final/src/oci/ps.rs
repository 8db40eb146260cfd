//! `ps`.

use super::pause::share;
use super::state::Folder;
use crate::cli::print;
use crate::report::Refusal;
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// List the processes of a container.
#[derive(Debug, Args)]
pub(super) struct Ps {
    /// How to write it: the table of ps(1), or their numbers.
    #[arg(short, long, default_value = "table")]
    format: Format,
    /// The container.
    id: String,
    /// Options for ps(1) [default: -ef].
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

impl Ps {
    pub(super) fn run(&self, root: &Path) -> Result<u8> {
        let pids = share(&Folder::find(root, &self.id)?.read()?)?.processes()?;
        match self.format {
            Format::Json => print(&format!("{}\n", json!(pids))),
            Format::Table => print(&table(&self.options, &pids)?),
        }
        Ok(0)
    }
}

/// The lines of ps(1) that are about `pids`: what its columns mean, its users know.
fn table(options: &[String], pids: &[i32]) -> Result<String> {
    let options = if options.is_empty() { &["-ef".to_owned()][..] } else { options };
    let output = Command::new("ps").args(options).output().context("run `ps`")?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), Refusal::new(format!("ps: {complaint}")).code(1));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_ascii_whitespace().position(|word| word == "PID").context("ps shows no column `PID`")?;
    let is_ours = |line: &&str| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Ok([header].into_iter().chain(lines.filter(is_ours)).map(|line| format!("{line}\n")).collect())
}
