//! Copying trees by descriptors: neither side is trusted, and both may change at any moment.
//!
//! Every name is one component below an open directory, no link is ever followed, and what a name is gets asked of the descriptor
//! that was opened. So a container that swaps a directory for a link meanwhile changes what is copied, and never where to
//! (CVE-2018-15664).

use anyhow::{Context, Result};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstat, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What a copy has seen so far.
#[derive(Debug, Default)]
pub struct Copied {
    /// Who owns the copies; none: who owns the originals.
    pub owner: Option<(Uid, Gid)>,
    /// Files with several names: device and inode, and the copy.
    links: HashMap<(u64, u64), OwnedFd>,
}

/// Files with several names that are kept open at once, at most: beyond it they are copied apart.
const LINKS: usize = 512;

impl Copied {
    /// Everything as it is.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Everything, with another owner where one is given.
    #[must_use]
    pub fn owned_by(owner: Option<(Uid, Gid)>) -> Self {
        Self { owner, ..Self::default() }
    }
}

/// What kind of file `stat` says it is.
#[must_use]
pub fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// The names in a directory, sorted.
///
/// # Errors
/// getdents(2).
pub fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let again = openat(folder, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let mut dir = Dir::from_fd(again.context("open a directory")?)?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let name = entry.context("read a directory")?.file_name().to_owned();
        if ![c".", c".."].contains(&name.as_c_str()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Copies everything in the directory `from` into the directory `to`; directories that are there are merged, all else is replaced.
///
/// # Errors
/// The call that failed, and the name.
pub fn copy_children(from: BorrowedFd<'_>, to: BorrowedFd<'_>, copied: &mut Copied) -> Result<()> {
    for name in names(from)? {
        copy_entry(from, &name, to, &name, copied).with_context(|| format!("copy `{}`", name.to_string_lossy()))?;
    }
    Ok(())
}

/// Copies what `from` has under `name` to `new_name` in `to`.
///
/// # Errors
/// The call that failed. A directory does not take the place of something else, and the other way round.
pub fn copy_entry(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new_name: &CStr,
    copied: &mut Copied,
) -> Result<()> {
    let source = openat(from, name, NAME_ONLY, Mode::empty()).context("open it")?;
    copy_open(source.as_fd(), to, new_name, copied)
}

const NAME_ONLY: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The same for what `source` is, opened by name only (`O_PATH`).
///
/// # Errors
/// As [`copy_entry`].
pub fn copy_open(source: BorrowedFd<'_>, to: BorrowedFd<'_>, new_name: &CStr, copied: &mut Copied) -> Result<()> {
    let stat = fstat(source).context("look at it")?;
    if kind(&stat) == SFlag::S_IFDIR {
        let source = openat(source, c".", DIRECTORY, Mode::empty()).context("open the directory")?;
        let target = open_or_make(to, new_name)?;
        copy_children(source.as_fd(), target.as_fd(), copied)?;
        return set_attributes(source.as_fd(), target.as_fd(), copied.owner);
    }
    make_room(to, new_name)?;
    let identity = (stat.st_dev, stat.st_ino);
    if stat.st_nlink > 1
        && let Some(first) = copied.links.get(&identity)
        && link(first.as_fd(), to, new_name).is_ok()
    {
        return Ok(());
    }
    match kind(&stat) {
        SFlag::S_IFREG => copy_file(source, to, new_name, copied.owner)?,
        SFlag::S_IFLNK => symlinkat(readlinkat(source, c"")?.as_os_str(), to, new_name).context("make the link")?,
        SFlag::S_IFSOCK => return Ok(()),
        other => {
            mknodat(to, new_name, other, Mode::from_bits_truncate(0o600), stat.st_rdev).context("make the device")?;
        }
    }
    if kind(&stat) != SFlag::S_IFREG {
        set_attributes_of_name(&stat, to, new_name, copied.owner)?;
    }
    if stat.st_nlink > 1 && copied.links.len() < LINKS {
        copied.links.insert(identity, openat(to, new_name, NAME_ONLY, Mode::empty())?);
    }
    Ok(())
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The directory `name` below `to`, made when it is not there; a link is not followed.
///
/// # Errors
/// ENOTDIR where something else is in its place.
pub fn open_or_make(to: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    match mkdirat(to, name, Mode::from_bits_truncate(0o700)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno).context("make the directory"),
    }
    openat(to, name, DIRECTORY, Mode::empty()).context("open the directory")
}

/// Takes away what has the name, unless it is a directory.
///
/// # Errors
/// EISDIR for a directory.
pub fn make_room(to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match unlinkat(to, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).context("replace what is there"),
    }
}

/// A second name for the file that `first` is, by its descriptor: whatever has its first name by now.
///
/// # Errors
/// linkat(2).
pub fn link(first: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> nix::Result<()> {
    let path = CString::new(format!("/proc/self/fd/{}", first.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    linkat(nix::fcntl::AT_FDCWD, path.as_c_str(), to, name, AtFlags::AT_SYMLINK_FOLLOW)
}

/// Opens the regular file that `found` names for reading.
fn reopen(found: BorrowedFd<'_>) -> Result<File> {
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).context("open it")
}

fn copy_file(source: BorrowedFd<'_>, to: BorrowedFd<'_>, new_name: &CStr, owner: Option<(Uid, Gid)>) -> Result<()> {
    let mut source = reopen(source)?;
    let mut target = create_file(to, new_name)?;
    std::io::copy(&mut source, &mut target).context("copy the content")?;
    set_attributes(source.as_fd(), target.as_fd(), owner)
}

/// Puts the content of the file `source` in the place of what is in the file `target`; both are opened by name only.
///
/// # Errors
/// EINVAL when `target` is no regular file; the call that failed.
pub fn overwrite(source: BorrowedFd<'_>, target: BorrowedFd<'_>, owner: Option<(Uid, Gid)>) -> Result<()> {
    if kind(&fstat(target)?) != SFlag::S_IFREG {
        return Err(Errno::EINVAL).context("only a file can be written over");
    }
    let mut source = reopen(source)?;
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    let mut target = File::options().write(true).truncate(true).open(path).context("open what is there")?;
    std::io::copy(&mut source, &mut target).context("copy the content")?;
    set_attributes(source.as_fd(), target.as_fd(), owner)
}

/// A new file that was not there.
///
/// # Errors
/// open(2).
pub fn create_file(to: BorrowedFd<'_>, name: &CStr) -> Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(to, name, flags, Mode::from_bits_truncate(0o600)).context("make the file")?.into())
}

/// Gives the open file or directory `to` the owner, mode, attributes and times of `from`.
///
/// # Errors
/// The call that failed.
pub fn set_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, owner: Option<(Uid, Gid)>) -> Result<()> {
    let stat = fstat(from)?;
    let (uid, gid) = owner.unwrap_or((Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)));
    // Before the mode and the attributes: a change of owner takes set-user-ID bits and capabilities away.
    fchown(to, Some(uid), Some(gid)).context("set the owner")?;
    for name in sys::xattr::list_open(from).or_else(unsupported)? {
        if is_local(&name) {
            continue;
        }
        let name = CString::new(name)?;
        let value = sys::xattr::get_open(from, &name).context("read an attribute")?;
        sys::xattr::set(to, &name, &value).or_else(|errno| unsupported(errno).map(drop)).context("set an attribute")?;
    }
    fchmod(to, Mode::from_bits_truncate(stat.st_mode & 0o7777)).context("set the mode")?;
    nix::sys::stat::futimens(to, &times(&stat)[0], &times(&stat)[1]).context("set the times")
}

fn unsupported(errno: Errno) -> nix::Result<Vec<Vec<u8>>> {
    if errno == Errno::EOPNOTSUPP { Ok(Vec::new()) } else { Err(errno) }
}

/// overlayfs's own attributes belong to where a file lay, labels of SELinux to the host.
fn is_local(name: &[u8]) -> bool {
    const LOCAL: [&[u8]; 3] = [b"trusted.overlay.", b"user.overlay.", b"security.selinux"];
    LOCAL.iter().any(|local| name.starts_with(local))
}

fn set_attributes_of_name(stat: &FileStat, to: BorrowedFd<'_>, name: &CStr, owner: Option<(Uid, Gid)>) -> Result<()> {
    let (uid, gid) = owner.unwrap_or((Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)));
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW).context("set the owner")?;
    if kind(stat) != SFlag::S_IFLNK {
        let opened = openat(to, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
        let mode = std::os::unix::fs::PermissionsExt::from_mode(stat.st_mode & 0o7777);
        std::fs::set_permissions(path, mode).context("set the mode")?;
    }
    let [accessed, modified] = times(stat);
    utimensat(to, name, &accessed, &modified, UtimensatFlags::NoFollowSymlink).context("set the times")
}

fn times(stat: &FileStat) -> [TimeSpec; 2] {
    [TimeSpec::new(stat.st_atime, stat.st_atime_nsec), TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)]
}
