//! `delete`.

use super::hooks::{Stage, run_hooks_and_complain};
use super::state::{Folder, Saved, Status};
use crate::cgroup;
use crate::report::Refusal;
use anyhow::{Result, ensure};
use clap::Args;
use nix::unistd::Pid;
use std::path::Path;

/// Remove what is left of a container.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Kill it first if it runs; no error if it is not there.
    #[arg(short, long)]
    force: bool,
    /// The container.
    id: String,
}

impl Delete {
    pub(super) fn run(&self, root: &Path) -> Result<u8> {
        let folder = match Folder::find(root, &self.id) {
            Err(_) if self.force => return Ok(0),
            folder => folder?,
        };
        match folder.saved() {
            Some(saved) => return self.delete(&folder, &saved).map(|()| 0),
            // `create` was killed before it could make anything.
            None => ensure!(self.force, folder.read().err().unwrap_or_else(|| Refusal::new("half-made").into())),
        }
        folder.remove()?;
        Ok(0)
    }

    fn delete(&self, folder: &Folder, saved: &Saved) -> Result<()> {
        let status = folder.status(saved);
        // One that was never started may go: there is no program that could lose anything.
        let may_go = self.force || matches!(status, Status::Stopped | Status::Created | Status::Creating);
        let what = format!("cannot delete container `{}` that is not stopped: it is {}", self.id, status.word());
        ensure!(may_go, Refusal::new(what).help("end it with `kill`, or use `delete --force`").code(1));
        if let Some(process) = saved.process.filter(|process| process.is_alive()) {
            process.end(saved)?;
        }
        remove(folder, saved)
    }
}

/// Removes what is left of a container whose program has ended.
pub(super) fn remove(folder: &Folder, saved: &Saved) -> Result<()> {
    saved.cgroup.as_deref().map_or(Ok(()), cgroup::end)?;
    let (state, nobody) = (folder.document(saved), Pid::from_raw(0));
    folder.remove()?;
    run_hooks_and_complain(saved.hooks.as_ref(), Stage::Poststop, &state, nobody);
    Ok(())
}
