//! `rm`: a container is removed once, however many ask for it at the same time.

use crate::container::{Container, Lock, Record, Status, find_id, none};
use crate::engine::Engine;
use crate::events::Notes;
use crate::reclaim::{reclaim, reclaim_with_volumes};
use crate::report::Refusal;
use anyhow::Result;
use nix::libc::SIGKILL;
use std::time::{Duration, Instant};

impl Engine {
    /// Removes a container; with `force` also one that runs, with `volumes` its anonymous volumes as well. With `force` it is
    /// no error when somebody else has removed it meanwhile: its own supervisor (`--rm`), or another `rm`.
    ///
    /// # Errors
    /// [`Refusal`] for a running one without `force`, and for none.
    pub fn remove(&self, reference: &str, force: bool, volumes: bool) -> Result<()> {
        let id = find_id(self.dirs(), reference)?;
        let lock = self.lock_to_remove(&id, reference, force)?;
        // Under the lock: of two who remove it one finds it, and says that it is destroyed. A half-made one has no record.
        let record = Record::read(self.dirs(), &id);
        let was_there = record.is_some() || self.dirs().container(&id).exists();
        if volumes {
            reclaim_with_volumes(self.dirs(), &id, Some(lock))?
        } else {
            reclaim(self.dirs(), &id, Some(lock))?
        }
        if let Some(record) = record {
            Notes::default().and(&record, "destroy", &[]).write(self.dirs());
        }
        if was_there || force { Ok(()) } else { Err(none(reference)) }
    }

    /// Ends it if that is allowed, and waits for its lock: who has written down an end, or is removing it, is done in a moment.
    fn lock_to_remove(&self, id: &str, reference: &str, force: bool) -> Result<Lock> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(container) = Container::read(self.dirs(), id) {
                self.end_to_remove(&container, reference, force)?;
            }
            if let Ok(lock) = Lock::to_remove(self.dirs(), id)? {
                return Ok(lock);
            }
            if Instant::now() > deadline {
                return Err(still_alive(reference));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn end_to_remove(&self, container: &Container, reference: &str, force: bool) -> Result<()> {
        let Container { record, status, .. } = container;
        match status {
            Status::Running(_) | Status::Restarting(_) if !force => Err(is_up(reference, status)),
            Status::Running(state) => {
                self.end_its_restarts(&record.id)?;
                state.signal(SIGKILL)?;
                self.go_on(record, state)?;
                self.wait_until_dead(&record.id)
            }
            Status::Restarting(_) => {
                self.end_its_restarts(&record.id)?;
                self.wait_until_dead(&record.id)
            }
            // Nobody else would end it: its supervisor is dead.
            Status::Abandoned(Some(state)) => state.signal(SIGKILL),
            // Locked, and no program yet: it is being started, or removed by somebody else. Which one shows in a moment.
            Status::Starting | Status::Created | Status::Exited(_) | Status::Abandoned(None) => Ok(()),
        }
    }
}

fn is_up(reference: &str, status: &Status) -> anyhow::Error {
    let refusal = Refusal::new(format!("cannot remove the {} container `{reference}`", status.word()));
    refusal.help("end its program first, or force it with `tara rm -f`").code(1).into()
}

/// A container that neither ends nor lets go.
pub(super) fn still_alive(reference: &str) -> anyhow::Error {
    Refusal::new(format!("container `{reference}` does not end")).code(1).into()
}
