//! Where something is mounted: a path inside the root, which is not to be trusted.
//!
//! The root comes from an image. Its `/etc` may be a link to `/`, its `/proc` a link to anywhere: a path is never resolved
//! by the kernel's usual rules there, but below the root's descriptor, and what is missing is made by descriptor.

use crate::Error;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fstat, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use sys::{Failure, Whilst, fd};

/// A path inside the root, in the pieces that the child half needs.
#[derive(Debug)]
pub(crate) struct MountPoint {
    /// The path of each folder on the way and of the place itself: `/a`, `/a/b`, and the last name alone: `b`.
    steps: Vec<(CString, CString)>,
    /// Whether a symbolic link on the way is followed (inside the root) or refused.
    follow: bool,
    /// Whether the place is made as a file; else as a folder.
    file: bool,
}

impl MountPoint {
    /// Takes the path to pieces. `..` is refused, so that a name says where it is.
    pub(crate) fn new(path: &Path, follow: bool, file: bool) -> Result<Self, Error> {
        let refused = || Error::Destination(path.to_owned());
        let relative = path.strip_prefix("/").map_err(|_| refused())?;
        let mut steps = Vec::new();
        let mut so_far = Vec::new();
        for component in relative.components() {
            let Component::Normal(name) = component else {
                return Err(refused());
            };
            so_far.push(b'/');
            so_far.extend(name.as_bytes());
            let whole = CString::new(so_far.clone()).map_err(|_| Error::Nul(path.to_owned()))?;
            let name = CString::new(name.as_bytes()).map_err(|_| Error::Nul(path.to_owned()))?;
            steps.push((whole, name));
        }
        if steps.is_empty() {
            return Err(refused());
        }
        Ok(Self { steps, follow, file })
    }

    /// The whole path, for messages.
    pub(crate) fn path(&self) -> &CStr {
        self.steps.last().map_or(c"/", |(whole, _)| whole)
    }

    /// Opens the place below `root`, and makes what is missing on the way. Child half.
    // ANCHOR: open
    pub(crate) fn open(&self, root: BorrowedFd<'_>) -> Result<OwnedFd, Failure<'_>> {
        match self.resolve(root, self.path()) {
            Err(Errno::ENOENT) => self.create(root),
            result => result.whilst("open the mount point", self.path()),
        }
    }

    /// Opens the folder that the place is in, made when it is missing, and the place's name there. Child half.
    pub(crate) fn open_folder(&self, root: BorrowedFd<'_>) -> Result<(OwnedFd, &CStr), Failure<'_>> {
        let broken = Failure { doing: "open the mount point", on: b"/", errno: Errno::EINVAL };
        let (last, above) = self.steps.split_last().ok_or(broken)?;
        let mut folder = self.resolve(root, c".").whilst("open", c"/")?;
        for (whole, name) in above {
            folder = match self.resolve(root, whole) {
                Err(Errno::ENOENT) => {
                    self.make(root, folder.as_fd(), name, false).whilst("make the folder", whole)?;
                    self.resolve(root, whole)
                }
                result => result,
            }
            .whilst("open the folder", whole)?;
        }
        Ok((folder, &last.1))
    }

    fn create(&self, root: BorrowedFd<'_>) -> Result<OwnedFd, Failure<'_>> {
        let mut parent = None;
        for (index, (whole, name)) in self.steps.iter().enumerate() {
            let dir = parent.as_ref().map_or(root, AsFd::as_fd);
            let opened = match self.resolve(root, whole) {
                Err(Errno::ENOENT) => {
                    self.make(root, dir, name, index + 1 == self.steps.len()).whilst("make the mount point", whole)?;
                    self.resolve(root, whole)
                }
                result => result,
            };
            parent = Some(opened.whilst("open the mount point", whole)?);
        }
        parent.ok_or(Failure { doing: "open the mount point", on: b"/", errno: Errno::EINVAL })
    }
    // ANCHOR_END: open

    fn make(&self, root: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr, last: bool) -> nix::Result<()> {
        let mode = Mode::from_bits_truncate(0o755);
        if last && self.file {
            match mknodat(dir, name, SFlag::S_IFREG, mode, 0) {
                // A link that leads nowhere, as /etc/resolv.conf often is in an image: nothing can be mounted on it. A file
                // takes its place, in the container's own layer only, never in a volume.
                Err(Errno::EEXIST) if fstat(dir)?.st_dev == fstat(root)?.st_dev => {
                    unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
                    mknodat(dir, name, SFlag::S_IFREG, mode, 0)
                }
                made => made,
            }
        } else {
            nix::sys::stat::mkdirat(dir, name, mode)
        }
    }

    fn resolve(&self, root: BorrowedFd<'_>, path: &CStr) -> nix::Result<OwnedFd> {
        if self.follow {
            return fd::open_in_root(root, path, OFlag::O_PATH, Mode::empty());
        }
        // RESOLVE_BENEATH takes no absolute path.
        let relative = path.to_bytes_with_nul().get(1..).and_then(|bytes| CStr::from_bytes_with_nul(bytes).ok());
        fd::open_no_symlinks(root, relative.unwrap_or(c"."), OFlag::O_PATH, Mode::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_absolute_and_goes_down_only() {
        assert!(MountPoint::new(Path::new("/a/b"), true, false).is_ok());
        for bad in ["a", "/", "/a/../b", "", "/.."] {
            assert!(matches!(MountPoint::new(Path::new(bad), true, false), Err(Error::Destination(_))), "{bad}");
        }
    }
}
