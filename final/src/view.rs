//! The files of a container, as a descriptor: of one that runs as it sees them, of one that does not by an overlay made for us.
//!
//! Whoever uses it opens paths below it with openat2 and RESOLVE_IN_ROOT only, and no program of the container is ever run.

use crate::container::{Container, Lock, State, Status};
use crate::engine::Engine;
use crate::lifecycle::not_running;
use crate::reclaim::put_to_rest;
use crate::report::Refusal;
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, fchdir};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use step03_mount_overlay::{Mount, Mounts, Overlay, make_private};
use sys::mount::clone_tree;

/// The root of a container.
#[derive(Debug)]
pub struct View<'e> {
    root: Root,
    /// Of a container that does not run: as long as we hold it nobody starts it.
    lock: Option<(Lock, &'e Engine, String)>,
}

#[derive(Debug)]
enum Root {
    Running(OwnedFd),
    Mounted(Overlay),
}

impl AsFd for View<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.root {
            Root::Running(root) => root.as_fd(),
            Root::Mounted(overlay) => overlay.as_fd(),
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if let Some((lock, engine, id)) = self.lock.take() {
            // What stays is what a crash would have left: `system reclaim` knows it.
            let _left = put_to_rest(engine.dirs(), &id, lock);
        }
    }
}

impl<'e> View<'e> {
    /// With its volumes and all that is mounted in it.
    ///
    /// # Errors
    /// When it ends at this moment; what keeps an overlay from being mounted.
    pub fn with_mounts(engine: &'e Engine, container: &Container) -> Result<Self> {
        if let Status::Running(state) = &container.status {
            return Ok(Self { root: Root::Running(root_of(state, &container.record.name)?), lock: None });
        }
        let view = Self::at_rest(engine, container)?;
        let Root::Mounted(overlay) = &view.root else { return Ok(view) };
        let points: Vec<Mount> = container
            .record
            .mounts
            .iter()
            .filter(|point| point.kind != "tmpfs")
            .map(crate::volumes::MountPoint::mount)
            .collect();
        if !points.is_empty() {
            attach(overlay, &points)?;
        }
        Ok(view)
    }

    /// The root file system alone, without what is mounted in it.
    ///
    /// # Errors
    /// As [`View::with_mounts`].
    pub fn alone(engine: &'e Engine, container: &Container) -> Result<Self> {
        match &container.status {
            Status::Running(state) => {
                let root = root_of(state, &container.record.name)?;
                Ok(Self { root: Root::Running(without_mounts(state, &root)?), lock: None })
            }
            _ => Self::at_rest(engine, container),
        }
    }

    fn at_rest(engine: &'e Engine, container: &Container) -> Result<Self> {
        let record = &container.record;
        // Its monitor has the lock, and for long.
        if matches!(container.status, Status::Starting | Status::Restarting(_)) {
            return Err(Refusal::new(format!("container `{}` is just starting", record.name))
                .help("wait until it runs, or stop it")
                .code(1)
                .into());
        }
        let lock = Lock::create(engine.dirs(), &record.id)?;
        let overlay = engine.overlay(&record.id, &record.layers, false);
        let lock = Some((lock, engine, record.id.clone()));
        match overlay {
            Ok(overlay) => Ok(Self { root: Root::Mounted(overlay), lock }),
            Err(error) => {
                drop(Self { root: Root::Running(File::open("/")?.into()), lock });
                Err(error)
            }
        }
    }
}

/// The root of a running container: a descriptor by which everything is seen as it sees it.
fn root_of(state: &State, name: &str) -> Result<OwnedFd> {
    let pid = Pid::from_raw(state.host_pid);
    let path = format!("/proc/{pid}/root");
    let root = open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    // Asked after the descriptor is open: the number may have become somebody else's.
    if sys::process::start_time(pid).ok() != Some(state.start_time) {
        return Err(not_running(name));
    }
    root.context("open the root of the container")
}

/// A copy of the mount of its root, without those below it. Only who is in its mount namespace may make one: we go there and come back.
fn without_mounts(state: &State, root: &OwnedFd) -> Result<OwnedFd> {
    let pid = Pid::from_raw(state.host_pid);
    let ours = File::open("/proc/self/ns/mnt").context("open our mount namespace")?;
    let theirs = File::open(format!("/proc/{pid}/ns/mnt")).context("open the mount namespace of the container")?;
    let here = File::open(".").context("open the working directory")?;
    setns(&theirs, CloneFlags::CLONE_NEWNS).context("enter the mount namespace of the container")?;
    let copy = clone_tree(root.as_fd(), c"", false);
    setns(&ours, CloneFlags::CLONE_NEWNS).context("come back from the mount namespace of the container")?;
    fchdir(&here).context("come back to the working directory")?;
    copy.context("copy the mount of the container's root")
}

/// Attaches the overlay in a table of mounts that is ours alone, and the volumes in it: all is gone with this process.
fn attach(overlay: &Overlay, points: &[Mount]) -> Result<()> {
    let failed = |failure: sys::Failure<'_>| anyhow::anyhow!("{failure}");
    unshare(CloneFlags::CLONE_NEWNS).context("make a table of mounts of our own")?;
    make_private().map_err(failed)?;
    overlay.attach().map_err(failed)?;
    let mut points = points.to_vec();
    points.sort_by_key(|point| point.destination.components().count());
    points.retain(|point| point.source.exists());
    let mounts = Mounts::prepare(&points, false, None, Path::new("/"))?;
    mounts.enter(overlay.as_fd()).map_err(failed)
}
