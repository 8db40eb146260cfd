//! The process: its terminal, environment, directory and user.

use crate::report::Refusal;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

/// What the program finds when it starts.
#[derive(Debug, Args)]
pub(crate) struct ProcessOptions {
    /// Keep standard input open.
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set an environment variable; NAME alone takes the caller's value.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file, one a line.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// The working directory inside.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The user: name or number, with a group after a colon.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
}

impl ProcessOptions {
    /// Refuses a terminal whose input would be a file or a pipe.
    pub(crate) fn check_terminal(&self) -> Result<()> {
        if self.tty && self.interactive && !stdin().is_terminal() {
            let refusal = Refusal::new("the input device is not a terminal");
            return Err(refusal.help("leave out `-t` when standard input is a file or a pipe").code(1).into());
        }
        Ok(())
    }

    /// The variables of files, one a line, and of `-e`.
    pub(crate) fn environment(&self) -> Result<Vec<String>> {
        environment(&self.env_file, &self.env)
    }

    pub(crate) fn workdir(&self) -> Result<Option<String>> {
        match &self.workdir {
            Some(path) if !path.starts_with('/') => {
                Err(Refusal::new(format!("the working directory `{path}` is not an absolute path")).into())
            }
            path => Ok(path.clone()),
        }
    }
}

fn environment(files: &[PathBuf], given: &[String]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read the env file `{}`", file.display()))?;
        let entries = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.extend(entries.map(str::to_owned));
    }
    lines.extend(given.iter().cloned());
    lines.into_iter().filter_map(|entry| variable(entry).transpose()).collect()
}

/// `NAME` alone takes the caller's value, and nothing when the caller has none.
fn variable(entry: String) -> Result<Option<String>> {
    let (name, value) = entry.split_once('=').map_or((entry.as_str(), None), |(name, value)| (name, Some(value)));
    if name.is_empty() || name.contains(char::is_whitespace) {
        bail!(Refusal::new(format!("`{entry}` is no environment variable")).help("write NAME=VALUE"));
    }
    match value {
        Some(_) => Ok(Some(entry)),
        None => Ok(std::env::var(name).ok().map(|value| format!("{name}={value}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_needs_a_name() {
        assert_eq!(variable("A=b=c".to_owned()).unwrap(), Some("A=b=c".to_owned()));
        assert_eq!(variable("SURELY_NOT_SET_ANYWHERE".to_owned()).unwrap(), None);
        assert!(variable("=x".to_owned()).is_err() && variable("a b=x".to_owned()).is_err());
    }
}
