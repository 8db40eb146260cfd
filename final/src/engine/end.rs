//! The end of a container: thrown away, started again, or recorded.

use super::Engine;
use crate::container::{Exit, Lock, Record};
use crate::events::Notes;
use crate::monitor::Monitor;
use crate::reclaim::put_to_rest;
use crate::trash::{Thrown, throw_away};
use crate::volumes;
use anyhow::Result;
use std::os::fd::OwnedFd;
use step02_pid_ns::ForwardedSignals;
use sys::explain::phase;

/// How a container came to its end.
#[derive(Debug)]
pub struct Finished {
    /// Its program's exit code.
    pub code: u8,
    /// With `--rm`: what is still to be removed.
    pub thrown: Option<Thrown>,
}

/// A container whose program has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) record: Record,
    /// Its mount and its network namespace. While we have them, the kernel neither unmounts, which with the last process it would do
    /// first, and tell of the end afterwards; nor takes the network down, which it would do beside us, on our processor.
    pub(crate) namespaces: Vec<OwnedFd>,
}

impl From<u8> for Finished {
    fn from(code: u8) -> Self {
        Self { code, thrown: None }
    }
}

impl Engine {
    /// After the end: `--rm` removes everything, a restart policy starts it again, else the record stays and says how it ended.
    pub(crate) fn end(
        &self,
        ran: Ran,
        lock: Lock,
        signals: &ForwardedSignals,
        monitor: Option<&mut Monitor>,
    ) -> Result<Finished> {
        let Ran { mut record, namespaces } = ran;
        let code = |record: &Record| record.exit.as_ref().map_or(125, |exit| exit.code);
        let died = |record: &Record| {
            let ran = record.exit.as_ref().and_then(Exit::ran).unwrap_or_default().as_secs();
            let more = [("exitCode", code(record).to_string()), ("execDuration", ran.to_string())];
            Notes::default().and_oom(record).and(record, "die", &more).and_left(record)
        };
        phase("away with all of it: renamed into the trash, emptied by whom this process leaves behind");
        if record.auto_remove && !self.is_kept(&record.id) {
            let notes = died(&record).and(&record, "destroy", &[]);
            if record.mounts.iter().any(|mount| mount.name.is_some()) {
                volumes::release(&self.dirs, &record.id, true)?;
            }
            let thrown = throw_away(&self.dirs, &record, lock)?;
            notes.write(&self.dirs);
            return Ok(Finished { code: code(&record), thrown: Some(thrown.with(namespaces)) });
        }
        died(&record).write(&self.dirs);
        if let Some(monitor) = monitor {
            record = self.start_by_policy(record, signals, monitor, &died)?;
        }
        // Its overlay goes before the lock: who starts it again mounts the same folders.
        drop(namespaces);
        record.write_ended(&self.dirs)?;
        put_to_rest(&self.dirs, &record.id, lock)?;
        Ok(code(&record).into())
    }
}
