//! Another program in a container that runs: joined by its pidfd, in one setns.
//!
//! The process that joins is this short-lived one, never a long-lived engine: a process whose children are in a PID
//! namespace cannot fork any more once that namespace's PID 1 is dead (ENOMEM).

mod child;
mod newcomer;
mod target;

pub(crate) use newcomer::Newcomer;
pub(crate) use target::Target;

use crate::attach::DetachKeys;
use crate::container::{Container, Record, Status};
use crate::engine::Engine;
use crate::events::Notes;
use crate::launch::{Console, Keeper, Leaving, capabilities_of_exec, user_of};
use crate::lifecycle::{is_paused, not_running, not_up};
use anyhow::{Context, Result};
use nix::unistd::Pid;
use oci_spec::runtime::{Process, Spec};
use std::os::fd::{BorrowedFd, OwnedFd};
use step02_pid_ns::{ForwardedSignals, supervise};
use step06_capabilities::User;
use sys::process::exit_code;

/// What is to run in a container.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// The container.
    pub container: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables on top of the container's, `NAME=value`.
    pub env: Vec<String>,
    /// Its working directory, in place of the container's.
    pub workdir: Option<String>,
    /// `USER[:GROUP]`, in place of the container's.
    pub user: Option<String>,
    /// Whether standard input is passed on.
    pub interactive: bool,
    /// Whether the program gets a terminal.
    pub terminal: bool,
    /// Whether it gets all capabilities.
    pub privileged: bool,
    /// Whether it runs on by itself, without input and output.
    pub detached: bool,
    /// The keys by which whoever sits at its terminal leaves it, running.
    pub keys: DetachKeys,
}

impl Engine {
    /// Runs a program in a running container and returns its exit code.
    ///
    /// # Errors
    /// What keeps it from running; execve's refusal is [`step01_chroot::Error`].
    pub fn exec(&self, request: &ExecRequest) -> Result<u8> {
        let Container { record, status, .. } = Container::find(self.dirs(), &request.container)?;
        let Status::Running(state) = status else { return Err(not_up(&request.container, &status)) };
        if state.paused {
            return Err(is_paused(&request.container));
        }
        let signals = ForwardedSignals::block()?;
        let target = Target::open(Pid::from_raw(state.host_pid), state.start_time, self.privilege().has_many_users)?;
        let target = target.ok_or_else(|| not_running(&request.container))?;
        let process = process(request, &record.spec, target.root())?;
        let master = request.terminal.then(|| target.open_terminal()).transpose()?;
        let ours = master.as_ref().map(OwnedFd::try_clone).transpose().context("duplicate the terminal's master")?;
        let console = ours.map(|master| Console::of(master, request.interactive)).transpose()?;
        let console = console.map(|console| console.left_by(request.keys.clone()));
        // Before we join: a child that is made afterwards is in the container.
        let can_be_left = request.terminal && request.interactive;
        let keeper = master.as_ref().filter(|_| can_be_left).map(Keeper::prepare).transpose()?;
        let line = format!(": {}", request.command.join(" "));
        let begun = Notes::default().and(&record, &format!("exec_create{line}"), &[]);
        begun.and(&record, &format!("exec_start{line}"), &[]).write(self.dirs());
        let newcomer = Newcomer {
            spec: &record.spec,
            process: &process,
            master: master.as_ref(),
            interactive: request.interactive,
            silent: request.detached,
            // One that is detached becomes the child of the container's PID 1 when this process ends, and is reaped there.
            // One that may be left behind ends with its terminal instead.
            attended: !request.detached && !can_be_left,
            extra_descriptors: 0,
            gives_stdio: false,
        };
        let running = newcomer.join(&target)?;
        if request.detached {
            return Ok(0);
        }
        let status = match console.map(|console| console.relay_or_leave(&running, &signals)).transpose()? {
            Some(Leaving::Ended(status)) => status,
            Some(Leaving::Detached) => return self.leave(keeper, &record),
            None => supervise(&running, &signals)?,
        };
        let code = exit_code(status).context("the program did not end")?;
        Notes::default().and(&record, "exec_die", &[("exitCode", code.to_string())]).write(self.dirs());
        Ok(code)
    }

    /// The program runs on without us, at the same terminal.
    fn leave(&self, keeper: Option<Keeper>, record: &Record) -> Result<u8> {
        keeper.map_or(Ok(()), Keeper::take_over)?;
        Notes::default().and(record, "exec_detach", &[]).write(self.dirs());
        eprintln!("\ndetached; the program runs on");
        Ok(0)
    }
}

/// The container's process with what the request changes.
fn process(request: &ExecRequest, spec: &Spec, root: BorrowedFd<'_>) -> Result<Process> {
    let mut process = spec.process().clone().context("the container's record has no process")?;
    let user = match &request.user {
        Some(user) => User::lookup(root, user)?,
        None => user_of(&process),
    };
    process.set_capabilities(Some(capabilities_of_exec(&process, &user, request.privileged)?));
    let mut numbers = process.user().clone();
    numbers.set_uid(user.uid.as_raw()).set_gid(user.gid.as_raw());
    numbers.set_additional_gids(Some(user.groups.iter().map(|gid| gid.as_raw()).collect()));
    process.set_user(numbers);
    if let Some(workdir) = &request.workdir {
        process.set_cwd(workdir.into());
    }
    process.set_env(Some(environment(request, process.env().clone().unwrap_or_default())));
    process.set_args(Some(request.command.clone()));
    Ok(process)
}

fn environment(request: &ExecRequest, mut env: Vec<String>) -> Vec<String> {
    for entry in &request.env {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
        env.retain(|other| other.split_once('=').is_none_or(|(other, _)| other != name));
        env.push(entry.clone());
    }
    if request.terminal && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    env
}
