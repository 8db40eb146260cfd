//! Reading a container's log.

use crate::container::{Container, Lock, Status, find_id};
use crate::dirs::Dirs;
use crate::engine::Engine;
use crate::monitor::log::{LogRecord, Stream, file_of_age};
use crate::report::Refusal;
use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
        let watch = wanted.follow.then(|| watch(&path)).transpose()?;
        let Some(mut reader) = Reader::open(&path)? else { return no_log(self.dirs(), &id, reference) };
        for record in tail(&mut reader, wanted)? {
            show(&parse(&record)?)?;
        }
        let Some(watch) = watch else { return Ok(()) };
        loop {
            // Asked before reading: what a dead container has written is all there.
            let ended = Lock::of_the_dead(self.dirs(), &id).is_ok();
            while let Some(line) = reader.next()? {
                let record = parse(&line)?;
                if wanted.until.is_some_and(|until| record.time >= until) {
                    return Ok(());
                }
                if wanted.takes(&record) {
                    show(&record)?;
                }
            }
            if ended {
                return Ok(());
            }
            // A fifth of a second at most: the end of a container changes nothing in its log.
            poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], 200u16)?;
            let _one_of_many = watch.read_events();
        }
    }
}

fn watch(path: &Path) -> Result<Inotify> {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("watch the log")?;
    let folder = path.parent().context("the log's folder")?;
    watch.add_watch(folder, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE).context("watch the log")?;
    Ok(watch)
}

fn parse(line: &str) -> Result<LogRecord<'_>> {
    serde_json::from_str(line).context("the log is damaged")
}

impl Wanted {
    fn takes(&self, record: &LogRecord<'_>) -> bool {
        self.since.is_none_or(|since| record.time >= since) && self.until.is_none_or(|until| record.time < until)
    }
}

/// The records that are there, as many of the last as are wanted.
fn tail(reader: &mut Reader, wanted: &Wanted) -> Result<VecDeque<String>> {
    let mut last = VecDeque::new();
    let by_time = wanted.since.is_some() || wanted.until.is_some();
    while let Some(line) = reader.next()? {
        if !by_time || wanted.takes(&parse(&line)?) {
            last.push_back(line);
        }
        if wanted.tail.is_some_and(|tail| last.len() > tail) {
            last.pop_front();
        }
    }
    Ok(last)
}

/// Reads a log from its oldest file on, and follows it when it is rotated: a file is known by its inode, whatever its name has
/// become.
struct Reader {
    path: PathBuf,
    lines: BufReader<File>,
    inode: u64,
    /// The beginning of a record whose end is not written yet.
    partial: String,
}

impl Reader {
    /// At the oldest file; `None` when there is none.
    fn open(path: &Path) -> Result<Option<Self>> {
        let Some(file) = oldest(path) else { return Ok(None) };
        let inode = file.metadata().context("look at the log")?.ino();
        Ok(Some(Self {
            path: path.to_owned(),
            lines: BufReader::with_capacity(64 * 1024, file),
            inode,
            partial: String::new(),
        }))
    }

    fn next(&mut self) -> Result<Option<String>> {
        loop {
            if !self.partial.ends_with('\n') {
                self.lines.read_line(&mut self.partial).context("read the log")?;
            }
            if self.partial.ends_with('\n') {
                return Ok(Some(std::mem::take(&mut self.partial)));
            }
            if !self.go_on()? {
                return Ok(None);
            }
        }
    }

    /// Goes on with the file that was begun after this one; false when there is none.
    fn go_on(&mut self) -> Result<bool> {
        let inode_of = |age| fs::metadata(file_of_age(&self.path, age)).map(|meta| meta.ino()).ok();
        if inode_of(0) == Some(self.inode) {
            return Ok(false);
        }
        // What was written to this one before it was put aside.
        self.lines.read_line(&mut self.partial).context("read the log")?;
        if self.partial.ends_with('\n') {
            // The caller's next turn takes it: it is whole.
            return Ok(true);
        }
        let age = (1..).take_while(|age| inode_of(*age).is_some()).find(|age| inode_of(*age) == Some(self.inode));
        let next = match age {
            Some(age) => File::open(file_of_age(&self.path, age - 1)).ok(),
            // It has been removed since: what is left begins with the oldest.
            None => oldest(&self.path),
        };
        let Some(next) = next else { return Ok(false) };
        let inode = next.metadata().context("look at the log")?.ino();
        if inode == self.inode {
            return Ok(false);
        }
        (self.lines, self.inode) = (BufReader::with_capacity(64 * 1024, next), inode);
        self.partial.clear();
        Ok(true)
    }
}

fn oldest(path: &Path) -> Option<File> {
    let age = (1..).take_while(|age| file_of_age(path, *age).exists()).last().unwrap_or(0);
    File::open(file_of_age(path, age)).or_else(|_| File::open(path)).ok()
}

/// One that was never started has said nothing.
fn no_log(dirs: &Dirs, id: &str, reference: &str) -> Result<()> {
    let found = Container::read(dirs, id).map(|container| container.status);
    if matches!(found, Some(Status::Created)) { Ok(()) } else { Err(without_log(reference)) }
}

fn without_log(reference: &str) -> anyhow::Error {
    let what = format!("container `{reference}` has no log");
    let help = "`--log-driver none` keeps none, and a `run --rm` in the foreground has given its output to you";
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
