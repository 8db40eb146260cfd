//! The command line that the callers use: runc's, which is the field's agreement.

use super::log::{Format, Log};
use super::state::{Folder, SPECIFICATION};
use super::{create, delete, events, exec, features, kill, list, pause, ps, run, spec, update};
use crate::cli::{Lazily, parse, print};
use crate::dirs::Dirs;
use crate::report::Refusal;
use anyhow::{Result, ensure};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// An OCI runtime: what Podman, containerd and Docker call to run a container.
#[derive(Debug, Parser)]
#[command(name = "tara-oci", disable_version_flag = true, arg_required_else_help = true, max_term_width = 100)]
struct Oci {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Global {
    /// Where the state of containers is kept [default: /run/tara/oci, without root $XDG_RUNTIME_DIR/tara/oci].
    #[arg(long, value_name = "DIR", global = true)]
    root: Option<PathBuf>,
    /// Write errors to this file too.
    #[arg(long, value_name = "FILE", global = true)]
    log: Option<PathBuf>,
    /// How the file of `--log` is written.
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    log_format: Format,
    /// Accepted; nothing more is said.
    #[arg(long, global = true, hide = true)]
    debug: bool,
    /// Let systemd make the cgroups: not supported.
    #[arg(long, global = true, hide = true)]
    systemd_cgroup: bool,
    /// Who makes the cgroups.
    #[arg(long, value_name = "NAME", global = true, default_value = "cgroupfs")]
    cgroup_manager: Manager,
    /// Accepted: whether we are root is seen, not told.
    #[arg(long, value_name = "BOOL", hide = true, num_args = 0..=1, require_equals = true)]
    rootless: Option<Option<String>>,
    /// Print the version, ours and the specification's.
    #[arg(short, long)]
    version: bool,
}

/// Who makes the cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Manager {
    /// We do, in the cgroup file systems.
    Cgroupfs,
    /// Nobody: no container gets one.
    Disabled,
    /// systemd: not supported.
    Systemd,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Lazily<create::Create>),
    Run(Lazily<run::Run>),
    /// Let the program of a created container run.
    Start {
        /// The container.
        id: String,
    },
    /// Print the state of a container.
    State {
        /// The container.
        id: String,
    },
    Kill(Lazily<kill::Kill>),
    Delete(Lazily<delete::Delete>),
    List(Lazily<list::List>),
    Exec(Box<Lazily<exec::Exec>>),
    Ps(Lazily<ps::Ps>),
    /// Stop all processes of a container, without any of them noticing.
    Pause {
        /// The container.
        id: String,
    },
    /// Let the processes of a paused container go on.
    Resume {
        /// The container.
        id: String,
    },
    Update(Box<Lazily<update::Update>>),
    Events(Lazily<events::Events>),
    Spec(Lazily<spec::Spec>),
    /// Print what this runtime supports, as JSON.
    Features,
}

/// `tara oci` from its arguments to its exit code; the first argument is the program's name.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let oci = match parse::<Oci, Global, Command>("tara-oci", &arguments) {
        Ok(oci) => oci,
        Err(error) => {
            // The list of commands says what each is for, and that is not defined yet.
            let whole = (!error.use_stderr()).then(|| whole().try_get_matches_from(arguments).err()).flatten();
            let _closed_early = whole.as_ref().unwrap_or(&error).print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let log = Log { file: oci.global.log.clone(), format: oci.global.log_format };
    match oci.run() {
        Ok(code) => code.into(),
        Err(error) => {
            log.error(&in_callers_words(error));
            // Of a process that did not come to be there is no exit code; runc's callers know this one.
            if matches!(oci.command, Some(Command::Exec(_))) { ExitCode::from(255) } else { ExitCode::FAILURE }
        }
    }
}

/// The definition with all its commands' options.
fn whole() -> clap::Command {
    let mut command = Oci::command();
    command.build();
    command
}

/// Docker, Podman and containerd look for these words, which are Go's, to tell 127 from 126 and from other failures.
fn in_callers_words(error: anyhow::Error) -> anyhow::Error {
    use step01_chroot::Error::{NoInterpreter, NotFound};
    let words = match error.downcast_ref() {
        Some(NotFound(name)) if !name.contains('/') => format!("exec: \"{name}\": executable file not found in $PATH"),
        Some(NotFound(path) | NoInterpreter(path)) => format!("exec: \"{path}\": no such file or directory"),
        _ => return error,
    };
    error.context(Refusal::new(words).code(1))
}

impl Oci {
    fn run(&self) -> Result<u8> {
        let Some(command) = &self.command else {
            return self.print_version();
        };
        let root = self.root()?;
        match command {
            Command::Create(create) => create.run(&root, self.no_cgroup()?),
            Command::Run(run) => run.run(&root, self.no_cgroup()?),
            Command::Start { id } => start(&root, id),
            Command::State { id } => state(&root, id),
            Command::Kill(kill) => kill.run(&root),
            Command::Delete(delete) => delete.run(&root),
            Command::List(list) => list.run(&root),
            Command::Exec(exec) => exec.run(&root),
            Command::Ps(ps) => ps.run(&root),
            Command::Pause { id } => pause::pause(&root, id),
            Command::Resume { id } => pause::resume(&root, id),
            Command::Update(update) => update.run(&root),
            Command::Events(events) => events.run(&root),
            Command::Spec(spec) => spec.run(),
            Command::Features => {
                print(&format!("{:#}\n", features::document()));
                Ok(0)
            }
        }
    }

    /// Whether containers get no cgroup. systemd's way of naming them would be taken for a path.
    fn no_cgroup(&self) -> Result<bool> {
        let systemd = self.global.systemd_cgroup || self.global.cgroup_manager == Manager::Systemd;
        let refusal = Refusal::new("cgroups made by systemd are not supported").code(1);
        ensure!(!systemd, refusal.help("set the caller's cgroup driver or manager to `cgroupfs`"));
        Ok(self.global.cgroup_manager == Manager::Disabled)
    }

    /// Docker and containerd read these lines.
    fn print_version(&self) -> Result<u8> {
        ensure!(self.global.version, Refusal::new("no command was given").help("`tara oci --help` lists them").code(1));
        print(&format!("tara-oci version {}\nspec: {SPECIFICATION}\n", env!("CARGO_PKG_VERSION")));
        Ok(0)
    }

    fn root(&self) -> Result<PathBuf> {
        match &self.global.root {
            Some(root) => Ok(std::path::absolute(root)?),
            None => Ok(Dirs::choose(None, None, nix::unistd::geteuid())?.run.join("oci")),
        }
    }
}

fn start(root: &Path, id: &str) -> Result<u8> {
    let folder = Folder::find(root, id)?;
    let saved = folder.read()?;
    super::start::start(&folder, &saved).map(|()| 0)
}

fn state(root: &Path, id: &str) -> Result<u8> {
    let folder = Folder::find(root, id)?;
    print(&format!("{:#}\n", folder.document(&folder.read()?)));
    Ok(0)
}
