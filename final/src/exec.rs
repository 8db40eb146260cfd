//! Another program in a container that runs: joined by its pidfd, in one setns.
//!
//! The process that joins is this short-lived one, never a long-lived engine: a process whose children are in a PID
//! namespace cannot fork any more once that namespace's PID 1 is dead (ENOMEM).

use crate::attach::DetachKeys;
use crate::cgroup;
use crate::container::{Container, Record, Status};
use crate::engine::Engine;
use crate::events::Notes;
use crate::launch::{
    Attributes, Console, Keeper, Leaving, capabilities_of_exec, limits, oom_score, own_stdio, privileges_of_exec,
    user_of,
};
use crate::lifecycle::{is_paused, not_running, not_up};
use crate::rootless::join;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_dumpable;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, Uid, chdir, geteuid, setsid};
use oci_spec::runtime::{Process, Spec};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use step01_chroot::{Error as ProgramError, Program};
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, Running, die_with_parent, spawn, supervise};
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
    /// The keys by which whoever sits at its terminal leaves it, running.
    pub keys: DetachKeys,
}

/// A container that runs, to be joined: its first process, and its files.
pub(crate) struct Target {
    pidfd: OwnedFd,
    namespaces: CloneFlags,
    root: OwnedFd,
    may_set_groups: bool,
}

impl Target {
    /// The container whose first process is `pid` and began at `start_time`; `None` when that is gone.
    ///
    /// # Errors
    /// EPERM for a container of somebody else.
    pub(crate) fn open(pid: Pid, start_time: u64, has_many_users: bool) -> Result<Option<Self>> {
        let Ok(pidfd) = sys::process::pidfd_open(pid) else { return Ok(None) };
        // Asked after the descriptor is open: from then on the number cannot become somebody else's.
        if sys::process::start_time(pid).ok() != Some(start_time) {
            return Ok(None);
        }
        let may_set_groups = if geteuid().is_root() { has_many_users } else { join(&pidfd)? };
        match open_root(pid) {
            Ok(root) => Ok(Some(Self { pidfd, namespaces: other_namespaces(pid), root, may_set_groups })),
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(errno) => Err(errno).context("open the root of the container"),
        }
    }

    /// The root of its files.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The master of a new terminal in its own devpts.
    ///
    /// # Errors
    /// A container without a devpts.
    pub(crate) fn open_terminal(&self) -> Result<OwnedFd> {
        open_terminal(self.root())
    }
}

/// A process that joins a container.
pub(crate) struct Newcomer<'a> {
    /// The container's.
    pub(crate) spec: &'a Spec,
    /// What it is, whole: nothing of the container's first process is added.
    pub(crate) process: &'a Process,
    /// Its terminal, where it has one.
    pub(crate) master: Option<&'a OwnedFd>,
    /// Whether it gets our standard input.
    pub(crate) interactive: bool,
    /// Whether nobody gets its output.
    pub(crate) silent: bool,
    /// Whether somebody stays with it: then it ends with them.
    pub(crate) attended: bool,
    /// How many descriptors after 0, 1 and 2 it gets too.
    pub(crate) extra_descriptors: u32,
    /// Whether what 0, 1 and 2 are becomes its user's.
    pub(crate) gives_stdio: bool,
}

/// Everything the child half uses.
struct Joining<'a> {
    target: &'a Target,
    terminal: Option<OwnedFd>,
    no_input: Option<OwnedFd>,
    /// Whether its output goes there too.
    silent: bool,
    workdir: CString,
    /// The container's share of the machine is its share too.
    cgroup: Option<Cgroup>,
    settings: ProcSettings,
    attributes: Attributes,
    limits: Limits,
    privileges: Privileges,
    attended: bool,
    /// Who gets what 0, 1 and 2 are.
    owner_of_stdio: Option<Uid>,
    program: Program,
}

impl Newcomer<'_> {
    /// Makes it. Children of the calling process are born in the container's PID namespace from then on.
    ///
    /// # Errors
    /// What keeps it from running; execve's refusal is [`step01_chroot::Error`].
    pub(crate) fn join(&self, target: &Target) -> Result<Running> {
        let process = self.process;
        let joining = Joining {
            target,
            terminal: self.master.map(open_peer).transpose().context("open the device of the terminal")?,
            no_input: (!self.interactive && self.master.is_none()).then(nothing).transpose()?,
            silent: self.silent,
            workdir: CString::new(process.cwd().as_os_str().as_encoded_bytes()).context("the working directory")?,
            cgroup: cgroup::open(self.spec)?,
            settings: oom_score(process)?,
            attributes: Attributes::of_exec(process)?,
            limits: limits(process)?,
            privileges: privileges_of_exec(self.spec, process, target.may_set_groups)?,
            attended: self.attended,
            // A new terminal belongs to whoever opened it, outside.
            owner_of_stdio: (self.gives_stdio || self.master.is_some()).then(|| Uid::from_raw(process.user().uid())),
            program: Program::new(
                process.args().as_deref().unwrap_or_default(),
                process.env().as_deref().unwrap_or_default(),
            )?,
        };
        setns(&target.pidfd, CloneFlags::CLONE_NEWPID).context("enter the PID namespace of the container")?;
        let clone = CloneSpec {
            into_cgroup: joining.cgroup.as_ref().and_then(Cgroup::into_cgroup),
            dies_with_parent: self.attended,
            extra_descriptors: self.extra_descriptors,
            ..CloneSpec::default()
        };
        spawn(&clone, || enter(&joining)).map_err(|error| explain(error, target.root()))
    }
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
}

impl Engine {
    /// The program runs on without us, at the same terminal.
    fn leave(&self, keeper: Option<Keeper>, record: &Record) -> Result<u8> {
        keeper.map_or(Ok(()), Keeper::take_over)?;
        Notes::default().and(record, "exec_detach", &[]).write(self.dirs());
        eprintln!("\ndetached; the program runs on");
        Ok(0)
    }
}

/// The child half.
fn enter<'p>(joining: &'p Joining<'_>) -> Result<&'p dyn Execute, Failure<'p>> {
    // The container's root sees this process before execve. It must not reach the engine's descriptors and its program
    // through /proc (CVE-2019-5736, CVE-2024-21626); execve makes it an ordinary process again.
    set_dumpable(false).whilst("hide from the container", c"")?;
    // Before the namespaces are the container's: the files of the cgroup are opened in ours, its /proc is not to be trusted, and in a
    // user namespace of its own nobody may do these.
    if let Some(cgroup) = &joining.cgroup {
        cgroup.enter()?;
    }
    joining.settings.enter()?;
    joining.limits.enter()?;
    joining.attributes.enter_early()?;
    joining.attributes.enter()?;
    setns(&joining.target.pidfd, joining.target.namespaces).whilst("enter the namespaces of the container", c"")?;
    setsid().whilst("begin a session", c"")?;
    match (&joining.terminal, &joining.no_input) {
        (Some(terminal), _) => attach(terminal.as_fd())?,
        (None, Some(nothing)) => {
            for number in 0..=(if joining.silent { 2 } else { 0 }) {
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
    if let Some(user) = joining.owner_of_stdio {
        own_stdio(user)?;
    }
    joining.privileges.become_user()?;
    // The change of user has undone both; and the filter may forbid them.
    if joining.attended {
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

fn open_root(pid: Pid) -> nix::Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
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

fn explain(error: Error, root: BorrowedFd<'_>) -> anyhow::Error {
    match &error {
        Error::Execute { doing, on, errno } => {
            ProgramError::of_execute(&Failure { doing, on: on.as_bytes(), errno: *errno }, root).into()
        }
        _ => error.into(),
    }
}
