//! From a specification to a running process: host half, one clone3, child half, supervision.

mod child;
mod console;
mod network;
mod prepare;

use crate::monitor::{ContainerStdio as Stdio, Monitor, relay};
use anyhow::{Context, Result};
use nix::libc::SIGKILL;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use oci_spec::runtime::{Process, Spec};
use std::os::fd::AsFd;
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, spawn_and, supervise};
use step03_mount_overlay::Overlay;
use sys::Failure;

pub use console::Console;
pub use network::Network;
pub use prepare::Prepared;
pub(crate) use prepare::user_of;

/// What is launched, besides the specification.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What to run.
    pub spec: &'a Spec,
    /// Its root file system.
    pub overlay: &'a Overlay,
    /// The network namespace that the specification asks for, where somebody has begun one; else clone3 makes it.
    pub network: Option<Network>,
    /// Whether PID 1 is an init of ours.
    pub init: bool,
    /// Whether the program gets our standard input; else it reads nothing.
    pub interactive: bool,
    /// What may be done here.
    pub privilege: crate::rootless::Privilege,
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
) -> Result<WaitStatus> {
    let network = launch.network.take();
    let has_terminal = launch.spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
    let mut stdio = match supervision {
        Supervision::Monitor(_) if !has_terminal => Some(Stdio::pipes(launch.interactive)?),
        _ => None,
    };
    let for_program = stdio.as_mut().map(|pipes| std::mem::take(&mut pipes.program)).unwrap_or_default();
    let prepared = Prepared::new(&launch, network, for_program)?;
    if let Supervision::Monitor(monitor) = &mut supervision {
        if let Some(terminal) = &prepared.terminal {
            stdio = Some(Stdio::terminal(terminal.master.try_clone()?, terminal.device.try_clone()?)?);
        }
        // The window's size, before the program asks for it.
        let requests = monitor.clients.serve(true);
        stdio.as_mut().map_or(Ok(()), |stdio| stdio.obey(requests, None))?;
    }
    let clone = CloneSpec {
        namespaces: prepared.namespaces,
        init: launch.init,
        dies_with_parent: true,
        ..CloneSpec::default()
    };
    let mut told = Ok(());
    let running = spawn_and(&clone, || child::enter(&prepared, launch.overlay), |pid| told = meanwhile(pid))
        .map_err(|error| explain(error, launch.overlay))?;
    if told.is_err() {
        running.signal(SIGKILL)?;
    }
    let status = match supervision {
        Supervision::Foreground => supervise(&running, signals)?,
        Supervision::Monitor(monitor) => {
            // The program has its ends; with ours open the pipes would never end.
            drop(prepared);
            monitor.begin();
            let stdio = stdio.context("the program has neither pipes nor a terminal")?;
            relay(&running, signals, stdio, monitor)?
        }
    };
    told.map(|()| status)
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
