//! Work in progress: folders in ROOT/tmp, each locked by whoever works in it. A folder that nobody locks is a leftover.

use crate::error::{Doing, Error};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A locked folder of its own; removed, with all that is in it, when dropped. After a `kill -9` the kernel drops the lock
/// (flock(2)), and [`crate::Store::check`] finds the folder.
#[derive(Debug)]
pub(crate) struct Work {
    path: PathBuf,
    stays: bool,
    _lock: Flock<File>,
}

impl Work {
    /// A new folder with a name that nobody else has.
    pub(crate) fn unique(tmp: &Path) -> Result<Self, Error> {
        let number = || RandomState::new().hash_one(std::process::id());
        Self::named(tmp, &format!("{:016x}{:016x}", number(), number()))
    }

    /// The folder `name`, empty: waits for whoever has it. What a killed process left in it is removed.
    pub(crate) fn named(tmp: &Path, name: &str) -> Result<Self, Error> {
        let path = tmp.join(name);
        loop {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => result.doing("create", &path)?,
            }
            let Some(lock) = lock_folder(&path, FlockArg::LockExclusive)? else {
                continue;
            };
            empty(&path)?;
            return Ok(Self { path, stays: false, _lock: lock });
        }
    }

    /// The folder `name` with what it has, to go on with; it stays for the next time until [`Work::ends`]. `None` while somebody
    /// else works in it.
    pub(crate) fn resumed(tmp: &Path, name: &str) -> Result<Option<Self>, Error> {
        let path = tmp.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result.doing("create", &path)?,
        }
        let lock = lock_folder(&path, FlockArg::LockExclusiveNonblock)?;
        Ok(lock.map(|lock| Self { path, stays: true, _lock: lock }))
    }

    /// Nothing will go on here: the folder is removed when this is dropped.
    pub(crate) fn ends(&mut self) {
        self.stays = false;
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed now is a leftover that `check` names.
            let _left = fs::remove_dir_all(&self.path);
        }
    }
}

/// Locks a folder; `None` when it is gone, or was replaced while waiting, or (with a non-blocking `how`) is in use.
pub(crate) fn lock_folder(path: &Path, how: FlockArg) -> Result<Option<Flock<File>>, Error> {
    let folder = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.doing("open", path)?,
    };
    let lock = match Flock::lock(folder, how) {
        Ok(lock) => lock,
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, errno)) => return Err(Error::io("lock", path, errno)),
    };
    let locked = lock.metadata().doing("look at", path)?;
    let current = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.doing("look at", path)?,
    };
    Ok((locked.ino() == current.ino() && locked.nlink() > 0).then_some(lock))
}

fn empty(folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).doing("read", folder)? {
        let path = entry.doing("read", folder)?.path();
        let is_folder = fs::symlink_metadata(&path).doing("look at", &path)?.is_dir();
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.doing("remove", &path)?;
    }
    Ok(())
}
