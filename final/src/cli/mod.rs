//! The words of the command line: docker's, wherever the meaning is the same. One file a command.

mod exec;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod load;
mod logs;
mod network;
mod options;
mod pause;
mod port;
mod ps;
mod rename;
mod rm;
mod rmi;
mod run;
mod start;
mod stats;
mod stop;
mod system;
mod update;
mod version;
mod wait;

use crate::engine::Engine;
use crate::report;
use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// A container engine that can be read: real images, faster to start than crun.
#[derive(Debug, Parser)]
#[command(name = "tara", version, max_term_width = 100)]
pub struct Cli {
    /// Where images and containers are kept [default: /var/lib/tara, without root $XDG_DATA_HOME/tara].
    #[arg(long, value_name = "DIR", global = true, help_heading = "State directories")]
    root: Option<PathBuf>,
    /// Where the state of running containers is kept [default: /run/tara, without root $XDG_RUNTIME_DIR/tara].
    #[arg(long, value_name = "DIR", global = true, help_heading = "State directories")]
    run_root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Create(run::Create),
    Start(start::Start),
    Stop(stop::Stop),
    Restart(stop::Restart),
    Kill(kill::Kill),
    Wait(wait::Wait),
    Exec(exec::Exec),
    Pause(pause::Pause),
    Unpause(pause::Unpause),
    Update(update::Update),
    Stats(stats::Stats),
    Logs(logs::Logs),
    Rename(rename::Rename),
    Port(port::Port),
    Ps(ps::Ps),
    Rm(rm::Rm),
    Images(images::Images),
    Rmi(rmi::Rmi),
    Load(load::Load),
    Import(import::Import),
    Inspect(inspect::Inspect),
    Info(info::Info),
    Version(version::Version),
    #[command(subcommand)]
    Network(network::Network),
    /// Look after what the engine keeps.
    #[command(subcommand)]
    System(system::System),
    /// What stays with a detached container; the engine starts it itself.
    #[command(hide = true)]
    Monitor,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document a line, for programs.
    Json,
}

/// `tara` from its arguments to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.run() {
        Ok(code) => code.into(),
        Err(error) => {
            eprint!("{}", report::text(&error));
            cli.command.exit_code(&error).into()
        }
    }
}

impl Command {
    /// Only where the exit code is otherwise the program's own do errors of the engine need codes of their own, as docker's.
    fn exit_code(&self, error: &anyhow::Error) -> u8 {
        if matches!(self, Self::Run(_) | Self::Exec(_)) { report::exit_code(error) } else { 1 }
    }
}

/// docker's exit code for wrong usage is 125; help and version are no errors.
fn usage(error: &clap::Error) -> ExitCode {
    let _closed_early = error.print();
    if error.use_stderr() { ExitCode::from(125) } else { ExitCode::SUCCESS }
}

impl Cli {
    fn run(&self) -> Result<u8> {
        if let Command::Version(version) = &self.command {
            return version.run();
        }
        let (root, run) = (self.root.as_deref(), self.run_root.as_deref());
        if let Command::Exec(exec) = &self.command {
            return exec.run(&Engine::open_to_join(root, run)?);
        }
        if let Command::Run(asked) = &self.command
            && let Some(code) = asked.explain()
        {
            return code;
        }
        let engine = Engine::open(root, run)?;
        match &self.command {
            Command::Run(run) => run.run(&engine),
            Command::Create(create) => create.run(&engine),
            Command::Start(start) => start.run(&engine),
            Command::Stop(stop) => stop.run(&engine),
            Command::Restart(restart) => restart.run(&engine),
            Command::Kill(kill) => kill.run(&engine),
            Command::Wait(wait) => wait.run(&engine),
            Command::Exec(exec) => exec.run(&engine),
            Command::Pause(pause) => pause.run(&engine),
            Command::Unpause(unpause) => unpause.run(&engine),
            Command::Update(update) => update.run(&engine),
            Command::Stats(stats) => stats.run(&engine),
            Command::Logs(logs) => logs.run(&engine),
            Command::Rename(rename) => rename.run(&engine),
            Command::Monitor => crate::monitor::main(&engine),
            Command::Port(port) => port.run(&engine),
            Command::Network(network) => network.run(&engine),
            Command::Ps(ps) => ps.run(&engine),
            Command::Rm(rm) => rm.run(&engine),
            Command::Images(images) => images.run(&engine),
            Command::Rmi(rmi) => rmi.run(&engine),
            Command::Load(load) => load.run(&engine),
            Command::Import(import) => import.run(&engine),
            Command::Inspect(inspect) => inspect.run(&engine),
            Command::Info(info) => info.run(&engine),
            Command::System(system) => system.run(&engine),
            Command::Version(version) => version.run(),
        }
    }
}

/// Does `action` for each of `targets`; what succeeded is printed, what failed is reported, and one failure makes the exit code.
fn each(targets: &[String], mut action: impl FnMut(&str) -> Result<String>) -> u8 {
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
fn each_with_code(
    targets: &[String],
    mut action: impl FnMut(&str) -> Result<Result<(), crate::monitor::Failed>>,
) -> u8 {
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

/// Prints to standard output; a reader that has gone away (`| head`) is no error.
fn print(text: &str) {
    use std::io::Write;
    let _reader_is_gone = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
