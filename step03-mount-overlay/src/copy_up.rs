//! What a tmpfs covers, copied into it: the option `tmpcopyup` of runc, which Podman uses for `/run` and `/tmp`.

use crate::Error;
use crate::mounts::refused;
use crate::overlay::c_string;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use sys::fd::open_in_root;

/// Copies what is at `destination` below `root` into `tmpfs`: folders, files and links, with their owners and permissions. Nothing
/// there is nothing to copy. Host half.
///
/// # Errors
/// [`Error::Path`].
pub(crate) fn copy_up(root: &Path, destination: &Path, tmpfs: BorrowedFd<'_>) -> Result<(), Error> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let below = open(root, flags, Mode::empty()).map_err(refused("open", root))?;
    // The root is not to be trusted: a link in it may lead anywhere.
    let covered = match open_in_root(below.as_fd(), &c_string(destination)?, flags, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        opened => opened.map_err(refused("open", destination))?,
    };
    let by_descriptor = |fd: i32| PathBuf::from(format!("/proc/self/fd/{fd}"));
    let copied = copy_folder(&by_descriptor(covered.as_raw_fd()), &by_descriptor(tmpfs.as_raw_fd()));
    copied.map_err(|error| {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        Error::Path { doing: "copy into its tmpfs what is in", path: destination.to_owned(), errno }
    })
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_entry(&entry, &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy_entry(entry: &DirEntry, to: &Path) -> io::Result<()> {
    let (from, metadata) = (entry.path(), entry.metadata()?);
    let kind = metadata.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
        return lchown(to, Some(metadata.uid()), Some(metadata.gid()));
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
        copy_folder(&from, to)?;
    } else if kind.is_file() {
        fs::copy(&from, to)?;
    } else {
        // Sockets and devices mean nothing without whoever made them.
        return Ok(());
    }
    own(to, &metadata)
}

fn own(path: &Path, of: &Metadata) -> io::Result<()> {
    lchown(path, Some(of.uid()), Some(of.gid()))?;
    // A change of owner takes set-user-ID bits away.
    fs::set_permissions(path, fs::Permissions::from_mode(of.mode()))
}
