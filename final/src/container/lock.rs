//! Locks: flock held is alive.

use super::none;
use crate::dirs::Dirs;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// The lock of a container, held as long as its supervisor lives: the kernel lets go of it with the process.
#[derive(Debug)]
pub struct Lock {
    folder: Flock<File>,
}

impl Lock {
    /// Makes `RUN/containers/<id>` and locks it. Before anything else of the container: what is there and not locked is dead.
    ///
    /// # Errors
    /// mkdir(2), open(2), flock(2).
    pub fn create(dirs: &Dirs, id: &str) -> Result<Self> {
        let path = dirs.live(id);
        loop {
            let folder = Flock::lock(open_or_make(dirs, &path)?, FlockArg::LockExclusive);
            let folder = folder.map_err(|(_, errno)| errno).with_context(|| format!("lock `{}`", path.display()))?;
            // A `system reclaim` at this very moment may have taken the folder for a dead one.
            if folder.metadata()?.nlink() > 0 {
                return Ok(Self { folder });
            }
        }
    }

    /// Locks `id` for its removal, if nobody else has it: also where nothing of it lives, so that it cannot be started or
    /// removed by somebody else meanwhile.
    ///
    /// # Errors
    /// mkdir(2), flock(2); [`Alive`] in the inner result.
    pub(crate) fn to_remove(dirs: &Dirs, id: &str) -> Result<Result<Self, Alive>> {
        let path = dirs.live(id);
        loop {
            match Flock::lock(open_or_make(dirs, &path)?, FlockArg::LockExclusiveNonblock) {
                Ok(folder) if folder.metadata()?.nlink() > 0 => return Ok(Ok(Self { folder })),
                // Somebody has removed it between our two steps.
                Ok(_) => {}
                Err((_, Errno::EWOULDBLOCK)) => return Ok(Err(Alive)),
                Err((_, errno)) => return Err(errno).with_context(|| format!("lock `{}`", path.display())),
            }
        }
    }

    /// Locks what lives of `id` if nobody does; `None` when nothing of it lives.
    ///
    /// # Errors
    /// `EWOULDBLOCK` as [`Alive`] when its supervisor lives.
    pub fn of_the_dead(dirs: &Dirs, id: &str) -> Result<Option<Self>, Alive> {
        let Ok(folder) = File::open(dirs.live(id)) else { return Ok(None) };
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(folder) => Ok(Some(Self { folder })),
            Err((_, Errno::EWOULDBLOCK)) => Err(Alive),
            Err(_) => Ok(None),
        }
    }

    /// Waits until nobody holds the lock of `id`: until its supervisor is dead.
    ///
    /// # Errors
    /// flock(2).
    pub fn wait(dirs: &Dirs, id: &str) -> Result<()> {
        let Ok(folder) = File::open(dirs.live(id)) else { return Ok(()) };
        match Flock::lock(folder, FlockArg::LockShared) {
            Ok(_unlocked_at_once) => Ok(()),
            Err((_, errno)) => Err(errno).context("wait for the container's lock"),
        }
    }

    /// The locked folder.
    #[must_use]
    pub fn folder(&self) -> &File {
        &self.folder
    }
}

/// The folder of what lives of a container, made where it is not there, and those around it with the first.
fn open_or_make(dirs: &Dirs, path: &Path) -> Result<File> {
    let context = || format!("cannot make `{}`", path.display());
    loop {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => dirs.make()?,
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).with_context(context),
            _ => match File::open(path) {
                // Somebody has removed it between our two steps.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                folder => return folder.with_context(context),
            },
        }
    }
}

/// Whose turn it is to read, change and write a container's record: held for as long as that takes.
#[derive(Debug)]
pub(crate) struct Turn {
    _folder: Flock<File>,
}

impl Turn {
    /// Waits for it.
    ///
    /// # Errors
    /// [`Refusal`](crate::report::Refusal) when the container is gone; flock(2).
    pub(crate) fn take(dirs: &Dirs, id: &str, reference: &str) -> Result<Self> {
        let folder = File::open(dirs.container(id)).map_err(|_| none(reference))?;
        let locked = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        Ok(Self { _folder: locked.context("lock the container's record")? })
    }
}

/// The supervisor of a container lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alive;

/// Whether somebody holds the lock of `id`; `None` when nothing of it lives.
pub(super) fn is_alive(dirs: &Dirs, id: &str) -> Option<bool> {
    is_locked(&dirs.live(id))
}

/// Whether somebody holds the lock of a folder; `None` when it is not there.
pub(crate) fn is_locked(folder: &Path) -> Option<bool> {
    let folder = File::open(folder).ok()?;
    Some(matches!(Flock::lock(folder, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK))))
}
