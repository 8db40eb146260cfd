//! Owner, mode, extended attributes and times of an entry, in the order that keeps each.

use super::members::Member;
use super::refusal::{Refusal, While};
use super::{Flavour, Skipped, printable};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, fstat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What an entry says about itself, to be written to what was made for it.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) member: &'a Member,
    pub(crate) flavour: Flavour,
}

impl Attributes<'_> {
    /// Onto an open file or directory. The owner first: a change of owner clears setuid bits and file capabilities (chown(2)).
    ///
    /// Most files are root's and have the mode that they were made with: to look costs a tenth of what it costs to write the same again.
    pub(crate) fn apply_to(&self, fd: impl AsFd, skipped: &mut Vec<Skipped>) -> Result<(), Refusal> {
        let fd = fd.as_fd();
        let now = fstat(fd).while_("look at what was made")?;
        let is_owned = (self.member.uid, self.member.gid) == (now.st_uid.into(), now.st_gid.into());
        if !is_owned {
            self.own(|uid, gid| fchown(fd, Some(uid), Some(gid)))?;
        }
        if !is_owned || now.st_mode & 0o7777 != self.member.mode {
            fchmod(fd, self.mode()).while_("set the mode")?;
        }
        self.extended(skipped, |name, value| sys::xattr::set(fd, name, value))
    }

    /// Onto a symbolic link, a fifo or a device, which are not opened: a fifo would wait, a device would act.
    pub(crate) fn apply_at(
        &self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        skipped: &mut Vec<Skipped>,
    ) -> Result<(), Refusal> {
        self.own(|uid, gid| fchownat(folder, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW))?;
        if !self.member.kind.is_symlink() {
            fchmodat(folder, name, self.mode(), FchmodatFlags::FollowSymlink).while_("set the mode")?;
        }
        if !self.member.attributes.is_empty() {
            let path = [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name].concat();
            let path = CString::new(path).map_err(|_| Refusal::ZeroByte)?;
            self.extended(skipped, |name, value| sys::xattr::set_path(&path, name, value))?;
        }
        let time = timespec(self.member.mtime);
        utimensat(folder, name, &time, &time, UtimensatFlags::NoFollowSymlink).while_("set the times")
    }

    pub(crate) fn mode(&self) -> Mode {
        Mode::from_bits_truncate(self.member.mode)
    }

    fn own(&self, chown: impl Fn(Uid, Gid) -> nix::Result<()>) -> Result<(), Refusal> {
        let (uid, gid) = (self.member.uid, self.member.gid);
        // The highest number means "leave it" to chown(2): it would stay root's.
        let number = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        let (Some(uid), Some(gid)) = (number(uid), number(gid)) else {
            return Err(Refusal::Owner { uid, gid });
        };
        match chown(Uid::from_raw(uid), Gid::from_raw(gid)) {
            // A single id is all there is: the file stays the store's owner's. Documented at `Flavour::UserNamespace`.
            Err(Errno::EINVAL | Errno::EPERM) if self.flavour.single_id() => Ok(()),
            Err(Errno::EINVAL) => Err(Refusal::OwnerNotMapped { uid, gid }),
            result => result.while_("set the owner"),
        }
    }

    fn extended(
        &self,
        skipped: &mut Vec<Skipped>,
        set: impl Fn(&CStr, &[u8]) -> nix::Result<()>,
    ) -> Result<(), Refusal> {
        for (name, value) in &self.member.attributes {
            let text = printable(name);
            if is_overlayfs(name) {
                return Err(Refusal::OverlayAttribute { name: text });
            }
            let name = CString::new(name.as_slice()).map_err(|_| Refusal::ZeroByte)?;
            match set(&name, value) {
                Err(errno) if self.may_skip(errno) => skipped.push(Skipped {
                    entry: printable(&self.member.name),
                    what: format!("attribute `{text}`: {}", sys::failure::describe(errno)),
                }),
                result => result.while_("set an extended attribute")?,
            }
        }
        Ok(())
    }

    /// A file system without such attributes (docker warns there too), or a namespace that may not set them.
    fn may_skip(&self, errno: Errno) -> bool {
        errno == Errno::EOPNOTSUPP || (errno == Errno::EPERM && self.flavour != Flavour::Root)
    }
}

/// overlayfs's own attributes: with them a layer could reach into other layers (`redirect`, `metacopy`).
fn is_overlayfs(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Sets the time of the last change, and the same for the last access: two runs give the same tree.
pub(crate) fn set_times(fd: impl AsFd, mtime: (i64, u32)) -> Result<(), Refusal> {
    let time = timespec(mtime);
    futimens(fd, &time, &time).while_("set the times")
}

fn timespec((seconds, nanos): (i64, u32)) -> TimeSpec {
    TimeSpec::new(seconds, nanos.into())
}
