//! From a specification to a running process: host half, one clone3, child half, supervision.

mod child;
mod console;
mod prepare;
mod privileges;

use crate::monitor::{ContainerStdio as Stdio, Log, relay};
use crate::network::{Begun, Ready, open_namespace};
use anyhow::{Context, Result};
use nix::libc::SIGKILL;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use oci_spec::runtime::{Process, Spec};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, spawn_and, supervise};
use step03_mount_overlay::Overlay;
use step05_cgroups::Cgroup;
use sys::Failure;
use sys::explain::phase;

pub use console::Console;
pub use prepare::Prepared;
pub(crate) use prepare::user_of;
pub(crate) use privileges::{limits, oom_score, privileges_of_exec};

/// What is launched, besides the specification.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What to run.
    pub spec: &'a Spec,
    /// Its root file system.
    pub overlay: &'a Overlay,
    /// The network namespace that the specification asks for, where somebody has begun one; else clone3 makes it.
    pub network: Option<Begun>,
    /// Whether PID 1 is an init of ours.
    pub init: bool,
    /// Whether the program gets our standard input; else it reads nothing.
    pub interactive: bool,
    /// What may be done here.
    pub privilege: crate::rootless::Privilege,
}

/// How the program ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: WaitStatus,
    /// Whether the kernel ended one of its processes for want of memory.
    pub oom_killed: bool,
}

/// Who stays with the program, and what becomes of its output.
pub enum Supervision<'a> {
    /// This process, at our own terminal or pipes.
    Foreground,
    /// A monitor: into the log. The function is told when the program runs.
    Monitor(&'a mut Log, Box<dyn FnOnce() + 'a>),
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
    supervision: Supervision<'_>,
    meanwhile: impl FnOnce(Pid) -> Result<()>,
) -> Result<Ended> {
    let network = launch.network.take();
    let has_terminal = launch.spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
    let mut pipes = match supervision {
        Supervision::Monitor(..) if !has_terminal => Some(Stdio::pipes(launch.interactive)?),
        _ => None,
    };
    let for_program = pipes.as_mut().map(|pipes| std::mem::take(&mut pipes.program)).unwrap_or_default();
    phase("prepare all that the container's first process will need: cgroup, mounts, privileges, program");
    let mut prepared = Prepared::new(&launch, network, for_program)?;
    let attended = matches!(supervision, Supervision::Foreground);
    let terminal = prepared.terminal.as_ref().filter(|_| attended);
    let console = terminal.map(|terminal| Console::open(terminal, launch.interactive)).transpose()?;
    let clone = CloneSpec {
        namespaces: prepared.namespaces,
        into_cgroup: prepared.cgroup.as_ref().and_then(Cgroup::into_cgroup),
        init: launch.init,
        dies_with_parent: true,
        ..CloneSpec::default()
    };
    phase("make the container's first process, and wait until it has become the program");
    let born_elsewhere = prepared.pids.as_ref().map(ChildrenIn::enter).transpose()?;
    let (mut told, mut host_pid) = (Ok(()), None);
    let spawned = spawn_and(
        &clone,
        || child::enter(&prepared, launch.overlay),
        |pid| {
            host_pid = Some(pid);
            told = meanwhile(pid);
        },
    );
    drop(born_elsewhere);
    // Why there is no network says more than that the child waited for it in vain.
    let connected = prepared.network.take().map_or(Ok(()), |network| finish(network, host_pid));
    let running = match spawned {
        Ok(running) => running,
        Err(error) => return connected.and(Err(explain(error, launch.overlay))),
    };
    let told = told.and(connected);
    if told.is_err() {
        running.signal(SIGKILL)?;
    }
    phase("wait for its end, pass signals on");
    let cgroup = prepared.cgroup.take();
    let status = match (supervision, console) {
        (Supervision::Foreground, Some(console)) => console.relay(&running, signals)?,
        (Supervision::Foreground, None) => supervise(&running, signals)?,
        (Supervision::Monitor(log, tell), _) => {
            let stdio = pipes.map_or_else(|| master(&prepared), Ok)?;
            // The program has its ends; with ours open the pipes would never end.
            drop(prepared);
            if told.is_ok() {
                tell();
            }
            relay(&running, signals, stdio, log)?
        }
    };
    told?;
    let oom_killed = cgroup.is_some_and(|cgroup| cgroup.oom_killed().unwrap_or(false));
    Ok(Ended { status, oom_killed })
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

fn finish(network: Ready, host_pid: Option<Pid>) -> Result<()> {
    network.finish(host_pid)
}

/// The terminal's side of whoever shows it.
fn master(prepared: &Prepared) -> Result<Stdio> {
    let terminal = prepared.terminal.as_ref().context("the program has neither pipes nor a terminal")?;
    Ok(Stdio::terminal(terminal.master.try_clone()?))
}

/// execve's refusal in the words of step 1, which knows what can be wrong with a program.
fn explain(error: Error, overlay: &Overlay) -> anyhow::Error {
    match &error {
        Error::Execute { doing, on, errno } => {
            step01_chroot::Error::of_execute(&Failure { doing, on: on.as_bytes(), errno: *errno }, overlay.as_fd())
                .into()
        }
        _ => error.into(),
    }
}
