//! The child half: system calls only, on what [`Mounts`] and [`Overlay`](crate::Overlay) have prepared.

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use crate::mount_point::MountPoint;
use crate::mounts::{Action, Bind, DEVICES, Device, DeviceFile, Mounts, Step};
use crate::options::Attributes;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat, makedev, mknodat, umask};
use nix::unistd::{Gid, Uid, chdir, fchdir, fchownat, symlinkat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount::{FsContext, Propagation, attach, attr, clone_tree, set_attributes};
use sys::{Failure, Whilst};

/// Cuts the table of mounts off from the host's, both ways. A new namespace is a *copy* of the host's table, and on most hosts
/// the copies stay linked: without this call every mount below would appear on the host, and stay there.
///
/// # Errors
/// mount(2). Source: mount_namespaces(7), "Shared subtrees".
// ANCHOR: private
pub fn make_private() -> Result<(), Failure<'static>> {
    // ANCHOR: task1_private
    const NONE: Option<&CStr> = None;
    // Recursive: `/` alone would leave /home, /run and every other mount linked.
    mount(NONE, c"/", NONE, MsFlags::MS_PRIVATE | MsFlags::MS_REC, NONE).whilst("make private every mount below", c"/")
    // ANCHOR_END: task1_private
}
// ANCHOR_END: private

impl Mounts {
    /// Mounts everything below `root`, in order.
    ///
    /// # Errors
    /// The call that failed and the mount point.
    // ANCHOR: enter
    pub fn enter(&self, root: BorrowedFd<'_>) -> Result<(), Failure<'_>> {
        // Mount points and devices get the modes they are made with, whatever the caller's umask was.
        umask(Mode::empty());
        for step in &self.steps {
            step.enter(root)?;
        }
        umask(Mode::from_bits_truncate(0o022));
        Ok(())
    }
    // ANCHOR_END: enter
}

impl Step {
    fn enter(&self, root: BorrowedFd<'_>) -> Result<(), Failure<'_>> {
        let path = self.target.path();
        if let Action::Device(device) = &self.action {
            return device.make(root, &self.target);
        }
        let target = self.target.open(root)?;
        let tree = match &self.action {
            Action::New { .. } => self.make()?,
            Action::Bind(bind) => bind.copy()?,
            Action::File(file) => clone_tree(file.as_fd(), c"", false).whilst("copy the mount for", path)?,
            Action::Made(made) => return attach(made.as_fd(), target.as_fd()).whilst("mount on", path),
            Action::Attributes { set, clear } => {
                return set_attributes(target.as_fd(), *set, *clear, Propagation::Unchanged, false)
                    .whilst("set the attributes of the mount at", path);
            }
            Action::Folder => return Ok(()),
            Action::Devices => return make_devices(target.as_fd()),
            Action::Device(_) => return self.wrong(),
            Action::DeviceLinks => return make_links(target.as_fd()),
        };
        attach(tree.as_fd(), target.as_fd()).whilst("mount on", path)
    }

    /// A new file system, attached nowhere yet.
    fn make(&self) -> Result<OwnedFd, Failure<'_>> {
        let path = self.target.path();
        let Action::New { fs_type, source, data, attributes, propagation } = &self.action else {
            return self.wrong();
        };
        let context = FsContext::open(fs_type).whilst("open a file system for", path)?;
        context.set(c"source", source).whilst("name the file system for", path)?;
        for (key, value) in data {
            match value {
                Some(value) => context.set(key, value),
                None => context.set_flag(key),
            }
            .whilst("set the mount option", key)?;
        }
        let made = context.mount(*attributes).whilst("make the file system for", path)?;
        if !matches!(propagation, Propagation::Unchanged | Propagation::Private) {
            set_attributes(made.as_fd(), 0, 0, *propagation, false).whilst("set the propagation of", path)?;
        }
        Ok(made)
    }

    fn wrong<T>(&self) -> Result<T, Failure<'_>> {
        Err(Failure { doing: "mount on", on: self.target.path().to_bytes(), errno: nix::errno::Errno::EINVAL })
    }
}

impl Bind {
    /// A copy of a mount of the host, attached nowhere yet. Both halves.
    // ANCHOR: bind
    pub(crate) fn copy(&self) -> Result<OwnedFd, Failure<'_>> {
        // ANCHOR: task4_bind
        let Self { source, recursive, own, all, propagation, propagation_of_all } = self;
        let tree = clone_tree(AT_FDCWD, source, *recursive).whilst("copy the mount of", source)?;
        let set = |attributes: &Attributes, propagation, all: bool| {
            set_attributes(tree.as_fd(), attributes.set, attributes.clear, propagation, all && *recursive)
                .whilst("set the attributes of the mount of", source)
        };
        // The copy is linked with its original: what is mounted on the volume inside would appear on the host. So without a word it
        // is private, unless a word says otherwise.
        let (first, last) = match propagation {
            Propagation::Unchanged | Propagation::Private => (Propagation::Private, Propagation::Unchanged),
            Propagation::Unbindable if !propagation_of_all => (Propagation::Private, Propagation::Unbindable),
            word => (*word, Propagation::Unchanged),
        };
        set(all, first, true)?;
        if *own != Attributes::NONE || last != Propagation::Unchanged {
            set(own, last, false)?;
        }
        Ok(tree)
        // ANCHOR_END: task4_bind
    }
    // ANCHOR_END: bind
}

impl Device {
    fn make<'p>(&self, root: BorrowedFd<'_>, place: &'p MountPoint) -> Result<(), Failure<'p>> {
        let (folder, name) = place.open_folder(root)?;
        let kind = match self.kind {
            DeviceFile::Block => SFlag::S_IFBLK,
            DeviceFile::Character => SFlag::S_IFCHR,
            DeviceFile::Fifo => SFlag::S_IFIFO,
        };
        let (mode, device) = (Mode::from_bits_truncate(self.mode), makedev(self.major, self.minor));
        match mknodat(&folder, name, kind, mode, device) {
            // One of those that every container has, given once more: with other permissions perhaps.
            Err(Errno::EEXIST) if is_device(folder.as_fd(), name, kind, device) == Ok(true) => {
                fchmodat(&folder, name, mode, FchmodatFlags::FollowSymlink)
            }
            // The host's /dev/ptmx among them: here it is a link to the container's own.
            Err(Errno::EEXIST) => return Ok(()),
            made => made,
        }
        .whilst("make the device", place.path())?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        fchownat(&folder, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            .whilst("set the owner of the device", place.path())
    }
}

fn is_device(folder: BorrowedFd<'_>, name: &CStr, kind: SFlag, device: u64) -> nix::Result<bool> {
    let found = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let same_kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == kind;
    Ok(same_kind && (kind == SFlag::S_IFIFO || found.st_rdev == device))
}

fn make_devices(dev: BorrowedFd<'_>) -> Result<(), Failure<'static>> {
    // ANCHOR: task5_devices
    for (name, major, minor) in DEVICES {
        let mode = Mode::from_bits_truncate(0o666);
        mknodat(dev, name, SFlag::S_IFCHR, mode, makedev(major, minor)).whilst("make the device", name)?;
    }
    Ok(())
    // ANCHOR_END: task5_devices
}

/// Source: OCI runtime specification, runtime-linux.md, "Dev symbolic links".
fn make_links(dev: BorrowedFd<'_>) -> Result<(), Failure<'static>> {
    const LINKS: [(&CStr, &CStr); 6] = [
        (c"fd", c"/proc/self/fd"),
        (c"stdin", c"/proc/self/fd/0"),
        (c"stdout", c"/proc/self/fd/1"),
        (c"stderr", c"/proc/self/fd/2"),
        (c"core", c"/proc/kcore"),
        (c"ptmx", c"pts/ptmx"),
    ];
    for (name, target) in LINKS {
        symlinkat(target, dev, name).whilst("make the link in /dev", name)?;
    }
    Ok(())
}

/// Forbids writing through the mount `root`; what is mounted below it stays as it is.
///
/// # Errors
/// mount_setattr(2).
pub fn make_read_only(root: BorrowedFd<'_>) -> Result<(), Failure<'static>> {
    set_attributes(root, attr::RDONLY, 0, Propagation::Unchanged, false).whilst("make read-only", c"/")
}

/// Makes the mount `root` the root of this table of mounts, and lets go of the old one.
///
/// # Errors
/// EINVAL when `root` is not the root of a mount in this namespace, EBUSY when it is the current root. Source: pivot_root(2).
// ANCHOR: pivot
pub fn pivot_root(root: BorrowedFd<'_>) -> Result<(), Failure<'static>> {
    // ANCHOR: task3_pivot
    fchdir(root).whilst("change into", c"the new root")?;
    // Both arguments `.`: the old root is stacked on the new one at the same place, and no directory is needed for it
    // (pivot_root(2), "NOTES").
    nix::unistd::pivot_root(c".", c".").whilst("exchange the root with", c"the new root")?;
    // `.` is now the old root. Detached, nothing inside can name the host's files any more: a chroot has no such call.
    umount2(c".", MntFlags::MNT_DETACH).whilst("detach", c"the old root")?;
    chdir(c"/").whilst("change into", c"/")
    // ANCHOR_END: task3_pivot
}
// ANCHOR_END: pivot
