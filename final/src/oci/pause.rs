//! `pause` and `resume`.

use super::state::{Folder, Saved, Status};
use crate::report::Refusal;
use anyhow::{Result, bail};
use std::path::Path;
use step05_cgroups::Cgroup;

pub(super) fn pause(root: &Path, id: &str) -> Result<u8> {
    let folder = Folder::find(root, id)?;
    let saved = folder.read()?;
    match folder.status(&saved) {
        Status::Running | Status::Created => share(&saved)?.freeze()?,
        other => bail!(Refusal::new(format!("container `{id}` not running: it is {}", other.word())).code(1)),
    }
    Ok(0)
}

pub(super) fn resume(root: &Path, id: &str) -> Result<u8> {
    let folder = Folder::find(root, id)?;
    let saved = folder.read()?;
    // One that is paused before its start is in the state `created`; its cgroup knows.
    let paused = saved.process.is_some_and(super::state::Process::is_alive) && share(&saved)?.is_frozen()?;
    if !paused {
        bail!(Refusal::new(format!("container `{id}` not paused: it is {}", folder.status(&saved).word())).code(1));
    }
    share(&saved)?.thaw()?;
    Ok(0)
}

/// The cgroup of a container, without which it can neither be paused nor measured.
pub(super) fn share(saved: &Saved) -> Result<Cgroup> {
    let none = || Refusal::new(format!("container `{}` has no cgroup of its own", saved.id)).code(1);
    saved.share()?.ok_or_else(|| none().into())
}
