//! What the commands say: results to standard output, questions, one line a target.

use crate::monitor::Failed;
use crate::report;
use anyhow::Result;
use clap::ValueEnum;
use std::io::{Write, stdin, stdout};

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document a line, for programs.
    Json,
}

/// Does `action` for each of `targets`; what succeeded is printed, what failed is reported, and one failure makes the exit code.
pub(super) fn each(targets: &[String], mut action: impl FnMut(&str) -> Result<String>) -> u8 {
    let mut code = 0;
    for target in targets {
        match action(target) {
            Ok(said) => print(&said),
            Err(error) => {
                eprint!("{}", report::text(&error));
                code = 1;
            }
        }
    }
    code
}

/// The same for what a monitor does: its reports are ready.
pub(super) fn each_with_code(targets: &[String], mut action: impl FnMut(&str) -> Result<Result<(), Failed>>) -> u8 {
    let mut code = 0;
    for target in targets {
        let report = match action(target) {
            Ok(Ok(())) => {
                print(&format!("{target}\n"));
                continue;
            }
            Ok(Err(failed)) => failed.report,
            Err(error) => report::text(&error),
        };
        eprint!("{report}");
        code = 1;
    }
    code
}

/// Asks before something is removed, as docker does, unless that was said already. Nobody there to answer means no.
pub(super) fn confirmed(force: bool, warning: &str) -> Result<bool> {
    if force {
        return Ok(true);
    }
    print(&format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "));
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Prints to standard output; a reader that has gone away (`| head`) is no error.
pub(crate) fn print(text: &str) {
    let _reader_is_gone = stdout().write_all(text.as_bytes());
}
