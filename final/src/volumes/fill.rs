//! The first use of a volume: what the image has at its place is copied into it, with owner and mode.

use super::{Volume, lock};
use crate::container::ids;
use crate::tree::{Copied, copy_children, set_attributes};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FlockArg, OFlag};
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::fd::open_in_root;

/// Fills an empty volume from `destination` below `root`. A second container that comes at the same time waits here, and
/// then finds it filled.
pub(super) fn fill(volume: &Volume, id: &str, root: BorrowedFd<'_>, destination: &Path) -> Result<()> {
    let path = CString::new(destination.as_os_str().as_bytes())?;
    let image = match open_in_root(root, &path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()) {
        Ok(folder) => File::from(folder),
        // Nothing there to copy, or nothing that can be a directory: mounting will say so.
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        Err(errno) => return Err(errno).context("open the image's directory"),
    };
    let _turn = lock(&volume.folder.join("users"), FlockArg::LockExclusive)?;
    if !is_empty(&volume.data())? {
        return Ok(());
    }
    let others = ids(&volume.folder.join("users"))?.iter().any(|user| user != id);
    if others {
        // They have it mounted: what it is has to stay the same directory.
        return copy(&image, &volume.data());
    }
    // Whole or not at all, however this process ends.
    let half = volume.folder.join("filling");
    let _of_an_earlier_crash = fs::remove_dir_all(&half);
    DirBuilder::new().create(&half)?;
    copy(&image, &half)?;
    fs::rename(&half, volume.data()).context("put the files in place")
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}

fn copy(from: &File, to: &Path) -> Result<()> {
    let to = File::open(to)?;
    copy_children(from.as_fd(), to.as_fd(), &mut Copied::all())?;
    set_attributes(from.as_fd(), to.as_fd(), None)
}
