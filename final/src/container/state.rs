//! What lives of a container: `state.json`, and the marks beside it.

use super::file::{Sync, write_new};
use super::record::{Exit, Record};
use crate::dirs::Dirs;
use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;

pub(super) const STATE: &str = "state.json";
pub(super) const PAUSE: &str = "restarting.json";
/// There when somebody waits for the end (`wait`).
const ASKED_FOR: &str = "asked-for";
/// There as long as the container is paused. The kernel knows it too, but to ask it takes as long as all the rest of `ps`.
pub(crate) const PAUSED: &str = "paused";

/// What lives of a running container: `RUN/containers/<id>/state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The first process, as the host numbers it.
    pub host_pid: i32,
    /// Its start time in clock ticks since boot: a pid alone may be somebody else's by now.
    pub start_time: u64,
    /// When its program began.
    pub started: Timestamp,
    /// Whether all its processes are stopped (`pause`).
    #[serde(skip)]
    pub paused: bool,
}

impl State {
    /// Forgets what a supervisor that was killed wrote down of the last run. Under the container's lock.
    pub(crate) fn forget(dirs: &Dirs, id: &str) {
        let _none_is_as_good = fs::remove_file(dirs.live(id).join(STATE));
    }

    /// Reads what lives of `id`; `None` when its program has not begun, or nothing of it lives.
    #[must_use]
    pub fn read(dirs: &Dirs, id: &str) -> Option<Self> {
        let state = Live::<Record>::read(dirs, id)?.state;
        Some(Self { paused: dirs.live(id).join(PAUSED).exists(), ..state })
    }

    /// Sends a signal to the first process of the container. SIGKILL ends all the others with it: the kernel ends a PID
    /// namespace with its PID 1.
    ///
    /// # Errors
    /// pidfd_send_signal(2). A process that is gone, or a pid that is another process by now, is no error.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.open().map_or(Ok(()), |process| send(&process, signal))
    }

    /// The first process of the container; `None` when it is gone, or its pid is another process by now.
    #[must_use]
    pub fn open(&self) -> Option<OwnedFd> {
        open_process(Pid::from_raw(self.host_pid), self.start_time)
    }
}

/// The process `pid` that began at `start_time`; `None` when it is gone, or its pid is another process by now.
pub(crate) fn open_process(pid: Pid, start_time: u64) -> Option<OwnedFd> {
    let process = sys::process::pidfd_open(pid).ok()?;
    // Asked after the descriptor is open: from then on the number cannot become somebody else's.
    (sys::process::start_time(pid).ok() == Some(start_time)).then_some(process)
}

/// Sends a signal to a process. One that is gone is no error.
pub(crate) fn send(process: &OwnedFd, signal: i32) -> Result<()> {
    match sys::process::pidfd_send(process, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("send signal {signal}")),
    }
}

/// The open `state.json` of a container: what its monitor says last is read here even when the file has lost its name.
#[derive(Debug)]
pub struct LastWord(File);

impl LastWord {
    /// Opens it, and says that somebody wants to know; `None` when nothing of the container lives.
    #[must_use]
    pub fn ask_for(dirs: &Dirs, id: &str) -> Option<Self> {
        let folder = dirs.live(id);
        let _ends_at_this_moment = File::create(folder.join(ASKED_FOR));
        File::open(folder.join(STATE)).ok().map(Self)
    }

    /// Whether somebody wants to know: a `tara run --rm` writes nothing else when it ends.
    #[must_use]
    pub(crate) fn is_asked_for(dirs: &Dirs, id: &str) -> bool {
        dirs.live(id).join(ASKED_FOR).exists()
    }

    /// How the container ended, if its monitor has said so.
    #[must_use]
    pub fn exit(mut self) -> Option<Exit> {
        let mut text = String::new();
        self.0.read_to_string(&mut text).ok()?;
        serde_json::from_str::<Live<Record>>(&text).ok()?.record?.exit
    }
}

/// `RUN/containers/<id>/state.json`: the state, and the record where it is nowhere else.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Live<R> {
    #[serde(flatten)]
    pub(super) state: State,
    pub(super) record: Option<R>,
}

impl Live<Record> {
    pub(super) fn read(dirs: &Dirs, id: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(dirs.live(id).join(STATE)).ok()?).ok()
    }
}

impl Exit {
    /// Says that the monitor is about to start the program again: `RUN/containers/<id>/restarting.json` in the place of the
    /// state.
    ///
    /// # Errors
    /// write(2).
    pub(crate) fn write_pause(&self, dirs: &Dirs, id: &str) -> Result<()> {
        let folder = dirs.live(id);
        write_new(&folder.join(PAUSE), self, Sync::Later)?;
        fs::remove_file(folder.join(STATE)).context("end the container's state")
    }

    pub(super) fn read_pause(dirs: &Dirs, id: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(dirs.live(id).join(PAUSE)).ok()?).ok()
    }
}

/// Notes that the container is paused, or no longer.
pub(crate) fn set_paused(dirs: &Dirs, id: &str, paused: bool) -> Result<()> {
    let path = dirs.live(id).join(PAUSED);
    let done = if paused { fs::write(&path, "") } else { fs::remove_file(&path).or_else(crate::reclaim::gone) };
    done.with_context(|| format!("note in `{}` whether it is paused", path.display()))
}
