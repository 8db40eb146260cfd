//! `list`.

use super::state::Folder;
use crate::cli::print;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use tabwriter::TabWriter;

/// List the containers.
#[derive(Debug, Args)]
pub(super) struct List {
    /// How to write it.
    #[arg(short, long, default_value = "table")]
    format: Format,
    /// The ids only.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

impl List {
    pub(super) fn run(&self, root: &Path) -> Result<u8> {
        let mut folders = Folder::all(root)?;
        folders.sort_by(|one, other| one.id.cmp(&other.id));
        let all: Vec<Value> =
            folders.iter().filter_map(|folder| folder.saved().map(|saved| folder.document(&saved))).collect();
        match self.format {
            _ if self.quiet => folders.iter().for_each(|folder| print(&format!("{}\n", folder.id))),
            Format::Json => print(&format!("{}\n", Value::Array(all))),
            Format::Table => print(&table(&all)?),
        }
        Ok(0)
    }
}

fn table(all: &[Value]) -> Result<String> {
    let mut columns = TabWriter::new(Vec::new()).padding(3).minwidth(12);
    writeln!(columns, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")?;
    let text = |document: &Value, field: &str| document[field].as_str().unwrap_or_default().to_owned();
    for one in all {
        let words = ["status", "bundle", "created", "owner"].map(|field| text(one, field)).join("\t");
        writeln!(columns, "{}\t{}\t{words}", text(one, "id"), one["pid"])?;
    }
    Ok(String::from_utf8_lossy(&columns.into_inner()?).into_owned())
}
