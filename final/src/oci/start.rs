//! `start`.

use super::gate;
use super::hooks::{Stage, run_hooks, run_hooks_and_complain};
use super::state::{Folder, Saved, Status};
use crate::report::Refusal;
use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;

/// Lets the program of a created container run. Source: runtime.md, "Start" and "Lifecycle", steps 6 to 9.
pub(super) fn start(folder: &Folder, saved: &Saved) -> Result<()> {
    let status = folder.status(saved);
    let refusal = || Refusal::new(format!("cannot start a container in the {} state: `{}`", status.word(), folder.id));
    ensure!(status == Status::Created, refusal().code(1));
    let pid = Pid::from_raw(saved.process.context("no process")?.host_pid);
    run_hooks(saved.hooks.as_ref(), Stage::StartContainer, &folder.document(saved), pid)?;
    gate::open_wide(&folder.gate(), &folder.id)?;
    // It has run, whatever has become of it since.
    run_hooks_and_complain(saved.hooks.as_ref(), Stage::Poststart, &folder.document_as(saved, "running"), pid);
    Ok(())
}
