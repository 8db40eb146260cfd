//! Restart policies: a container that has ended is started again by its monitor, unless somebody has stopped it.

use crate::attach::dial;
use crate::container::{Exit, Record, Turn, find_id};
use crate::engine::Engine;
use crate::events::{Notes, note};
use crate::monitor::Monitor;
use crate::report::Refusal;
use crate::upkeep::{BackOff, GOOD_RUN, RestartPolicy};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use step02_pid_ns::ForwardedSignals;

/// In `RUN/containers/<id>`: somebody has stopped it.
const STAY_DOWN: &str = "stay-down";
/// In `RUN/containers/<id>`: somebody is about to start it again, though it is one that is removed when it ends.
const KEPT: &str = "kept";

impl Engine {
    /// Starts a container that has ended again, as often as its policy says; returns with the end that stays.
    pub(crate) fn start_by_policy(
        &self,
        mut record: Record,
        signals: &ForwardedSignals,
        monitor: &mut Monitor,
        died: &dyn Fn(&Record) -> Notes,
    ) -> Result<Record> {
        let mut back_off = BackOff::default();
        loop {
            // Another may have been chosen since (`update --restart`), and its name too.
            if let Some(on_disk) = Record::read(self.dirs(), &record.id) {
                (record.upkeep.restart, record.name) = (on_disk.upkeep.restart, on_disk.name);
            }
            let Some(exit) = record.exit.clone() else { return Ok(record) };
            record.upkeep.stopped_by_hand = self.is_to_stay_down(&record.id);
            let policy = record.upkeep.restart;
            if record.upkeep.stopped_by_hand || !policy.applies(exit.code, record.upkeep.restarts) {
                return Ok(record);
            }
            let ran = exit.ran().unwrap_or_default();
            if ran >= GOOD_RUN {
                record.upkeep.restarts = 0;
            }
            exit.write_pause(self.dirs(), &record.id)?;
            monitor.say_exit(exit.code);
            if !self.rest(&record.id, back_off.after(ran), signals, monitor)? {
                record.upkeep.stopped_by_hand = true;
                return Ok(record);
            }
            record.upkeep.restarts += 1;
            let before = record.clone();
            record = match self.start_once_more(record, signals, monitor) {
                Ok(ran) => {
                    died(&ran.record).write(self.dirs());
                    ran.record
                }
                // It cannot be started any more: it stays as it ended.
                Err(_) => return Ok(Record { exit: Some(Exit { code: 127, ..exit }), ..before }),
            };
        }
    }

    /// Waits before a restart, and serves those who connect; false when the container is to stay down.
    fn rest(&self, id: &str, length: Duration, signals: &ForwardedSignals, monitor: &mut Monitor) -> Result<bool> {
        let end = Instant::now() + length;
        loop {
            if self.is_to_stay_down(id) {
                return Ok(false);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(true);
            }
            let mut sources = monitor.clients.sources(false);
            sources.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut sources, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("wait before a restart"),
            }
            monitor.clients.serve(false);
            // The monitor's own end is asked for: nobody would start the container again.
            if signals.next()?.is_some() {
                return Ok(false);
            }
        }
    }

    /// Whether somebody has stopped the container since it was started.
    fn is_to_stay_down(&self, id: &str) -> bool {
        self.dirs().live(id).join(STAY_DOWN).exists()
    }

    /// Says that the container is to stay down when it ends, and wakes a monitor that waits to start it again.
    ///
    /// # Errors
    /// open(2).
    pub(crate) fn end_its_restarts(&self, id: &str) -> Result<()> {
        let folder = self.dirs().live(id);
        match fs::File::create(folder.join(STAY_DOWN)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            made => drop(made.context("say that the container is to stay down")?),
        }
        let _wakes_it = dial(&folder);
        Ok(())
    }

    /// Says that a container which is removed when it ends (`--rm`) stays this time, to be started again.
    ///
    /// # Errors
    /// open(2).
    pub(super) fn keep(&self, id: &str) -> Result<()> {
        let made = fs::File::create(self.dirs().live(id).join(KEPT));
        made.map(drop).context("say that the container is kept")
    }

    /// Whether somebody has said so.
    pub(crate) fn is_kept(&self, id: &str) -> bool {
        self.dirs().live(id).join(KEPT).exists()
    }

    /// Gives a container another restart policy; one that runs obeys it when it ends.
    ///
    /// # Errors
    /// [`Refusal`] for a container that is removed when it ends.
    pub fn set_restart_policy(&self, reference: &str, policy: RestartPolicy) -> Result<()> {
        let id = find_id(self.dirs(), reference)?;
        let _turn = Turn::take(self.dirs(), &id, reference)?;
        let mut record = Record::find(self.dirs(), &id, reference)?;
        if record.auto_remove {
            let refusal = Refusal::new("a container that is removed when it ends (`--rm`) is not restarted");
            return if policy == RestartPolicy::No { Ok(()) } else { Err(refusal.code(1).into()) };
        }
        record.upkeep.restart = policy;
        record.rewrite(self.dirs(), reference)?;
        note(self.dirs(), &record, "update", &[]);
        Ok(())
    }
}
