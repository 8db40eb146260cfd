//! What has happened: one JSON object a line in docker's form, appended to `RUN/events.json`.
//!
//! Whoever does something writes it down himself, with one write(2): there is no daemon to tell. A file that has reached its bound
//! becomes `events.json.1`, and so the last megabyte at least is there. Trouble with it is nobody's: no command fails for it.

mod attached;

use crate::container::Record;
use crate::dirs::Dirs;
use crate::report::Refusal;
use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

/// One of them. Source: docker's API, `GET /events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `container`, `image`, `volume` or `network`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// What happened to it.
    #[serde(rename = "Action")]
    pub action: String,
    /// To whom.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local`: there is one machine.
    pub scope: String,
    /// Seconds since 1970.
    pub time: i64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// To whom something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Its id; an image's or a volume's name.
    #[serde(rename = "ID")]
    pub id: String,
    /// What else is known: `name`, `image`, `exitCode`, labels.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// A file of them is not made longer than that.
const BOUND: u64 = 1024 * 1024;

fn path(dirs: &Dirs) -> PathBuf {
    dirs.run.join("events.json")
}

/// Events that are written down together, by one write(2).
#[derive(Debug, Default)]
pub struct Notes(Vec<u8>);

impl Notes {
    /// Adds one about a container.
    #[must_use]
    pub fn and(mut self, record: &Record, action: &str, more: &[(&str, String)]) -> Self {
        let labels = record.spec.annotations().iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
        let mut attributes: BTreeMap<String, String> = labels.collect();
        attributes.insert("image".to_owned(), record.image.clone());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.add("container", action, &record.id, attributes);
        self
    }

    /// An `oom` before the `die` of one that the kernel has ended for want of memory.
    #[must_use]
    pub(crate) fn and_oom(self, record: &Record) -> Self {
        let oom = record.exit.as_ref().is_some_and(|exit| exit.oom_killed);
        if oom { self.and(record, "oom", &[]) } else { self }
    }

    fn add(&mut self, kind: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let now = Timestamp::now();
        let event = Event {
            kind: kind.to_owned(),
            action: action.to_owned(),
            actor: Actor { id: id.to_owned(), attributes },
            scope: "local".to_owned(),
            time: now.as_second(),
            time_nano: i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
        };
        if serde_json::to_writer(&mut self.0, &event).is_ok() {
            self.0.push(b'\n');
        }
    }

    /// Writes them down.
    pub fn write(self, dirs: &Dirs) {
        let path = path(dirs);
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        // Before the first container the folder is not there.
        let opened = open().or_else(|_| dirs.make().map_err(std::io::Error::other).and_then(|()| open()));
        let Ok(mut file) = opened else { return };
        let _full_disk = file.write_all(&self.0);
        // An append ends at the file's end, so its place says how long the file is.
        if std::io::Seek::stream_position(&mut file).is_ok_and(|size| size > BOUND) {
            let of_now = fs::metadata(&path).map(|meta| meta.ino());
            // Somebody else may have put it aside a moment ago.
            if of_now.ok() == file.metadata().ok().map(|meta| meta.ino()) {
                let _gone = fs::rename(&path, path.with_extension("json.1"));
            }
        }
    }
}

/// Writes one down about a container.
pub fn note(dirs: &Dirs, record: &Record, action: &str, more: &[(&str, String)]) {
    Notes::default().and(record, action, more).write(dirs);
}

/// Writes one down about something else: an image, a volume, a network.
pub fn note_other(dirs: &Dirs, kind: &str, action: &str, id: &str, more: &[(&str, String)]) {
    let mut attributes: BTreeMap<String, String> =
        more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    if !id.is_empty() {
        attributes.entry("name".to_owned()).or_insert_with(|| id.to_owned());
    }
    let mut notes = Notes::default();
    notes.add(kind, action, id, attributes);
    notes.write(dirs);
}

/// Which are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// From this time on; without it, only what comes.
    pub since: Option<Timestamp>,
    /// Before this time; without it, for ever.
    pub until: Option<Timestamp>,
    /// `NAME` and `VALUE` of each filter: of the same name any has to fit, of different names all.
    pub filters: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    /// Adds docker's `NAME=VALUE`.
    ///
    /// # Errors
    /// [`Refusal`] for a name that is unknown.
    pub fn filter(&mut self, text: &str) -> Result<()> {
        const NAMES: [&str; 8] = ["type", "event", "container", "image", "label", "volume", "network", "scope"];
        match text.split_once('=') {
            Some((name, value)) if NAMES.contains(&name) => {
                self.filters.entry(name.to_owned()).or_default().push(value.to_owned());
                Ok(())
            }
            _ => {
                let help = format!("write NAME=VALUE with one of {}", NAMES.join(", "));
                Err(Refusal::new(format!("`--filter {text}`")).help(help).into())
            }
        }
    }

    fn takes(&self, event: &Event) -> bool {
        let nanos = |time: Timestamp| i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX);
        self.since.is_none_or(|since| event.time_nano >= nanos(since))
            && self.until.is_none_or(|until| event.time_nano < nanos(until))
            && self.filters.iter().all(|(name, values)| values.iter().any(|value| fits(event, name, value)))
    }
}

fn fits(event: &Event, name: &str, value: &str) -> bool {
    let attribute = |key: &str| event.actor.attributes.get(key).map(String::as_str);
    let is_actor = || event.actor.id.starts_with(value) || attribute("name") == Some(value);
    match name {
        "type" => event.kind == value,
        // `health_status` takes `health_status: healthy`, as docker's.
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "container" | "volume" | "network" => event.kind == name && is_actor(),
        "image" => attribute("image") == Some(value) || (event.kind == "image" && is_actor()),
        "label" => match value.split_once('=') {
            Some((key, wanted)) => attribute(key) == Some(wanted),
            None => attribute(value).is_some(),
        },
        _ => event.scope == value,
    }
}

/// Gives `show` every wanted event: those that are there, when `since` asks for them, and those that come, until `until`.
///
/// # Errors
/// What keeps the file from being watched; what `show` says.
pub fn follow(dirs: &Dirs, wanted: &Wanted, show: &mut dyn FnMut(&Event) -> Result<()>) -> Result<()> {
    dirs.make()?;
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("watch the events")?;
    watch.add_watch(&dirs.run, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
    let path = path(dirs);
    let begin = Timestamp::now();
    let wanted = Wanted { since: wanted.since.or(Some(begin)), ..wanted.clone() };
    let mut show = |line: &str| match serde_json::from_str::<Event>(line) {
        Ok(event) if wanted.takes(&event) => show(&event),
        _ => Ok(()),
    };
    if let Ok(file) = File::open(path.with_extension("json.1")) {
        BufReader::new(file).lines().map_while(Result::ok).try_for_each(|line| show(&line))?;
    }
    let mut current: Option<Lines> = None;
    loop {
        let now = Timestamp::now();
        let is_there = fs::metadata(&path).map(|meta| meta.ino()).ok();
        if let Some(lines) = &mut current {
            while let Some(line) = lines.next()? {
                show(&line)?;
            }
        }
        if current.as_ref().map(|lines| lines.inode) != is_there {
            current = File::open(&path).ok().map(Lines::new).transpose()?;
            if current.is_some() {
                continue;
            }
        }
        let left = wanted.until.map(|until| until.duration_since(now));
        if left.is_some_and(|left| !left.is_positive()) {
            return Ok(());
        }
        let left = left.and_then(|left| Duration::try_from(left).ok());
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], timeout)?;
        let _one_of_many = watch.read_events();
    }
}

struct Lines {
    file: BufReader<File>,
    inode: u64,
    partial: String,
}

impl Lines {
    fn new(file: File) -> Result<Self> {
        let inode = file.metadata()?.ino();
        Ok(Self { file: BufReader::new(file), inode, partial: String::new() })
    }

    fn next(&mut self) -> Result<Option<String>> {
        self.file.read_line(&mut self.partial).context("read the events")?;
        Ok(self.partial.ends_with('\n').then(|| std::mem::take(&mut self.partial)))
    }
}

impl Event {
    /// docker's line for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let time = Timestamp::from_nanosecond(self.time_nano.into()).unwrap_or_default();
        let attributes: Vec<String> =
            self.actor.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{time} {} {} {} ({})", self.kind, self.action, self.actor.id, attributes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_combine_as_dockers() {
        let attributes = [("name", "web"), ("image", "box"), ("color", "red")];
        let event = Event {
            kind: "container".to_owned(),
            action: "health_status: healthy".to_owned(),
            actor: Actor {
                id: "abcdef".to_owned(),
                attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            },
            scope: "local".to_owned(),
            time: 0,
            time_nano: 0,
        };
        let takes = |filters: &[&str]| {
            let mut wanted = Wanted::default();
            filters.iter().for_each(|filter| wanted.filter(filter).unwrap());
            wanted.takes(&event)
        };
        assert!(takes(&["event=die", "event=health_status"]) && takes(&["container=web", "label=color=red"]));
        assert!(takes(&["container=abc", "type=container"]) && takes(&["image=box"]));
        assert!(!takes(&["event=die"]) && !takes(&["container=web", "label=color=blue"]) && !takes(&["type=image"]));
        assert!(Wanted::default().filter("x=1").is_err() && Wanted::default().filter("type").is_err());
    }
}
