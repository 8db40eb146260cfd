//! The directory that becomes `/`.

use crate::Error;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, fchdir};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::{Failure, Whilst};

/// A directory that is to become the root of a process.
#[derive(Debug)]
pub struct Root {
    path: CString,
    dir: OwnedFd,
}

impl Root {
    /// Opens the directory, so that what was checked here is what is entered later, whatever happens to its name.
    ///
    /// # Errors
    /// [`Error::RootMissing`], [`Error::RootUnusable`] with the errno of open(2).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Nul(path.display().to_string()))?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match open(name.as_c_str(), flags, Mode::empty()) {
            Ok(dir) => Ok(Self { path: name, dir }),
            Err(nix::errno::Errno::ENOENT) => Err(Error::RootMissing(path.to_owned())),
            Err(errno) => Err(Error::RootUnusable {
                path: path.to_owned(),
                errno,
            }),
        }
    }

    /// Makes the directory this process's `/` and goes there. Child half.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_CHROOT. Source: chroot(2).
    // ANCHOR: enter
    pub fn enter(&self) -> Result<(), Failure<'_>> {
        // The descriptor, not the name again: a name can be exchanged between the check and the use.
        fchdir(&self.dir).whilst("change into", &self.path)?;
        chroot(c".").whilst("change the root to", &self.path)?;
        // chroot moves the root and leaves the working directory where it was: outside, if we had not gone there before.
        chdir(c"/").whilst("change into", c"/")
    }
    // ANCHOR_END: enter
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}
