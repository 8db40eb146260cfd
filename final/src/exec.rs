//! Another program in a container that runs: joined by its pidfd, in one setns.
//!
//! The process that joins is this short-lived one, never a long-lived engine: a process whose children are in a PID
//! namespace cannot fork any more once that namespace's PID 1 is dead (ENOMEM).

use crate::cgroup;
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::events::Notes;
use crate::launch::{Console, limits, oom_score, privileges_of_exec};
use crate::lifecycle::{is_paused, not_running, not_up};
use crate::rootless::join;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_dumpable;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, chdir, geteuid, setsid};
use oci_spec::runtime::{Process, Spec};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use step01_chroot::{Error as ProgramError, Program};
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, die_with_parent, spawn, supervise};
use step05_cgroups::Cgroup;
use step06_capabilities::{Limits, Privileges, ProcSettings, User};
use sys::exec::Execute;
use sys::process::exit_code;
use sys::terminal::{make_controlling, open_peer};
use sys::{Failure, Whilst, fd};

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
}

/// Everything the child half uses.
struct Joining {
    pidfd: OwnedFd,
    namespaces: CloneFlags,
    terminal: Option<OwnedFd>,
    no_input: Option<OwnedFd>,
    /// Whether its output goes there too, and it runs on when we end.
    no_output: bool,
    workdir: CString,
    /// The container's share of the machine is its share too.
    cgroup: Option<Cgroup>,
    settings: ProcSettings,
    limits: Limits,
    privileges: Privileges,
    program: Program,
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
        let pid = Pid::from_raw(state.host_pid);
        let pidfd = sys::process::pidfd_open(pid).map_err(|_| not_running(&request.container))?;
        // Asked after the descriptor is open: from then on the number cannot become somebody else's.
        if sys::process::start_time(pid).ok() != Some(state.start_time) {
            return Err(not_running(&request.container));
        }
        let line = format!(": {}", request.command.join(" "));
        let begun = Notes::default().and(&record, &format!("exec_create{line}"), &[]);
        begun.and(&record, &format!("exec_start{line}"), &[]).write(self.dirs());
        let code = self.join(request, &record.spec, pid, pidfd)?;
        if !request.detached {
            Notes::default().and(&record, "exec_die", &[("exitCode", code.to_string())]).write(self.dirs());
        }
        Ok(code)
    }

    fn join(&self, request: &ExecRequest, spec: &Spec, pid: Pid, pidfd: OwnedFd) -> Result<u8> {
        let process = spec.process().as_ref().context("the container's record has no process")?;
        let signals = ForwardedSignals::block()?;
        let may_set_groups = if geteuid().is_root() { self.privilege().has_many_users } else { join(&pidfd)? };
        let root = open_root(pid).map_err(|error| match error.downcast_ref() {
            Some(Errno::ENOENT | Errno::ESRCH) => not_running(&request.container),
            _ => error,
        })?;
        let master = request.terminal.then(|| open_terminal(root.as_fd())).transpose()?;
        let joining = Joining {
            pidfd,
            namespaces: other_namespaces(pid),
            terminal: master.as_ref().map(open_peer).transpose().context("open the device of the terminal")?,
            no_input: (!request.interactive && !request.terminal).then(nothing).transpose()?,
            no_output: request.detached,
            workdir: workdir(request, process)?,
            cgroup: cgroup::open(spec)?,
            settings: oom_score(process)?,
            limits: limits(process)?,
            privileges: privileges_of_exec(
                spec,
                process,
                user(request, process, root.as_fd())?,
                may_set_groups,
                request.privileged,
            )?,
            program: program(request, process)?,
        };
        let console = master.map(|master| Console::of(master, request.interactive)).transpose()?;
        // Children of this process are born in the container's PID namespace from here on.
        setns(&joining.pidfd, CloneFlags::CLONE_NEWPID).context("enter the PID namespace of the container")?;
        let into_cgroup = joining.cgroup.as_ref().and_then(Cgroup::into_cgroup);
        // One that is detached becomes the child of the container's PID 1 when this process ends, and is reaped there.
        let clone = CloneSpec { into_cgroup, dies_with_parent: !request.detached, ..CloneSpec::default() };
        let running = spawn(&clone, || enter(&joining)).map_err(|error| explain(error, root.as_fd()))?;
        if request.detached {
            return Ok(0);
        }
        let status = match console {
            Some(console) => console.relay(&running, &signals)?,
            None => supervise(&running, &signals)?,
        };
        exit_code(status).context("the program did not end")
    }
}

/// The child half.
fn enter(joining: &Joining) -> Result<&dyn Execute, Failure<'_>> {
    // The container's root sees this process before execve. It must not reach the engine's descriptors and its program
    // through /proc (CVE-2019-5736, CVE-2024-21626); execve makes it an ordinary process again.
    set_dumpable(false).whilst("hide from the container", c"")?;
    // Before the namespace of cgroups is the container's: its files are opened in ours.
    if let Some(cgroup) = &joining.cgroup {
        cgroup.enter()?;
    }
    setns(&joining.pidfd, joining.namespaces).whilst("enter the namespaces of the container", c"")?;
    joining.settings.enter()?;
    joining.limits.enter()?;
    setsid().whilst("begin a session", c"")?;
    match (&joining.terminal, &joining.no_input) {
        (Some(terminal), _) => attach(terminal.as_fd())?,
        (None, Some(nothing)) => {
            for number in 0..=(if joining.no_output { 2 } else { 0 }) {
                fd::dup_onto(nothing.as_fd(), number).whilst("make standard input or output of", c"/dev/null")?;
            }
        }
        (None, None) => {}
    }
    chdir(joining.workdir.as_c_str()).whilst("change into the working directory", &joining.workdir)?;
    if sys::process::working_directory_is_inside() != Ok(true) {
        let errno = nix::errno::Errno::EACCES;
        return Err(errno).whilst("stay inside with the working directory", &joining.workdir);
    }
    joining.privileges.become_user()?;
    // The change of user has undone both; and the filter may forbid them.
    if !joining.no_output {
        die_with_parent()?;
    }
    set_dumpable(false).whilst("hide from the container", c"")?;
    joining.privileges.confine()?;
    Ok(&joining.program)
}

fn attach(terminal: BorrowedFd<'_>) -> Result<(), Failure<'static>> {
    make_controlling(terminal).whilst("make the controlling terminal of", c"the new terminal")?;
    for number in 0..=2 {
        fd::dup_onto(terminal, number).whilst("make standard input and output of", c"the new terminal")?;
    }
    Ok(())
}

/// The namespaces that the container has of its own, without the PID namespace: setns refuses one that we are in already only
/// for user namespaces, so all the others are named.
fn other_namespaces(pid: Pid) -> CloneFlags {
    let kinds = [
        ("mnt", CloneFlags::CLONE_NEWNS),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("net", CloneFlags::CLONE_NEWNET),
        ("cgroup", CloneFlags::CLONE_NEWCGROUP),
        ("user", CloneFlags::CLONE_NEWUSER),
    ];
    let identity = |whose: &str, name: &str| std::fs::read_link(format!("/proc/{whose}/ns/{name}")).ok();
    let differs = |name: &str| identity("self", name) != identity(&pid.to_string(), name);
    kinds.into_iter().filter(|(name, _)| differs(name)).map(|(_, flag)| flag).collect()
}

fn open_root(pid: Pid) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .context("open the root of the container")
}

/// A terminal of the container's own devpts: its name means the same inside.
fn open_terminal(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let devpts = fd::open_in_root(root, c"/dev/pts", flags, Mode::empty()).context("open the container's /dev/pts")?;
    openat(devpts, c"ptmx", OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty())
        .context("open a terminal in the container's /dev/pts")
}

fn nothing() -> Result<OwnedFd> {
    open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).context("open `/dev/null`")
}

fn workdir(request: &ExecRequest, process: &Process) -> Result<CString> {
    let of_container = process.cwd().to_string_lossy().into_owned();
    CString::new(request.workdir.clone().unwrap_or(of_container)).context("the working directory")
}

fn user(request: &ExecRequest, process: &Process, root: BorrowedFd<'_>) -> Result<User> {
    match &request.user {
        Some(user) => Ok(User::lookup(root, user)?),
        None => Ok(crate::launch::user_of(process)),
    }
}

fn program(request: &ExecRequest, process: &Process) -> Result<Program> {
    let mut env = process.env().clone().unwrap_or_default();
    for entry in &request.env {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
        env.retain(|other| other.split_once('=').is_none_or(|(other, _)| other != name));
        env.push(entry.clone());
    }
    if request.terminal && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    Ok(Program::new(&request.command, &env)?)
}

fn explain(error: Error, root: BorrowedFd<'_>) -> anyhow::Error {
    match &error {
        Error::Execute { doing, on, errno } => {
            ProgramError::of_execute(&Failure { doing, on: on.as_bytes(), errno: *errno }, root).into()
        }
        _ => error.into(),
    }
}
