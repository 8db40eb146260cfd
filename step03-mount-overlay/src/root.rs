//! A root file system that is ready, and attached nowhere until its child half comes.

use crate::Error;
use crate::overlay::{Overlay, c_string};
use nix::fcntl::AT_FDCWD;
use std::ffi::CString;
use std::fmt::Debug;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::mount::{Propagation, attach, clone_tree, set_attributes};
use sys::{Failure, Whilst, fd};

/// What becomes `/`: the overlay of an image, or a directory that somebody brings.
pub trait Root: AsFd + Debug {
    /// Attaches it to the table of mounts of the caller. Child half, after [`crate::make_private`].
    ///
    /// # Errors
    /// move_mount(2).
    fn attach(&self) -> Result<(), Failure<'_>>;
}

impl Root for Overlay {
    fn attach(&self) -> Result<(), Failure<'_>> {
        Overlay::attach(self)
    }
}

/// A directory as a root: the rootfs of an OCI bundle, which its caller has mounted there.
#[derive(Debug)]
pub struct RootDirectory {
    mount: OwnedFd,
    at: CString,
}

impl RootDirectory {
    /// Copies the mount at `path`, with all that is mounted below it: pivot_root wants the root of a mount.
    ///
    /// # Errors
    /// [`Error::Path`], [`Error::Nul`].
    pub fn prepare(path: &Path) -> Result<Self, Error> {
        let at = c_string(path)?;
        let failed = |doing| move |errno| Error::Path { doing, path: path.to_owned(), errno };
        let mount = clone_tree(AT_FDCWD, &at, true).map_err(failed("copy the mount of"))?;
        set_attributes(mount.as_fd(), 0, 0, Propagation::Private, true).map_err(failed("make private the mount of"))?;
        Ok(Self { mount, at })
    }
}

impl Root for RootDirectory {
    fn attach(&self) -> Result<(), Failure<'_>> {
        let place = fd::open_path(&self.at).whilst("open", &self.at)?;
        attach(self.mount.as_fd(), place.as_fd()).whilst("attach the root on", &self.at)
    }
}

impl AsFd for RootDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}
