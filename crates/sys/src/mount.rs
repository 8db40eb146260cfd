//! The mount API: a file system is opened, configured, made, and only then attached somewhere.
//!
//! Sources: fsopen(2), fsconfig(2), fsmount(2), move_mount(2), open_tree(2), mount_setattr(2), pivot_root(2); the
//! man pages came after the calls (Linux 5.2 and 5.12).

use nix::errno::Errno;
use std::ffi::{CStr, c_uint};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Attributes of one mount (not of the file system behind it): `MOUNT_ATTR_*` of mount_setattr(2).
pub mod attr {
    /// No write through this mount.
    pub const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
    /// Set-user-ID bits and file capabilities do not count.
    pub const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
    /// Device files cannot be opened.
    pub const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
    /// Programs cannot be executed.
    pub const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
    /// The last access time is not kept.
    pub const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
    /// The last access time is kept on every access.
    pub const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
    /// All bits of how the last access time is kept: one of its values replaces another. The value 0 is `relatime`.
    pub const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
    /// The last access time of folders is not kept.
    pub const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
    /// Symbolic links on this mount are not followed.
    pub const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;
}

/// A file system that is being configured: what fsopen(2) returns.
#[derive(Debug)]
pub struct FsContext {
    fd: OwnedFd,
}

impl FsContext {
    /// Opens a file system type by its name (`overlay`, `proc`, `tmpfs`, …). Source: fsopen(2).
    ///
    /// # Errors
    /// ENODEV when the kernel does not know the type, EPERM without CAP_SYS_ADMIN over the mount namespace.
    pub fn open(fs_type: &CStr) -> nix::Result<Self> {
        const FSOPEN_CLOEXEC: c_uint = 1;
        // SAFETY: a C string and an integer.
        let fd = unsafe { libc::syscall(libc::SYS_fsopen, fs_type.as_ptr(), FSOPEN_CLOEXEC) };
        owned(fd).map(|fd| Self { fd })
    }

    /// Sets `key=value`. The kernel takes values of at most 255 bytes here. Source: fsconfig(2), FSCONFIG_SET_STRING.
    ///
    /// # Errors
    /// EINVAL for what the file system does not take; [`FsContext::read_log`] then has the kernel's own words.
    pub fn set(&self, key: &CStr, value: &CStr) -> nix::Result<()> {
        self.config(libc::FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
    }

    /// Sets a flag without a value (`ro`, `userxattr`). Source: fsconfig(2), FSCONFIG_SET_FLAG.
    ///
    /// # Errors
    /// As [`FsContext::set`].
    pub fn set_flag(&self, key: &CStr) -> nix::Result<()> {
        self.config(libc::FSCONFIG_SET_FLAG, key.as_ptr(), ptr::null())
    }

    /// Makes the file system and returns it as a mount that is attached nowhere yet, with `attributes` ([`attr`]).
    /// Sources: fsconfig(2), FSCONFIG_CMD_CREATE; fsmount(2).
    ///
    /// # Errors
    /// What mount(2) of this file system would give; [`FsContext::read_log`] has the kernel's own words.
    pub fn mount(&self, attributes: u64) -> nix::Result<OwnedFd> {
        const FSMOUNT_CLOEXEC: c_uint = 1;
        self.config(libc::FSCONFIG_CMD_CREATE, ptr::null(), ptr::null())?;
        // SAFETY: a descriptor that we own and integers.
        let fd = unsafe { libc::syscall(libc::SYS_fsmount, self.fd.as_raw_fd(), FSMOUNT_CLOEXEC, attributes) };
        owned(fd)
    }

    fn config(&self, command: c_uint, key: *const libc::c_char, value: *const libc::c_char) -> nix::Result<()> {
        // SAFETY: `key` and `value` are C strings that live over the call, or null where the command takes none.
        let result =
            unsafe { libc::syscall(libc::SYS_fsconfig, self.fd.as_raw_fd(), command, key, value, 0 as libc::c_int) };
        Errno::result(result).map(drop)
    }

    /// Reads the next message that the kernel has for this context (`e overlay: …`) into `buffer`; `None` when there is
    /// none left. Each begins with `e `, `w ` or `i `. Source: fsopen(2), "Message retrieval".
    #[must_use]
    pub fn read_log<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let length = nix::unistd::read(&self.fd, buffer).ok()?;
        buffer.get(..length).map(<[u8]>::trim_ascii_end)
    }
}

/// Attaches the mount `mount` (from [`FsContext::mount`] or [`clone_tree`]) on the directory or file that `target` is.
/// Source: move_mount(2) with both paths empty.
///
/// # Errors
/// ENOTDIR or EISDIR when one is a directory and the other is not; EPERM without CAP_SYS_ADMIN.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> nix::Result<()> {
    const EMPTY: *const libc::c_char = c"".as_ptr();
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: descriptors that live over the call, empty C strings and integers.
    let result =
        unsafe { libc::syscall(libc::SYS_move_mount, mount.as_raw_fd(), EMPTY, target.as_raw_fd(), EMPTY, flags) };
    Errno::result(result).map(drop)
}

/// Copies the mount at `path` (a bind mount that is attached nowhere yet); with `recursive` also what is mounted below.
/// Source: open_tree(2), OPEN_TREE_CLONE.
///
/// # Errors
/// ENOENT, EACCES of the path; EINVAL for an unbindable mount; EPERM without CAP_SYS_ADMIN.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> nix::Result<OwnedFd> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH.cast_unsigned();
    if recursive {
        flags |= libc::AT_RECURSIVE.cast_unsigned();
    }
    // SAFETY: a descriptor and a C string that live over the call, and integers.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) };
    owned(fd)
}

/// Propagation types for [`set_attributes`]. Source: mount_setattr(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Leave it as it is.
    Unchanged,
    /// Nothing in, nothing out (`MS_PRIVATE`).
    Private,
    /// The host's mounts come in, ours do not get out (`MS_SLAVE`).
    Slave,
    /// Both ways (`MS_SHARED`).
    Shared,
    /// As private, and nobody can copy it (`MS_UNBINDABLE`).
    Unbindable,
}

/// Sets and clears attributes of the mount that `mount` is; with `recursive` of all the mounts below it as well.
/// Source: mount_setattr(2), Linux 5.12.
///
/// # Errors
/// EINVAL when `mount` is not the root of a mount; EPERM when an attribute is locked by a more privileged namespace;
/// ENOSYS before Linux 5.12.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    propagation: Propagation,
    recursive: bool,
) -> nix::Result<()> {
    let arguments = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation: match propagation {
            Propagation::Unchanged => 0,
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Slave => libc::MS_SLAVE,
            Propagation::Shared => libc::MS_SHARED,
            Propagation::Unbindable => libc::MS_UNBINDABLE,
        },
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `arguments` lives over the call and its size is given; the rest are a descriptor, a C string, integers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &arguments,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Shows the owners of the files of `mount` (and with `recursive` of all the mounts below it) by the map of the user namespace
/// `users`. Source: mount_setattr(2), "ID-mapped mounts".
///
/// # Errors
/// EINVAL for a file system that cannot, or a mount that is mapped already; EPERM without CAP_SYS_ADMIN over the file system.
pub fn map_owners(mount: BorrowedFd<'_>, users: BorrowedFd<'_>, recursive: bool) -> nix::Result<()> {
    let arguments = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(users.as_raw_fd()).map_err(|_| Errno::EBADF)?,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: as in `set_attributes`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &arguments,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}

fn owned(fd: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(fd)?;
    let fd = libc::c_int::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
