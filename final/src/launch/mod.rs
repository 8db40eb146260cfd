//! From a specification to a running process: host half, one clone3, child half, supervision.

mod attributes;
mod child;
mod console;
mod gate;
mod keeper;
mod prepare;
mod privileges;

use crate::monitor::{ContainerStdio as Stdio, Monitor, relay};
use crate::network::{Begun, Ready, open_namespace};
use anyhow::{Context, Result};
use nix::libc::SIGKILL;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use oci_spec::runtime::{Process, Spec};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, Running, spawn_and, supervise};
use step03_mount_overlay::Root;
use step05_cgroups::Cgroup;
use sys::Failure;
use sys::explain::phase;

pub(crate) use attributes::Attributes;
pub(crate) use child::own_stdio;
pub(crate) use console::set_console_size;
pub use console::{Console, Leaving};
pub(crate) use gate::{Barrier, Handover};
pub(crate) use keeper::Keeper;
pub use prepare::Prepared;
pub(crate) use prepare::user_of;
pub(crate) use privileges::{capabilities_of_exec, limits, oom_score, privileges_of_exec};

/// What is launched, besides the specification.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What to run.
    pub spec: &'a Spec,
    /// Its root file system.
    pub root: &'a dyn Root,
    /// Where that is a directory of the host, for what begins with a copy of something in it.
    pub root_path: Option<&'a Path>,
    /// What is mounted on `/dev/shm`, where another container shares its own.
    pub(crate) shared_memory: Option<OwnedFd>,
    /// The network namespace that the specification asks for, where somebody has begun one; else clone3 makes it.
    pub network: Option<Begun>,
    /// Whether PID 1 is an init of ours.
    pub init: bool,
    /// Whether the program gets our standard input; else it reads nothing.
    pub interactive: bool,
    /// What may be done here.
    pub privilege: crate::rootless::Privilege,
    /// The gate where the process waits before it becomes the program, for callers that start it later and stay away: then it
    /// outlives this process.
    pub gate: Option<OwnedFd>,
    /// Where the process waits before its root is changed.
    pub(crate) barrier: Option<Arc<Barrier>>,
    /// How the listener's side of its filter gets out.
    pub(crate) listener: Option<Arc<Handover>>,
    /// How many descriptors after 0, 1 and 2 the program gets too.
    pub extra_descriptors: u32,
    /// Whether it gets a keyring of its own: the caller's session's may hold secrets. Source: keyctl(2), session-keyring(7).
    pub new_keyring: bool,
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: WaitStatus,
    /// Whether the kernel ended one of its processes for want of memory.
    pub oom_killed: bool,
    /// The network namespace that was made for it, where no monitor stays: when the last one closes it, the kernel takes it down, and
    /// does so on that one's processor.
    pub(crate) network: Option<OwnedFd>,
}

/// Who stays with the program, and what becomes of its output.
pub enum Supervision<'a> {
    /// This process: the program has our own standard input and output.
    Foreground,
    /// A monitor: into the log, and to everybody attached.
    Monitor(&'a mut Monitor),
}

/// Starts it and waits for its end, passing signals and the terminal on. `meanwhile` gets the child's PID and runs while
/// the child mounts: what it does costs no time on the way to the program.
///
/// # Errors
/// What could not be prepared; which call of the child half failed; why execve refused ([`step01_chroot::Error`]); what
/// `meanwhile` could not do, and then the program is killed.
pub fn launch(
    mut launch: Launch<'_>,
    signals: &ForwardedSignals,
    mut supervision: Supervision<'_>,
    meanwhile: impl FnOnce(Pid) -> Result<()>,
) -> Result<Ended> {
    let has_terminal = launch.spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
    let mut stdio = match supervision {
        Supervision::Monitor(_) if !has_terminal => Some(Stdio::pipes(launch.interactive)?),
        _ => None,
    };
    let for_program = stdio.as_mut().map(|pipes| std::mem::take(&mut pipes.program)).unwrap_or_default();
    phase("prepare all that the container's first process will need: cgroup, mounts, privileges, program");
    let prepared = launch.prepare(for_program)?;
    if let Supervision::Monitor(monitor) = &mut supervision {
        if let Some(terminal) = &prepared.terminal {
            stdio = Some(Stdio::terminal(terminal.master.try_clone()?, terminal.device.try_clone()?)?);
        }
        // The window's size, before the program asks for it.
        let requests = monitor.clients.serve(true);
        stdio.as_mut().map_or(Ok(()), |stdio| stdio.obey(requests, None))?;
    }
    phase("make the container's first process, and wait until it has become the program");
    let Started { running, mut prepared, mut network, told } = start(&launch, prepared, meanwhile)?;
    let cgroup = prepared.cgroup.take();
    let status = match supervision {
        Supervision::Foreground => supervise(&running, signals)?,
        Supervision::Monitor(monitor) => {
            // The program has its ends; with ours open the pipes would never end.
            drop((prepared, network.take()));
            if told.is_ok() {
                monitor.begin();
            }
            let stdio = stdio.context("the program has neither pipes nor a terminal")?;
            relay(&running, signals, stdio, monitor)?
        }
    };
    told?;
    let oom_killed = cgroup.is_some_and(|cgroup| cgroup.oom_killed().unwrap_or(false));
    Ok(Ended { status, oom_killed, network })
}

/// Children of this process are born in another PID namespace, as long as this lives. This process itself stays where it is.
struct ChildrenIn {
    before: OwnedFd,
}

impl ChildrenIn {
    fn enter(other: &OwnedFd) -> Result<Self> {
        let before = open_namespace(Path::new("/proc/self/ns/pid")).context("open our own PID namespace")?;
        setns(other, CloneFlags::CLONE_NEWPID).context("enter the PID namespace of another container")?;
        Ok(Self { before })
    }
}

impl Drop for ChildrenIn {
    fn drop(&mut self) {
        let _own_is_always_allowed = setns(&self.before, CloneFlags::CLONE_NEWPID);
    }
}

/// A program that runs, or waits at its gate.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) prepared: Prepared,
    /// The network namespace that was made for it.
    pub(crate) network: Option<OwnedFd>,
    /// What could not be done beside the start: the program is killed then.
    pub(crate) told: Result<()>,
}

impl Launch<'_> {
    /// The host half.
    ///
    /// # Errors
    /// What could not be prepared.
    pub(crate) fn prepare(&mut self, stdio: [Option<OwnedFd>; 3]) -> Result<Prepared> {
        Prepared::new(self, stdio)
    }
}

/// Makes the process. `meanwhile` gets its PID and runs while it mounts.
///
/// # Errors
/// Which call of the child half failed; why execve refused.
pub(crate) fn start(
    launch: &Launch<'_>,
    mut prepared: Prepared,
    meanwhile: impl FnOnce(Pid) -> Result<()>,
) -> Result<Started> {
    let clone = CloneSpec {
        namespaces: prepared.namespaces,
        user_map: prepared.user_map.as_ref(),
        into_cgroup: prepared.cgroup.as_ref().and_then(Cgroup::into_cgroup),
        init: launch.init,
        dies_with_parent: prepared.dies_with_parent,
        executes_later: prepared.program.gate.is_some(),
        extra_descriptors: launch.extra_descriptors,
    };
    let born_elsewhere = prepared.pids.as_ref().map(ChildrenIn::enter).transpose()?;
    let (mut told, mut host_pid) = (Ok(()), None);
    let spawned = spawn_and(
        &clone,
        || child::enter(&prepared, launch.root),
        |pid| {
            host_pid = Some(pid);
            told =
                meanwhile(pid).and_then(|()| prepared.network.as_ref().map_or(Ok(()), |network| network.connect(pid)));
        },
    );
    drop(born_elsewhere);
    // Why there is no network says more than that the child waited for it in vain.
    let connected = prepared.network.take().map_or(Ok(None), |network: Ready| network.finish(host_pid));
    let running = match spawned {
        Ok(running) => running,
        // What was done to it says more, too.
        Err(error) => return told.and(connected).and(Err(explain(error, launch.root))),
    };
    let (network, told) = match connected {
        Ok(network) => (network, told),
        Err(error) => (None, told.and(Err(error))),
    };
    if told.is_err() {
        running.signal(SIGKILL)?;
    }
    Ok(Started { running, prepared, network, told })
}

/// execve's refusal in the words of step 1, which knows what can be wrong with a program.
fn explain(error: Error, root: &dyn Root) -> anyhow::Error {
    match &error {
        Error::Execute { doing, on, errno } | Error::ChildHalf { doing, on, errno }
            if matches!(doing.as_str(), "find" | "execute") =>
        {
            step01_chroot::Error::of_execute(&Failure { doing, on: on.as_bytes(), errno: *errno }, root.as_fd()).into()
        }
        _ => error.into(),
    }
}
