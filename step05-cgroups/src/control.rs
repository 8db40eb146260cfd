//! Stopping all processes of a cgroup for a while, or for good.

use crate::cgroup::{Cgroup, DEADLINE, deadline};
use crate::directory::Directory;
use crate::hierarchy::{Controller, Version};
use crate::{Error, files};
use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::unistd::Pid;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

impl Cgroup {
    /// Stops every process in it, and returns once all stand still. They cannot notice, and cannot go on by themselves.
    ///
    /// In v1 the freezer is a tree of its own: the cgroup in it is made now, frozen, and the processes are moved into it, so that a
    /// start does not pay for it.
    ///
    /// # Errors
    /// [`Error::Deadline`] when a process does not stop; then all go on.
    // ANCHOR: freeze
    pub fn freeze(&mut self) -> Result<(), Error> {
        // ANCHOR: task4_freeze
        let made = self.ensure_freezer()?;
        let Some(freezer) = self.directory_of(Controller::Freezer) else { return Ok(()) };
        order(freezer, true)?;
        if made {
            self.gather(Controller::Freezer)?;
        }
        let frozen = wait_until("freeze", "frozen", &freezer.path, || {
            // A process of v1 that forks meanwhile escapes the first order: it is said again (cgroup-v1/freezer-subsystem.rst).
            if freezer.version == Version::V1 {
                order(freezer, true)?;
            }
            is_frozen(freezer)
        });
        frozen.inspect_err(|_| drop(order(freezer, false)))
        // ANCHOR_END: task4_freeze
    }
    // ANCHOR_END: freeze

    /// Lets them go on. Not frozen is no error; nor is it when all have ended meanwhile, and the cgroup is gone.
    ///
    /// # Errors
    /// write(2).
    pub fn thaw(&self) -> Result<(), Error> {
        let Some(freezer) = self.directory_of(Controller::Freezer) else { return Ok(()) };
        order(freezer, false).or_else(|error| if freezer.path.exists() { Err(error) } else { Ok(()) })
    }

    /// Whether its processes stand still.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn is_frozen(&self) -> Result<bool, Error> {
        self.directory_of(Controller::Freezer).map_or(Ok(false), is_frozen)
    }

    /// Ends every process in it by SIGKILL, also one that forks faster than it is killed, and returns once none is left.
    ///
    /// # Errors
    /// [`Error::Deadline`].
    // ANCHOR: kill
    pub fn kill(&mut self) -> Result<(), Error> {
        // ANCHOR: task4_kill
        let Some(path) = self.directories.first().map(|directory| directory.path.clone()) else { return Ok(()) };
        // Linux 5.14 and newer: one write, and nobody born meanwhile escapes.
        let all_in_v2 = self.directories.len() == 1 && files::write(&path.join("cgroup.kill"), "1").is_ok();
        wait_until("kill", "dead", &path, || {
            if !all_in_v2 && !self.processes()?.is_empty() {
                self.kill_each()?;
            }
            Ok(self.processes()?.is_empty())
        })
        // ANCHOR_END: task4_kill
    }

    /// Frozen, nobody forks: so one round meets all. The signal is taken when they go on.
    fn kill_each(&mut self) -> Result<(), Error> {
        let _without_a_freezer_in_rounds = self.freeze();
        let named: Vec<(i32, OwnedFd)> = self.processes()?.into_iter().filter_map(opened).collect();
        // Listed again: a number that still is in the cgroup names, by the descriptor, one of its processes and no other.
        let still = self.processes()?;
        for (_, process) in named.iter().filter(|(pid, _)| still.contains(pid)) {
            match sys::process::pidfd_send(process, SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::path("kill a process in", Path::new(&self.name()), errno)),
            }
        }
        self.thaw()
    }
    // ANCHOR_END: kill

    /// Whether the directory of the freezer had to be made.
    fn ensure_freezer(&mut self) -> Result<bool, Error> {
        let there = self.directory_of(Controller::Freezer).is_some();
        if !there {
            self.make_freezer()?;
        }
        Ok(!there)
    }
}

fn opened(pid: i32) -> Option<(i32, OwnedFd)> {
    Some((pid, sys::process::pidfd_open(Pid::from_raw(pid)).ok()?))
}

fn order(freezer: &Directory, freeze: bool) -> Result<(), Error> {
    let (file, order) = match (freezer.version, freeze) {
        (Version::V1, true) => ("freezer.state", "FROZEN"),
        (Version::V1, false) => ("freezer.state", "THAWED"),
        (Version::V2, true) => ("cgroup.freeze", "1"),
        (Version::V2, false) => ("cgroup.freeze", "0"),
    };
    let path = freezer.path.join(file);
    files::write(&path, order).map_err(|errno| Error::path("write", &path, errno))
}

fn is_frozen(freezer: &Directory) -> Result<bool, Error> {
    let text = |file| Ok::<_, Error>(files::read(&freezer.path.join(file))?.unwrap_or_default());
    match freezer.version {
        Version::V1 => Ok(text("freezer.state")?.trim() == "FROZEN"),
        Version::V2 => Ok(files::keyed(&text("cgroup.events")?, "frozen") == Some(1)),
    }
}

fn wait_until(
    doing: &'static str,
    state: &'static str,
    path: &Path,
    mut question: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let (begin, mut pause) = (Instant::now(), Duration::from_micros(100));
    while !question()? {
        if begin.elapsed() > DEADLINE {
            return Err(deadline(doing, state, path));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    Ok(())
}
