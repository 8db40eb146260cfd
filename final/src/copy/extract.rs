//! A tar into a directory of a container: `cp - CONTAINER:DIR`.

use crate::tree::{create_file, kind, make_room};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstat, makedev, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, symlinkat};
use std::ffi::{CStr, CString, OsStr};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use step07_images::EntryType;
use step07_images::unpack::{Member, Members};
use sys::fd::open_beneath;

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Unpacks a plain tar below `into`. Links in it are followed as far as they stay there.
pub(super) fn extract(reader: impl Read, into: BorrowedFd<'_>, archive: bool) -> Result<()> {
    let mut members = Members::new(reader);
    let mut folders = Vec::new();
    loop {
        let member = match members.next() {
            Ok(Some(member)) => member,
            Ok(None) => break,
            Err(refusal) => return Err(anyhow::anyhow!("{refusal}")).context("read the tar"),
        };
        let shown = String::from_utf8_lossy(&member.name).into_owned();
        let made = entry(&mut members, &member, into, archive);
        if let Some(folder) = made.with_context(|| format!("unpack `{}`", shown.escape_default()))? {
            folders.push((folder, member.mtime));
        }
    }
    // Last: each file that is made in a directory changes its time.
    for (name, mtime) in folders.iter().rev() {
        set_times(into, name, *mtime)?;
    }
    Ok(())
}

/// Makes one entry; the path when it is a directory.
fn entry<R: Read>(
    members: &mut Members<R>,
    member: &Member,
    into: BorrowedFd<'_>,
    archive: bool,
) -> Result<Option<CString>> {
    let path = clean(&member.name)?;
    let Some((folder, name)) = split(&path) else { return Ok(None) };
    let parent = open_parent(into, folder)?;
    let name = CString::new(name)?;
    if member.kind.is_dir() {
        make_folder(&parent, &name)?;
    } else {
        make_room(parent.as_fd(), &name)?;
        make(members, member, into, &parent, &name)?;
    }
    if member.kind.is_hard_link() {
        return Ok(None);
    }
    let owner = if archive { (u32::try_from(member.uid)?, u32::try_from(member.gid)?) } else { (0, 0) };
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    fchownat(&parent, name.as_c_str(), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW).context("set the owner")?;
    if !member.kind.is_symlink() {
        set_mode_and_attributes(&parent, &name, member)?;
    }
    set_times(parent.as_fd(), &name, member.mtime)?;
    Ok(member.kind.is_dir().then(|| CString::new(path)).transpose()?)
}

fn make<R: Read>(
    members: &mut Members<R>,
    member: &Member,
    into: BorrowedFd<'_>,
    parent: &OwnedFd,
    name: &CStr,
) -> Result<()> {
    let device = |kind| {
        let (major, minor) = member.device;
        mknodat(parent, name, kind, Mode::from_bits_truncate(0o600), makedev(major.into(), minor.into()))
    };
    match member.kind {
        EntryType::Symlink => symlinkat(OsStr::from_bytes(&member.link), parent, name)?,
        EntryType::Link => {
            let target = CString::new(clean(&member.link)?)?;
            let first = open_beneath(into, &target, OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty())?;
            crate::tree::link(first.as_fd(), parent.as_fd(), name)?;
        }
        EntryType::Char => device(SFlag::S_IFCHR)?,
        EntryType::Block => device(SFlag::S_IFBLK)?,
        EntryType::Fifo => device(SFlag::S_IFIFO)?,
        EntryType::Regular | EntryType::Continuous => {
            let mut file = create_file(parent.as_fd(), name)?;
            std::io::copy(members, &mut file).context("write the content")?;
        }
        other => bail!("an entry of the kind {other:?} is not supported"),
    }
    Ok(())
}

fn make_folder(parent: &OwnedFd, name: &CStr) -> Result<()> {
    match mkdirat(parent, name, Mode::from_bits_truncate(0o700)) {
        Ok(()) => Ok(()),
        Err(Errno::EEXIST) => {
            openat(parent, name, FOLDER, Mode::empty()).map(drop).context("a file is in the directory's place")
        }
        Err(errno) => Err(errno.into()),
    }
}

fn set_mode_and_attributes(parent: &OwnedFd, name: &CStr, member: &Member) -> Result<()> {
    let regular = matches!(member.kind, EntryType::Regular | EntryType::Continuous) || member.kind.is_dir();
    if !regular {
        return fchmodat(parent, name, Mode::from_bits_truncate(member.mode), FchmodatFlags::NoFollowSymlink)
            .or_else(|errno| if errno == Errno::EOPNOTSUPP { Ok(()) } else { Err(errno) })
            .context("set the mode");
    }
    let opened = openat(
        parent,
        name,
        OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let found = kind(&fstat(&opened)?);
    anyhow::ensure!(found == SFlag::S_IFREG || found == SFlag::S_IFDIR, "it is another kind of file by now");
    for (key, value) in &member.attributes {
        sys::xattr::set(&opened, &CString::new(key.clone())?, value).context("set an attribute")?;
    }
    nix::sys::stat::fchmod(&opened, Mode::from_bits_truncate(member.mode)).context("set the mode")
}

fn set_times(folder: BorrowedFd<'_>, name: &CStr, (seconds, nanos): (i64, u32)) -> Result<()> {
    let time = TimeSpec::new(seconds, nanos.into());
    match utimensat(folder, name, &time, &time, UtimensatFlags::NoFollowSymlink) {
        Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(()),
        Err(errno) => Err(errno).context("set the times"),
    }
}

/// Every directory on the way, made where it is missing.
fn open_parent(into: BorrowedFd<'_>, folder: &[u8]) -> Result<OwnedFd> {
    if folder.is_empty() {
        return Ok(into.try_clone_to_owned()?);
    }
    let mut so_far = Vec::new();
    let mut parent = into.try_clone_to_owned()?;
    for name in folder.split(|byte| *byte == b'/') {
        so_far.extend_from_slice(name);
        let path = CString::new(so_far.clone())?;
        let opened = match open_beneath(into, &path, FOLDER, Mode::empty()) {
            Err(Errno::ENOENT) => {
                mkdirat(&parent, &*CString::new(name)?, Mode::from_bits_truncate(0o755))?;
                open_beneath(into, &path, FOLDER, Mode::empty())
            }
            opened => opened,
        };
        parent = opened.with_context(|| format!("open `{}`", path.to_string_lossy()))?;
        so_far.push(b'/');
    }
    Ok(parent)
}

/// The name without `.` and slashes too many; `..` is refused.
fn clean(name: &[u8]) -> Result<Vec<u8>> {
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&&b".."[..]) {
        bail!("the name leads out of the directory");
    }
    Ok(parts.join(&b'/'))
}

fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    let slash = path.iter().rposition(|byte| *byte == b'/');
    Some(slash.map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..])))
}
