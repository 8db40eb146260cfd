//! The half-made layer: everything is done by descriptor, and no symbolic link is ever followed.

use super::path::c_path;
use super::refusal::{Refusal, While};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// The directory that a layer is unpacked into.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    /// The folder that was used last: in a tar most entries lie beside the one before.
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl Tree {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root, last: None }
    }

    // ANCHOR: open_folder
    /// Opens the folder `path` of the layer. The kernel refuses to leave the layer (RESOLVE_BENEATH) and to go through any
    /// symbolic link (RESOLVE_NO_SYMLINKS), also one that an earlier entry of the same layer made.
    pub(crate) fn open_folder(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        // ANCHOR: task2_folder
        sys::fd::open_no_symlinks(self.root.as_fd(), &c_path(path), FOLDER, Mode::empty())
        // ANCHOR_END: task2_folder
    }
    // ANCHOR_END: open_folder

    /// The folder that an entry is in, made (0755, root) where the tar has not named it.
    pub(crate) fn parent(
        &mut self,
        path: &[u8],
        opaque: impl Fn(&OwnedFd) -> Result<(), Refusal>,
    ) -> Result<Rc<OwnedFd>, Refusal> {
        if let Some((known, folder)) = &self.last
            && known == path
        {
            return Ok(Rc::clone(folder));
        }
        let folder = match self.open_folder(path) {
            // ENOTDIR: perhaps a whiteout, which then becomes an opaque directory.
            Err(Errno::ENOENT | Errno::ENOTDIR) => self.make_folders(path, opaque)?,
            result => result.map_err(on_the_way)?,
        };
        let folder = Rc::new(folder);
        self.last = Some((path.to_vec(), Rc::clone(&folder)));
        Ok(folder)
    }

    fn make_folders(&self, path: &[u8], opaque: impl Fn(&OwnedFd) -> Result<(), Refusal>) -> Result<OwnedFd, Refusal> {
        let mut folder = self.open_folder(b"").while_("open the layer")?;
        for part in path.split(|byte| *byte == b'/') {
            let whiteout = match look(folder.as_fd(), part)? {
                Some(stat) if is_whiteout(&stat) => {
                    unlinkat(&folder, part, UnlinkatFlags::NoRemoveDir).while_("replace a whiteout")?;
                    true
                }
                Some(_) => false,
                None => false,
            };
            let made = mkdirat(&folder, part, Mode::from_bits_truncate(0o755));
            let next = open_in(folder.as_fd(), part).map_err(on_the_way)?;
            match made {
                Err(Errno::EEXIST) => {}
                result => {
                    result.while_("make the folder it is in")?;
                    // mkdirat obeys the umask, which belongs to the caller; the mode of a layer must not depend on it.
                    nix::sys::stat::fchmod(&next, Mode::from_bits_truncate(0o755))
                        .while_("make the folder it is in")?;
                }
            }
            if whiteout {
                opaque(&next)?;
            }
            folder = next;
        }
        Ok(folder)
    }

    /// Removes what is at `name` in `folder`, a whole tree if need be.
    pub(crate) fn clear(&mut self, folder: BorrowedFd<'_>, name: &[u8]) -> Result<(), Refusal> {
        // The folder that was used last may be inside.
        self.last = None;
        remove(folder, name).while_("replace the earlier entry of this name")
    }
}

/// Opens the folder `name` in `folder`, which is no symbolic link.
pub(crate) fn open_in(folder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    sys::fd::open_no_symlinks(folder, &c_path(name), FOLDER, Mode::empty())
}

/// What is at `name` in `folder`, itself when it is a symbolic link; `None` when there is nothing.
pub(crate) fn look(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileStat>, Refusal> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => Ok(None),
        result => result.while_("look for an earlier entry of this name").map(Some),
    }
}

/// A character device 0:0 is how overlayfs writes "deleted". Source: kernel, overlayfs.rst, "whiteouts and opaque directories".
pub(crate) fn is_whiteout(stat: &FileStat) -> bool {
    is_kind(stat, SFlag::S_IFCHR) && stat.st_rdev == 0
}

pub(crate) fn is_kind(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

fn on_the_way(errno: Errno) -> Refusal {
    match errno {
        Errno::ELOOP => Refusal::ThroughSymlink,
        Errno::ENOTDIR => Refusal::ThroughFile,
        errno => Refusal::Kernel { doing: "open the folder it is in", errno },
    }
}

fn remove(folder: BorrowedFd<'_>, name: &[u8]) -> nix::Result<()> {
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => {}
        result => return result,
    }
    let mut inside = Dir::from_fd(open_in(folder, name)?)?;
    let names: Vec<_> = inside.iter().map(|entry| Ok(entry?.file_name().to_owned())).collect::<nix::Result<_>>()?;
    for entry in names.iter().map(|entry| entry.to_bytes()) {
        if entry != b"." && entry != b".." {
            remove(inside.as_fd(), entry)?;
        }
    }
    unlinkat(folder, name, UnlinkatFlags::RemoveDir)
}
