//! A container outlives the command that started it: start, stop, kill, wait, rename.

use crate::container::{Container, LastWord, Lock, Record, State, Status, find_id};
use crate::engine::{Engine, Say};
use crate::monitor::{Failed, Task, start as start_monitor};
use crate::names;
use crate::network;
use crate::reclaim::put_to_rest;
use crate::report::Refusal;
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::str::FromStr;
use std::time::{Duration, Instant};
use step02_pid_ns::ForwardedSignals;

impl Engine {
    /// What the monitor does: [`crate::monitor`] calls it in its own process.
    pub(crate) fn monitor(&self, task: &Task, say: Say<'_>) -> Result<()> {
        match task {
            Task::Run(request) => self.run_new(request, Some(say)).map(drop),
            Task::Start(id) => self.start_again(id, say),
        }
    }

    fn start_again(&self, id: &str, say: Say<'_>) -> Result<()> {
        let signals = ForwardedSignals::block()?;
        let lock = Lock::create(self.dirs(), id)?;
        let record = Record::read(self.dirs(), id).context("the container's record cannot be read")?;
        let before = record.clone();
        // What a killed supervisor left of the last run: its ports would be in the way.
        network::forget(self.dirs(), id)?;
        State::forget(self.dirs(), id);
        let overlay = self.overlay(id, &record.layers, record.auto_remove)?;
        match self.start_made(record, &overlay, None, &signals, Some(say)) {
            Ok(record) => self.end(&record, lock).map(drop),
            Err(error) => {
                before.write(self.dirs())?;
                network::forget(self.dirs(), id)?;
                put_to_rest(self.dirs(), id, lock)?;
                Err(error.context(format!("cannot start container `{}`", before.name)))
            }
        }
    }

    /// Starts a container that does not run; one that runs is left as it is.
    ///
    /// # Errors
    /// What keeps its program from running.
    pub fn start(&self, reference: &str) -> Result<Result<(), Failed>> {
        let container = Container::find(self.dirs(), reference)?;
        match container.status {
            Status::Running(_) | Status::Starting => Ok(Ok(())),
            _ => Ok(start_monitor(self, &Task::Start(container.record.id))?.map(drop)),
        }
    }

    /// Asks the programs of `references` to end, all at once; kills those that have not after `patience`. One result each.
    pub fn stop(&self, references: &[String], patience: Duration) -> Vec<Result<()>> {
        let deadline = Instant::now() + patience;
        let asked: Vec<Result<Option<Stopping>>> = references.iter().map(|name| self.ask_to_stop(name)).collect();
        let finish = |asked: Result<Option<Stopping>>| match asked? {
            Some(stopping) => self.finish_stop(&stopping, deadline),
            None => Ok(()),
        };
        asked.into_iter().map(finish).collect()
    }

    fn ask_to_stop(&self, reference: &str) -> Result<Option<Stopping>> {
        let Container { record, status } = Container::find(self.dirs(), reference)?;
        let Status::Running(state) = status else { return Ok(None) };
        let signal = record.stop_signal.as_deref().map_or(Ok(Signal::SIGTERM as i32), parse_signal)?;
        state.signal(signal)?;
        self.go_on(&record, &state)?;
        Ok(Some(Stopping { id: record.id, state }))
    }

    fn finish_stop(&self, stopping: &Stopping, deadline: Instant) -> Result<()> {
        while Lock::of_the_dead(self.dirs(), &stopping.id).is_err() {
            if Instant::now() >= deadline {
                stopping.state.signal(Signal::SIGKILL as i32)?;
                return self.wait_until_dead(&stopping.id);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Sends a signal to a running container's program.
    ///
    /// # Errors
    /// [`Refusal`] for a container that does not run.
    pub fn kill(&self, reference: &str, signal: i32) -> Result<()> {
        let Container { record, status } = Container::find(self.dirs(), reference)?;
        match status {
            Status::Running(state) => state.signal(signal).and_then(|()| self.go_on(&record, &state)),
            _ => Err(not_running(reference)),
        }
    }

    /// Waits until the container has ended: its exit code. One that has ended already is no reason to wait.
    ///
    /// # Errors
    /// When its record is gone.
    pub fn wait(&self, reference: &str) -> Result<u8> {
        let id = find_id(self.dirs(), reference)?;
        let live = LastWord::open(self.dirs(), &id);
        Lock::wait(self.dirs(), &id)?;
        let ended = Record::read(self.dirs(), &id).and_then(|record| record.exit);
        // A `--rm` container's record is gone by now; what its supervisor said last is still in the open file.
        let ended = ended.or_else(|| live.and_then(LastWord::exit));
        Ok(ended.map_or(255, |exit| exit.code))
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`Refusal`] for a name that another container has.
    pub fn rename(&self, reference: &str, name: &str) -> Result<()> {
        names::check(name)?;
        let id = find_id(self.dirs(), reference)?;
        let mut record = Record::read(self.dirs(), &id).context("the container's record cannot be read")?;
        if record.auto_remove {
            return Err(Refusal::new("a container that is removed when it ends keeps its name").code(1).into());
        }
        let names = self.dirs().names();
        symlink(&id, names.join(name)).with_context(|| format!("the name `{name}` is taken"))?;
        let old = std::mem::replace(&mut record.name, name.to_owned());
        record.write(self.dirs())?;
        fs::remove_file(names.join(old)).context("give up the old name")
    }
}

struct Stopping {
    id: String,
    state: State,
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
