//! A container on the disk: how it is found, and what it is doing.
//!
//! | module | its part |
//! |---|---|
//! | `record` | what stays: `ROOT/containers/<id>/container.json` |
//! | `state` | what lives: `RUN/containers/<id>/state.json` |
//! | `lock` | whether anybody looks after it |
//! | `file` | how either is written |

mod file;
mod lock;
mod record;
mod state;

pub use lock::{Alive, Lock};
pub(crate) use lock::{Turn, is_locked};
pub use record::{Asked, AskedPrivileges, Exit, Record};
pub use state::{LastWord, State};
pub(crate) use state::{PAUSED, open_process, send, set_paused};

use crate::dirs::Dirs;
use crate::monitor::health::Health;
use crate::names;
use crate::report::Refusal;
use anyhow::{Context, Result};
use lock::is_alive;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What a container is doing, by what the lock and the files say.
#[derive(Debug, Clone)]
pub enum Status {
    /// It is made, and its program has never run.
    Created,
    /// Its supervisor lives; its program does not run yet.
    Starting,
    /// Its supervisor lives, and so does the program.
    Running(State),
    /// It has ended, and its monitor is about to start it again.
    Restarting(Exit),
    /// It has ended.
    Exited(Exit),
    /// Its supervisor is dead and has not said how the program ended.
    Abandoned(Option<State>),
}

/// A container that is there.
#[derive(Debug, Clone)]
pub struct Container {
    /// What stays.
    pub record: Record,
    /// What it is doing.
    pub status: Status,
    /// What its health checks have found, while it runs and has some.
    pub health: Option<Health>,
}

impl Status {
    /// docker's word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created | Self::Starting => "created",
            Self::Running(state) if state.paused => "paused",
            Self::Running(_) => "running",
            Self::Restarting(_) => "restarting",
            Self::Exited(_) => "exited",
            Self::Abandoned(_) => "dead",
        }
    }
}

impl Container {
    /// Reads the container with exactly this id; `None` when it is not there or half-made.
    #[must_use]
    pub fn read(dirs: &Dirs, id: &str) -> Option<Self> {
        // The lock is asked before the record: a container that ends in between is seen as ended, not as abandoned.
        let alive = is_alive(dirs, id);
        let state = State::read(dirs, id);
        let record = Record::read(dirs, id)?;
        let status = match (alive, state, record.exit.clone()) {
            (_, _, Some(exit)) => Status::Exited(exit),
            (Some(true), Some(state), None) => Status::Running(state),
            (Some(true), None, None) => match Exit::read_pause(dirs, id) {
                Some(exit) => Status::Restarting(exit),
                None => Status::Starting,
            },
            (None, None, None) if record.started.is_none() => Status::Created,
            (_, state, None) => Status::Abandoned(state),
        };
        let is_checked = record.upkeep.health.is_some() && matches!(status, Status::Running(_));
        let health = is_checked.then(|| Health::read(dirs, id)).flatten();
        Some(Self { record, status, health })
    }

    /// All containers, the newest first.
    ///
    /// # Errors
    /// When the folder of containers cannot be read.
    pub fn all(dirs: &Dirs) -> Result<Vec<Self>> {
        let mut all: Vec<_> = ids(&dirs.containers())?.iter().filter_map(|id| Self::read(dirs, id)).collect();
        all.sort_by_key(|container| std::cmp::Reverse(container.record.created));
        Ok(all)
    }

    /// Finds a container by its id, its name, or the beginning of its id, in this order.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, or several ids begin so.
    pub fn find(dirs: &Dirs, reference: &str) -> Result<Self> {
        let id = find_id(dirs, reference)?;
        Self::read(dirs, &id).ok_or_else(|| none(reference))
    }
}

/// The id that `reference` means, even of a container that is half-made.
///
/// # Errors
/// As [`Container::find`].
pub fn find_id(dirs: &Dirs, reference: &str) -> Result<String> {
    if names::check(reference).is_err() {
        return Err(none(reference));
    }
    let ids = ids(&dirs.containers())?;
    if ids.iter().any(|id| id == reference) {
        return Ok(reference.to_owned());
    }
    if let Ok(id) = fs::read_link(dirs.names().join(reference)) {
        return Ok(id.display().to_string());
    }
    let mut begin_so = ids.into_iter().filter(|id| id.starts_with(reference));
    match (begin_so.next(), begin_so.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => {
            let what = format!("`{reference}` is the beginning of several container ids");
            Err(Refusal::new(what).help("write more digits of the id").code(1).into())
        }
        _ => Err(none(reference)),
    }
}

/// Why nothing can be done with a container that is not there.
pub(crate) fn none(reference: &str) -> anyhow::Error {
    let refusal = Refusal::new(format!("no such container: `{reference}`"));
    refusal.help("`tara ps -a` lists the containers").code(1).into()
}

/// The names in a folder; none when the folder is not there.
///
/// # Errors
/// readdir(3).
pub fn ids(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("read `{}`", folder.display()))?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// 64 random hexadecimal digits.
///
/// # Errors
/// getrandom(2).
pub fn new_id() -> Result<String> {
    let mut bytes = [0; 32];
    sys::process::random(&mut bytes).context("random bytes for an id")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
