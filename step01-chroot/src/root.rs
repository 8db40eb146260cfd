//! The directory that becomes `/`.

use crate::Error;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use sys::{Failure, Whilst};

/// A directory that is to become the root of a process.
#[derive(Debug)]
pub struct Root {
    path: CString,
    dir: OwnedFd,
}

impl Root {
    /// Opens the directory and resolves its name for good: a relative one would mean something else after a chdir.
    ///
    /// # Errors
    /// [`Error::RootMissing`], [`Error::RootUnusable`] with the errno of open(2).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = CString::new(absolute.into_os_string().into_vec());
        let name = name.map_err(|_| Error::Nul(path.display().to_string()))?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match open(name.as_c_str(), flags, Mode::empty()) {
            Ok(dir) => Ok(Self { path: name, dir }),
            Err(nix::errno::Errno::ENOENT) => Err(Error::RootMissing(path.to_owned())),
            Err(errno) => Err(Error::RootUnusable { path: path.to_owned(), errno }),
        }
    }

    /// Makes the directory this process's `/` and goes there. Child half.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_CHROOT. Source: chroot(2).
    // ANCHOR: enter
    pub fn enter(&self) -> Result<(), Failure<'_>> {
        // ANCHOR: task1_enter
        // By name: our descriptor was opened before there was a new process, and from step 2 on it would lead into the
        // host's table of mounts, where the new process may mount nothing (EINVAL).
        chroot(self.path.as_c_str()).whilst("change the root to", &self.path)?;
        // chroot moves the root and leaves the working directory where it was: outside, with `..` open before us.
        chdir(c"/").whilst("change into", c"/")
        // ANCHOR_END: task1_enter
    }
    // ANCHOR_END: enter
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}
