//! From a specification to a running process: host half, one clone3, child half, supervision.

mod child;
mod console;
mod prepare;

use anyhow::Result;
use nix::sys::wait::WaitStatus;
use oci_spec::runtime::Spec;
use std::os::fd::AsFd;
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, Running, spawn, supervise};
use step03_mount_overlay::Overlay;
use sys::Failure;

pub use console::Console;
pub use prepare::Prepared;

/// What is launched, besides the specification.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// What to run.
    pub spec: &'a Spec,
    /// Its root file system.
    pub overlay: &'a Overlay,
    /// Whether PID 1 is an init of ours.
    pub init: bool,
    /// Whether the program gets our standard input; else it reads nothing.
    pub interactive: bool,
    /// What may be done here.
    pub privilege: crate::rootless::Privilege,
}

/// Starts it, tells `on_running`, and waits for its end, passing signals and the terminal on.
///
/// # Errors
/// What could not be prepared; which call of the child half failed; why execve refused ([`step01_chroot::Error`]).
pub fn launch(
    launch: &Launch<'_>,
    signals: &ForwardedSignals,
    on_running: impl FnOnce(&Running) -> Result<()>,
) -> Result<WaitStatus> {
    let prepared = Prepared::new(launch)?;
    let console = prepared.terminal.as_ref().map(|terminal| Console::open(terminal, launch.interactive)).transpose()?;
    let clone = CloneSpec {
        namespaces: prepared.namespaces,
        init: launch.init,
        dies_with_parent: true,
        ..CloneSpec::default()
    };
    let running =
        spawn(&clone, || child::enter(&prepared, launch.overlay)).map_err(|error| explain(error, launch.overlay))?;
    let told = on_running(&running);
    let status = match console {
        Some(console) => console.relay(&running, signals),
        None => supervise(&running, signals).map_err(Into::into),
    };
    told.and(status)
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
