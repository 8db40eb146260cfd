//! `delete`.

use super::state::{Folder, Saved, Status};
use crate::report::Refusal;
use anyhow::{Result, ensure};
use clap::Args;
use nix::libc::SIGKILL;
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
            Some(saved) => self.delete(&folder, &saved)?,
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
        let refusal = || {
            Refusal::new(format!("cannot delete container `{}` that is not stopped: it is {}", self.id, status.word()))
        };
        ensure!(may_go, refusal().help("end it with `kill`, or use `delete --force`").code(1));
        if let Some(process) = saved.process.filter(|process| process.is_alive()) {
            process.signal(SIGKILL)?;
        }
        Ok(())
    }
}
