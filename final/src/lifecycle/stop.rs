//! Ending a container's program: asked, then killed; and waiting for its end.

use super::not_running;
use super::remove::still_alive;
use crate::container::{Container, LastWord, Lock, Record, State, Status, find_id, none, send};
use crate::engine::Engine;
use crate::events::Notes;
use crate::report::Refusal;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How containers are stopped.
#[derive(Debug, Clone, Default)]
pub struct StopRequest {
    /// The signal that asks, in place of the container's own.
    pub signal: Option<String>,
    /// How long to wait before killing: `None` is what the container says, `Some(None)` is for ever.
    pub patience: Option<Option<Duration>>,
    /// Whether they are to be started again: then one that is removed when it ends stays.
    pub to_start_again: bool,
}

struct Stopping {
    record: Record,
    process: Option<OwnedFd>,
    patience: Option<Duration>,
}

impl Engine {
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

    /// As [`Container::find`]; one that somebody is starting, by hand or by its policy, is waited for: there is no process yet to
    /// send a signal to, and it will not stay so.
    fn find_once_started(&self, reference: &str) -> Result<Container> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let found = Container::find(self.dirs(), reference)?;
            if !matches!(found.status, Status::Starting) || Instant::now() >= deadline {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn ask_to_stop(&self, reference: &str, how: &StopRequest) -> Result<Option<Stopping>> {
        let Container { record, status, .. } = self.find_once_started(reference)?;
        let signal = how.signal.as_ref().or(record.upkeep.stop_signal.as_ref()).or(record.stop_signal.as_ref());
        let signal = signal.map_or(Ok(Signal::SIGTERM as i32), |text| parse_signal(text))?;
        let patience =
            how.patience.unwrap_or(Some(Duration::from_secs(record.upkeep.stop_timeout.unwrap_or(10).into())));
        match status {
            Status::Running(_) | Status::Restarting(_) => self.end_its_restarts(&record.id)?,
            _ => return Ok(None),
        }
        if how.to_start_again && record.auto_remove {
            self.keep(&record.id)?;
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
        let Container { record, status, .. } = self.find_once_started(reference)?;
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
