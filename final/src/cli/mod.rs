//! The words of the command line: docker's, wherever the meaning is the same. One file a command.

mod attach;
mod build;
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

use crate::engine::{Engine, Finished};
use crate::report;
use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
pub(crate) use lazily::{Lazily, parse};
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

#[derive(Debug, Subcommand)]
enum Command {
    Run(Lazily<run::Run>),
    Create(Lazily<run::Create>),
    Start(Lazily<start::Start>),
    Stop(Lazily<stop::Stop>),
    Restart(Lazily<stop::Restart>),
    Kill(Lazily<kill::Kill>),
    Wait(Lazily<wait::Wait>),
    Attach(Lazily<attach::Attach>),
    Exec(Lazily<exec::Exec>),
    Pause(Lazily<pause::Pause>),
    Unpause(Lazily<pause::Unpause>),
    Update(Lazily<update::Update>),
    Stats(Lazily<stats::Stats>),
    Logs(Lazily<logs::Logs>),
    Rename(Lazily<rename::Rename>),
    Port(Lazily<port::Port>),
    Events(Lazily<events::Events>),
    Top(Lazily<top::Top>),
    Cp(Lazily<cp::Cp>),
    Diff(Lazily<diff::Diff>),
    Export(Lazily<export::Export>),
    Commit(Lazily<commit::Commit>),
    Ps(Lazily<ps::Ps>),
    Rm(Lazily<rm::Rm>),
    Images(Lazily<images::Images>),
    Rmi(Lazily<rmi::Rmi>),
    Build(Lazily<build::Build>),
    Pull(Lazily<pull::Pull>),
    Push(Lazily<push::Push>),
    Login(Lazily<login::Login>),
    Logout(Lazily<login::Logout>),
    Tag(Lazily<tag::Tag>),
    History(Lazily<history::History>),
    Save(Lazily<save::Save>),
    Search(Lazily<search::Search>),
    /// Look at manifests of a registry.
    #[command(subcommand)]
    Manifest(Lazily<manifest::Manifest>),
    /// This machine's images as a registry.
    #[command(subcommand)]
    Registry(Lazily<registry::Registry>),
    Load(Lazily<load::Load>),
    Import(Lazily<import::Import>),
    Inspect(Lazily<inspect::Inspect>),
    Info(Lazily<info::Info>),
    Version(Lazily<version::Version>),
    #[command(subcommand)]
    Network(Lazily<network::Network>),
    /// Look after containers.
    #[command(subcommand)]
    Container(Lazily<groups::Container>),
    /// Look after images.
    #[command(subcommand)]
    Image(Lazily<groups::Image>),
    /// Look after volumes: directories that outlive containers.
    #[command(subcommand)]
    Volume(Lazily<volume::Volume>),
    /// Look after what the engine keeps.
    #[command(subcommand)]
    System(Lazily<system::System>),
    Completion(Lazily<shell::Completion>),
    #[command(hide = true)]
    Man(Lazily<shell::Man>),
    /// What stays with a detached container; the engine starts it itself.
    #[command(hide = true)]
    Monitor,
    /// A RUN of a build; the build starts it itself.
    #[command(hide = true)]
    BuildStep,
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
    match cli.run() {
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

impl Command {
    /// Only where the exit code is otherwise the program's own do errors of the engine need codes of their own, as docker's.
    fn exit_code(&self, error: &anyhow::Error) -> u8 {
        let programs_own = match self {
            Self::Run(_) | Self::Exec(_) | Self::Attach(_) | Self::BuildStep => true,
            Self::Container(command) => command.runs_a_program(),
            _ => false,
        };
        if programs_own { report::exit_code(error) } else { 1 }
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

impl Cli {
    fn run(&self) -> Result<Finished> {
        let (root, run) = (self.directories.root.as_deref(), self.directories.run_root.as_deref());
        match &self.command {
            Command::Run(asked) => match asked.explain() {
                Some(code) => code.map(Finished::from),
                None => asked.run(&Engine::open(root, run)?),
            },
            Command::BuildStep => crate::build::step_main(&Engine::open(root, run)?),
            Command::Container(command) if command.exec().is_none() => command.run(&Engine::open(root, run)?),
            _ => self.run_other().map(Finished::from),
        }
    }

    fn run_other(&self) -> Result<u8> {
        match &self.command {
            Command::Version(version) => return version.run(),
            Command::Completion(completion) => return completion.run(),
            Command::Man(man) => return man.run(),
            _ => {}
        }
        // No store, and no user namespace: these speak to registries only.
        match &self.command {
            Command::Login(login) => return login.run(),
            Command::Logout(logout) => return logout.run(),
            Command::Search(search) => return search.run(),
            Command::Manifest(manifest) => return manifest.run(),
            _ => {}
        }
        let (root, run) = (self.directories.root.as_deref(), self.directories.run_root.as_deref());
        let exec = match &self.command {
            Command::Exec(exec) => Some(&**exec),
            Command::Container(command) => command.exec(),
            _ => None,
        };
        if let Some(exec) = exec {
            return exec.run(&Engine::open_to_join(root, run)?);
        }
        if matches!(self.command, Command::Monitor) {
            return crate::monitor::main(Engine::open(root, run));
        }
        let engine = Engine::open(root, run)?;
        match &self.command {
            Command::Create(create) => create.run(&engine),
            Command::Start(start) => start.run(&engine),
            Command::Stop(stop) => stop.run(&engine),
            Command::Restart(restart) => restart.run(&engine),
            Command::Kill(kill) => kill.run(&engine),
            Command::Wait(wait) => wait.run(&engine),
            Command::Attach(attach) => attach.run(&engine),
            Command::Events(events) => events.run(&engine),
            Command::Exec(exec) => exec.run(&engine),
            Command::Pause(pause) => pause.run(&engine),
            Command::Unpause(unpause) => unpause.run(&engine),
            Command::Update(update) => update.run(&engine),
            Command::Stats(stats) => stats.run(&engine),
            Command::Logs(logs) => logs.run(&engine),
            Command::Rename(rename) => rename.run(&engine),
            Command::Run(_) | Command::Container(_) | Command::BuildStep | Command::Monitor => Ok(0),
            Command::Port(port) => port.run(&engine),
            Command::Network(network) => network.run(&engine),
            Command::Top(top) => top.run(&engine),
            Command::Cp(cp) => cp.run(&engine),
            Command::Diff(diff) => diff.run(&engine),
            Command::Export(export) => export.run(&engine),
            Command::Commit(commit) => commit.run(&engine),
            Command::Ps(ps) => ps.run(&engine),
            Command::Rm(rm) => rm.run(&engine),
            Command::Images(images) => images.run(&engine),
            Command::Rmi(rmi) => rmi.run(&engine),
            Command::Pull(pull) => pull.run(&engine),
            Command::Push(push) => push.run(&engine),
            Command::Login(login) => login.run(),
            Command::Logout(logout) => logout.run(),
            Command::Tag(tag) => tag.run(&engine),
            Command::History(history) => history.run(&engine),
            Command::Save(save) => save.run(&engine),
            Command::Search(search) => search.run(),
            Command::Manifest(manifest) => manifest.run(),
            Command::Registry(registry) => registry.run(&engine),
            Command::Build(build) => build.run(&engine),
            Command::Load(load) => load.run(&engine),
            Command::Import(import) => import.run(&engine),
            Command::Inspect(inspect) => inspect.run(&engine),
            Command::Info(info) => info.run(&engine),
            Command::Image(command) => command.run(&engine),
            Command::Completion(completion) => completion.run(),
            Command::Man(man) => man.run(),
            Command::Volume(volume) => volume.run(&engine),
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

/// Asks before something is removed, as docker does, unless that was said already. Nobody there to answer means no.
fn confirmed(force: bool, warning: &str) -> Result<bool> {
    if force {
        return Ok(true);
    }
    print(&format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "));
    std::io::Write::flush(&mut std::io::stdout())?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Prints to standard output; a reader that has gone away (`| head`) is no error.
pub(crate) fn print(text: &str) {
    use std::io::Write;
    let _reader_is_gone = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        definition().debug_assert();
    }
}
