//! Starting a container that does not run: by hand, by its monitor, after a reboot.

use super::is_paused;
use crate::container::{Container, Lock, Record, State, Status, none};
use crate::engine::{Engine, Finished, Ran};
use crate::events::Notes;
use crate::monitor::{Failed, Monitor, Task, start as start_monitor};
use crate::network;
use crate::reclaim::{put_to_rest, reclaim};
use crate::users;
use anyhow::Result;
use step02_pid_ns::ForwardedSignals;

/// A container's name, and whether it was started.
pub type Outcome = (String, Result<Result<(), Failed>>);

impl Engine {
    /// Starts a container that does not run; one that runs is left as it is.
    ///
    /// # Errors
    /// What keeps its program from running.
    pub fn start(&self, reference: &str) -> Result<Result<(), Failed>> {
        let container = Container::find(self.dirs(), reference)?;
        match container.status {
            Status::Running(state) if state.paused => Err(is_paused(reference)),
            Status::Running(_) | Status::Starting | Status::Restarting(_) => Ok(Ok(())),
            _ => Ok(start_monitor(self, Task::Start(container.record.id), None)?.map(drop)),
        }
    }

    /// Starts what is to run after a reboot: the containers whose restart policy says so. Their names, and what failed.
    ///
    /// # Errors
    /// When the containers cannot be listed.
    pub fn start_all(&self) -> Result<Vec<Outcome>> {
        let is_down = |container: &Container| {
            matches!(container.status, Status::Exited(_) | Status::Abandoned(_) | Status::Created)
        };
        let mut wanted = Container::all(self.dirs())?;
        wanted.retain(|container| {
            let upkeep = &container.record.upkeep;
            let began = container.record.started.is_some();
            is_down(container) && began && upkeep.restart.starts_at_boot(upkeep.stopped_by_hand)
        });
        Ok(wanted.into_iter().map(|container| (container.record.name, self.start(&container.record.id))).collect())
    }

    /// What the monitor does, in its own process: the exit code of the program.
    pub(crate) fn monitor(&self, task: Task, monitor: &mut Monitor) -> Result<Finished> {
        match task {
            Task::Run(request) => self.run_new(&request, Some(monitor)),
            Task::Start(id) => self.start_again(&id, monitor),
        }
    }

    fn start_again(&self, id: &str, monitor: &mut Monitor) -> Result<Finished> {
        let signals = ForwardedSignals::block()?;
        let lock = Lock::create(self.dirs(), id)?;
        // It may have been removed since its starter saw it; then the folder of the lock is all that there is.
        let Some(mut record) = Record::read(self.dirs(), id) else {
            reclaim(self.dirs(), id, Some(lock))?;
            return Err(none(id));
        };
        let before = record.clone();
        // What a killed supervisor left of the last run: its ports would be in the way.
        network::forget(self.dirs(), id)?;
        State::forget(self.dirs(), id);
        (record.upkeep.restarts, record.upkeep.stopped_by_hand) = (0, false);
        let prepared = record.leave_disk(self.dirs()).and_then(|()| monitor.prepare(&record, &lock));
        let started = prepared.and_then(|()| self.start_once_more(record, &signals, monitor));
        match started {
            Ok(ran) => self.end(ran, lock, &signals, Some(monitor)),
            Err(error) if before.auto_remove => {
                Err(self.undo(id, lock, error.context(format!("cannot start container `{}`", before.name))))
            }
            Err(error) => {
                before.write(self.dirs())?;
                network::forget(self.dirs(), id)?;
                put_to_rest(self.dirs(), id, lock)?;
                Err(error.context(format!("cannot start container `{}`", before.name)))
            }
        }
    }

    /// Everything new but the container: network, overlay, process.
    pub(super) fn start_once_more(
        &self,
        record: Record,
        signals: &ForwardedSignals,
        monitor: &mut Monitor,
    ) -> Result<Ran> {
        if users::are_own(&record.spec) {
            users::take(self.dirs(), &record.id)?;
        }
        if record.auto_remove {
            self.forget_volatile(&record.id)?;
        }
        let overlay = self.overlay(&record.id, &record.layers, record.auto_remove)?;
        self.start_made(record, &overlay, None, signals, Some(monitor), Notes::default())
    }
}
