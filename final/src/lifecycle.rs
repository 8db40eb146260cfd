//! A container outlives the command that started it: start, stop, kill, wait, rename, restart policies.

use crate::attach::dial;
use crate::container::{Container, Exit, LastWord, Lock, Record, State, Status, Turn, find_id, none};
use crate::engine::{Engine, Finished, Ran};
use crate::events::{Notes, note};
use crate::monitor::{Failed, Monitor, Task, start as start_monitor};
use crate::names;
use crate::network;
use crate::reclaim::{gone, put_to_rest, reclaim};
use crate::removal::still_alive;
use crate::report::Refusal;
use crate::upkeep::{BackOff, GOOD_RUN, RestartPolicy};
use crate::users;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::str::FromStr;
use std::time::{Duration, Instant};
use step02_pid_ns::ForwardedSignals;

impl Engine {
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
        let started = monitor.prepare(&record, &lock).and_then(|()| self.start_once_more(record, &signals, monitor));
        match started {
            Ok(ran) => self.end(ran, lock, &signals, Some(monitor)),
            Err(error) => {
                before.write(self.dirs())?;
                network::forget(self.dirs(), id)?;
                put_to_rest(self.dirs(), id, lock)?;
                Err(error.context(format!("cannot start container `{}`", before.name)))
            }
        }
    }

    /// Everything new but the container: network, overlay, process.
    fn start_once_more(&self, record: Record, signals: &ForwardedSignals, monitor: &mut Monitor) -> Result<Ran> {
        if users::are_own(&record.spec) {
            users::take(self.dirs(), &record.id)?;
        }
        let overlay = self.overlay(&record.id, &record.layers, record.auto_remove)?;
        self.start_made(record, &overlay, None, signals, Some(monitor), Notes::default())
    }

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

    /// Asks the programs of `references` to end, all at once, and kills those that have not in time: after `patience`, or what
    /// each container says itself. One result each.
    pub fn stop(&self, references: &[String], how: &StopRequest) -> Vec<Result<()>> {
        let begin = Instant::now();
        let asked: Vec<Result<Option<Stopping>>> = references.iter().map(|name| self.ask_to_stop(name, how)).collect();
        let finish = |asked: Result<Option<Stopping>>| match asked? {
            Some(stopping) => self.finish_stop(&stopping, begin),
            None => Ok(()),
        };
        asked.into_iter().map(finish).collect()
    }

    fn ask_to_stop(&self, reference: &str, how: &StopRequest) -> Result<Option<Stopping>> {
        let Container { record, status, .. } = Container::find(self.dirs(), reference)?;
        let signal = how.signal.as_ref().or(record.upkeep.stop_signal.as_ref()).or(record.stop_signal.as_ref());
        let signal = signal.map_or(Ok(Signal::SIGTERM as i32), |text| parse_signal(text))?;
        let patience =
            how.patience.unwrap_or(Some(Duration::from_secs(record.upkeep.stop_timeout.unwrap_or(10).into())));
        match status {
            Status::Running(_) | Status::Restarting(_) => self.end_its_restarts(&record.id)?,
            _ => return Ok(None),
        }
        let process = match &status {
            Status::Running(state) => state.open(),
            _ => None,
        };
        if let Some(process) = &process {
            let more = [("signal", signal.to_string())];
            Notes::default().and(&record, "kill", &more).write(self.dirs());
            send(process, signal)?;
        }
        if let Status::Running(state) = &status {
            self.go_on(&record, state)?;
        }
        Ok(Some(Stopping { record: record.for_events(), process, patience }))
    }

    fn finish_stop(&self, stopping: &Stopping, begin: Instant) -> Result<()> {
        let id = &stopping.record.id;
        if let Some(process) = &stopping.process {
            let left = stopping.patience.map(|patience| (begin + patience).saturating_duration_since(Instant::now()));
            if !ends_within(process, left)? {
                send(process, Signal::SIGKILL as i32)?;
            }
        }
        self.wait_until_dead(id)?;
        Notes::default().and(&stopping.record, "stop", &[]).write(self.dirs());
        Ok(())
    }

    /// The supervisor sees the end of its program, writes it down and lets go of the lock; or is dead itself.
    pub(crate) fn wait_until_dead(&self, id: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Some(patience) = deadline.checked_duration_since(Instant::now()) {
            if Lock::of_the_dead(self.dirs(), id).is_ok() {
                return Ok(());
            }
            // Its program is what its supervisor waits for; what comes after takes no more than a millisecond or two.
            match State::read(self.dirs(), id).and_then(|state| state.open()) {
                Some(process) => drop(ends_within(&process, Some(patience))?),
                None => std::thread::sleep(Duration::from_micros(500)),
            }
        }
        Err(still_alive(id))
    }

    /// Sends a signal to a running container's program.
    ///
    /// # Errors
    /// [`Refusal`] for a container that does not run.
    pub fn kill(&self, reference: &str, signal: i32) -> Result<()> {
        let Container { record, status, .. } = Container::find(self.dirs(), reference)?;
        let state = match status {
            Status::Running(state) => state,
            // There is no process; that nobody starts one is what is wanted.
            Status::Restarting(_) => {
                self.end_its_restarts(&record.id)?;
                return self.wait_until_dead(&record.id);
            }
            _ => return Err(not_running(reference)),
        };
        // As docker: what is killed by hand stays down, even where its policy is to start again.
        if signal == Signal::SIGKILL as i32 {
            self.end_its_restarts(&record.id)?;
        }
        state.signal(signal)?;
        self.go_on(&record, &state)?;
        Notes::default().and(&record, "kill", &[("signal", signal.to_string())]).write(self.dirs());
        Ok(())
    }

    /// Waits until the container has ended: its exit code. One that has ended already is no reason to wait.
    ///
    /// # Errors
    /// When it has been removed before anybody could ask how it ended.
    pub fn wait(&self, reference: &str) -> Result<u8> {
        let id = find_id(self.dirs(), reference)?;
        // One that was never started does not run, which is all that docker waits for.
        if matches!(Container::read(self.dirs(), &id).map(|container| container.status), Some(Status::Created)) {
            return Ok(0);
        }
        // A `--rm` container's record is gone by then; what its supervisor said last is still in the open file.
        let live = LastWord::ask_for(self.dirs(), &id);
        Lock::wait(self.dirs(), &id)?;
        let record = Record::read(self.dirs(), &id);
        let was_there = record.is_some();
        match record.and_then(|record| record.exit).or_else(|| live.and_then(LastWord::exit)) {
            Some(exit) => Ok(exit.code),
            // Its supervisor was killed.
            None if was_there => Ok(255),
            None => Err(none(reference)),
        }
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`Refusal`] for a name that another container has.
    pub fn rename(&self, reference: &str, name: &str) -> Result<()> {
        names::check(name)?;
        let id = find_id(self.dirs(), reference)?;
        let _turn = Turn::take(self.dirs(), &id, reference)?;
        let mut record = Record::find(self.dirs(), &id, reference)?;
        if record.auto_remove {
            return Err(Refusal::new("a container that is removed when it ends keeps its name").code(1).into());
        }
        let names = self.dirs().names();
        symlink(&id, names.join(name)).with_context(|| format!("the name `{name}` is taken"))?;
        let old = std::mem::replace(&mut record.name, name.to_owned());
        // Removed meanwhile: nobody else knows of the new name.
        record.rewrite(self.dirs(), reference).inspect_err(|_| drop(fs::remove_file(names.join(name))))?;
        fs::remove_file(names.join(&old)).or_else(gone).context("give up the old name")?;
        network::rename(self.dirs(), &id, &old, name)?;
        Notes::default().and(&record, "rename", &[("oldName", format!("/{old}"))]).write(self.dirs());
        Ok(())
    }
}

/// A container's name, and whether it was started.
pub type Outcome = (String, Result<Result<(), Failed>>);

/// How containers are stopped.
#[derive(Debug, Clone, Default)]
pub struct StopRequest {
    /// The signal that asks, in place of the container's own.
    pub signal: Option<String>,
    /// How long to wait before killing: `None` is what the container says, `Some(None)` is for ever.
    pub patience: Option<Option<Duration>>,
}

struct Stopping {
    record: Record,
    process: Option<OwnedFd>,
    patience: Option<Duration>,
}

/// In `RUN/containers/<id>`: somebody has stopped it.
const STAY_DOWN: &str = "stay-down";

fn send(process: &OwnedFd, signal: i32) -> Result<()> {
    match sys::process::pidfd_send(process, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("send signal {signal}")),
    }
}

/// Waits until the process has ended; false when it has not in time.
fn ends_within(process: &OwnedFd, patience: Option<Duration>) -> Result<bool> {
    let end = patience.map(|patience| Instant::now() + patience);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        // A pidfd becomes readable when its process has ended.
        match poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(1..) => return Ok(true),
            Ok(_) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("wait for the end of the program"),
        }
    }
}

/// Why nothing can be done with the program of a container that has this status.
pub(crate) fn not_up(reference: &str, status: &Status) -> anyhow::Error {
    if matches!(status, Status::Restarting(_)) {
        let refusal = Refusal::new(format!("container `{reference}` is restarting"));
        return refusal.help("wait until it runs").code(1).into();
    }
    not_running(reference)
}

pub(crate) fn is_paused(reference: &str) -> anyhow::Error {
    Refusal::new(format!("container `{reference}` is paused")).help("`tara unpause` lets it go on").code(1).into()
}

pub(crate) fn not_running(reference: &str) -> anyhow::Error {
    Refusal::new(format!("container `{reference}` is not running")).help("`tara start` starts it again").code(1).into()
}

/// A signal by number (`15`), by name (`SIGTERM`) or by short name (`term`).
///
/// # Errors
/// [`Refusal`] for what is none.
pub fn parse_signal(text: &str) -> Result<i32> {
    let refused =
        || Refusal::new(format!("`{text}` is no signal")).help("write a name like TERM or a number like 15").code(1);
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(refused().into()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    Signal::from_str(&name).map(|signal| signal as i32).map_err(|_| refused().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["15", "TERM", "SIGTERM", "term"] {
            assert_eq!(parse_signal(text).unwrap(), 15, "{text}");
        }
        assert!(parse_signal("0").is_err() && parse_signal("65").is_err() && parse_signal("SIGNO").is_err());
    }
}
