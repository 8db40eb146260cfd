//! Reading a container's log.

use crate::container::{Lock, find_id};
use crate::engine::Engine;
use crate::monitor::log::{LogRecord, Stream};
use crate::report::Refusal;
use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;

/// Which records are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Go on until the container has ended.
    pub follow: bool,
    /// Only this many of the last ones.
    pub tail: Option<usize>,
    /// Only those from this time on.
    pub since: Option<Timestamp>,
    /// Only those before this time.
    pub until: Option<Timestamp>,
}

impl Engine {
    /// Gives every wanted record of the container's log to `show`.
    ///
    /// # Errors
    /// [`Refusal`] for a container without a log; what `show` says.
    pub fn logs(
        &self,
        reference: &str,
        wanted: &Wanted,
        show: &mut dyn FnMut(&LogRecord<'_>) -> Result<()>,
    ) -> Result<()> {
        let id = find_id(self.dirs(), reference)?;
        let path = self.dirs().log(&id);
        let Ok(file) = File::open(&path) else {
            // One that was never started has said nothing.
            let found = crate::container::Container::read(self.dirs(), &id).map(|container| container.status);
            let is_new = matches!(found, Some(crate::container::Status::Created));
            return if is_new { Ok(()) } else { Err(without_log(reference)) };
        };
        let watch = wanted.follow.then(|| watch(&path)).transpose()?;
        let mut reader = Reader { lines: BufReader::new(file), partial: String::new() };
        for record in tail(&mut reader, wanted)? {
            show(&serde_json::from_str(&record)?)?;
        }
        let Some(watch) = watch else { return Ok(()) };
        loop {
            // Asked before reading: what a dead container has written is all there.
            let ended = Lock::of_the_dead(self.dirs(), &id).is_ok();
            while let Some(line) = reader.next()? {
                let record: LogRecord<'_> = serde_json::from_str(&line)?;
                if wanted.takes(&record) {
                    show(&record)?;
                }
            }
            if ended {
                return Ok(());
            }
            // A second at most: the end of a container changes nothing in its log.
            poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], 200u16)?;
            let _one_of_many = watch.read_events();
        }
    }
}

fn watch(path: &std::path::Path) -> Result<Inotify> {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("watch the log")?;
    watch.add_watch(path, AddWatchFlags::IN_MODIFY).context("watch the log")?;
    Ok(watch)
}

impl Wanted {
    fn takes(&self, record: &LogRecord<'_>) -> bool {
        self.since.is_none_or(|since| record.time >= since) && self.until.is_none_or(|until| record.time < until)
    }
}

/// The records that are there, as many of the last as are wanted.
fn tail(reader: &mut Reader, wanted: &Wanted) -> Result<Vec<String>> {
    let mut last = std::collections::VecDeque::new();
    while let Some(line) = reader.next()? {
        if wanted.takes(&serde_json::from_str(&line).context("the log is damaged")?) {
            last.push_back(line);
        }
        if wanted.tail.is_some_and(|tail| last.len() > tail) {
            last.pop_front();
        }
    }
    Ok(last.into())
}

struct Reader {
    lines: BufReader<File>,
    /// The beginning of a record whose end is not written yet.
    partial: String,
}

impl Reader {
    fn next(&mut self) -> Result<Option<String>> {
        self.lines.read_line(&mut self.partial).context("read the log")?;
        Ok(self.partial.ends_with('\n').then(|| std::mem::take(&mut self.partial)))
    }
}

fn without_log(reference: &str) -> anyhow::Error {
    let what = format!("container `{reference}` has no log");
    let help = "only a detached container (`run -d`, `start`) has one; in the foreground its output went to you";
    Refusal::new(what).help(help).code(1).into()
}

/// A time as `--since` takes it: RFC 3339, seconds since 1970, or a length of time before now (`10m`, `1h30m`).
///
/// # Errors
/// [`Refusal`] for what is none.
pub fn parse_time(text: &str) -> Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).context("the time is out of range");
    }
    let ago = text.parse::<SignedDuration>().map_err(|_| {
        let help = "write 2026-01-31T12:00:00Z, seconds since 1970, or a length of time such as 10m";
        Refusal::new(format!("`{text}` is no time")).help(help).code(1)
    })?;
    Timestamp::now().checked_sub(ago).context("the time is out of range")
}

/// Whether a record goes to standard error.
#[must_use]
pub fn is_error(record: &LogRecord<'_>) -> bool {
    record.stream == Stream::Stderr
}
