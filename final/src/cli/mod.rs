//! The words of the command line: docker's, wherever the meaning is the same. One file a command.

mod attach;
mod build;
mod command;
mod commit;
mod cp;
mod df;
mod diff;
mod events;
mod exec;
mod export;
mod groups;
mod history;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod lazily;
mod load;
mod login;
mod logs;
mod manifest;
mod network;
mod options;
mod pause;
mod port;
mod progress;
mod prune;
mod ps;
mod pull;
mod push;
mod registry;
mod rename;
mod rm;
mod rmi;
mod run;
mod save;
mod say;
mod search;
mod shell;
mod start;
mod stats;
mod stop;
mod system;
mod tag;
mod top;
mod update;
mod version;
mod volume;
mod wait;

pub(crate) use lazily::{Lazily, parse};
pub(crate) use say::{Format, print};

use crate::engine::Finished;
use crate::report;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};
use command::Command;
use say::{confirmed, each, each_with_code};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A container engine that can be read: real images, faster to start than crun.
#[derive(Debug, Parser)]
#[command(name = "tara", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    directories: Directories,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Directories {
    /// Where images and containers are kept [default: /var/lib/tara, without root $XDG_DATA_HOME/tara].
    #[arg(long, value_name = "DIR", global = true, help_heading = "State directories")]
    root: Option<PathBuf>,
    /// Where the state of running containers is kept [default: /run/tara, without root $XDG_RUNTIME_DIR/tara].
    #[arg(long, value_name = "DIR", global = true, help_heading = "State directories")]
    run_root: Option<PathBuf>,
}

/// `tara` from its arguments to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // The callers of an OCI runtime start a link with its name.
    let called = arguments.first().and_then(|name| Path::new(name).file_name());
    match arguments.get(1) {
        _ if called.is_some_and(|name| name == "tara-oci") => return crate::oci::main(arguments),
        Some(word) if word == "oci" => return crate::oci::main(arguments.into_iter().skip(1)),
        _ => {}
    }
    let cli = match parse::<Cli, Directories, Command>("tara", &arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.command.run(cli.directories.root.as_deref(), cli.directories.run_root.as_deref()) {
        Ok(Finished { code, thrown: None }) => code.into(),
        Ok(Finished { code, thrown: Some(thrown) }) => {
            let _reader_is_gone = std::io::Write::flush(&mut std::io::stdout());
            thrown.leave(code)
        }
        Err(error) => {
            eprint!("{}", report::text(&error));
            cli.command.exit_code(&error).into()
        }
    }
}

/// The whole definition: for those who print it.
pub(crate) fn definition() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// docker's exit code for wrong usage is 125; help and version are no errors.
fn usage(error: &clap::Error) -> ExitCode {
    let wants_help =
        matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    // The list of commands says what each is for, and that is not defined yet.
    let whole = wants_help.then(|| definition().try_get_matches_from(std::env::args_os()).err()).flatten();
    let _closed_early = whole.as_ref().unwrap_or(error).print();
    if error.use_stderr() { ExitCode::from(125) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        definition().debug_assert();
    }
}
