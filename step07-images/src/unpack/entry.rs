//! What an entry becomes: each kind of file is made new, by descriptor, where nothing is.

use super::attributes;
use super::members::Member;
use super::path::LayerPath;
use super::refusal::{Refusal, While};
use super::tree::{is_kind, is_whiteout, look, open_in};
use super::{Flavour, Skipped, Stream, Unpacker, make_opaque, printable};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{linkat, symlinkat};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tar::EntryType;

impl<S: Stream> Unpacker<'_, S> {
    pub(super) fn plain(
        &mut self,
        member: &Member,
        path: &LayerPath,
        folder: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), Refusal> {
        match member.kind {
            EntryType::Directory => self.directory(member, path, folder, name),
            EntryType::Link => self.hard_link(member, path, folder, name),
            EntryType::Symlink => {
                if member.link.is_empty() {
                    return Err(Refusal::SymlinkEmpty);
                }
                let target = CString::new(&*member.link).map_err(|_| Refusal::ZeroByte)?;
                self.create(folder, name, || symlinkat(&*target, folder, name), "make the symbolic link")?;
                self.attributes(member).apply_at(folder, name, &mut self.done.skipped)
            }
            EntryType::Fifo => self.node(member, folder, name, SFlag::S_IFIFO),
            EntryType::Char => self.node(member, folder, name, SFlag::S_IFCHR),
            EntryType::Block => self.node(member, folder, name, SFlag::S_IFBLK),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(member, folder, name),
            kind => Err(Refusal::Kind { kind: kind.as_byte().into() }),
        }
    }

    /// Makes something at `name`; whatever stood there before gives way, it is never written through.
    fn create<T>(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        make: impl Fn() -> nix::Result<T>,
        doing: &'static str,
    ) -> Result<T, Refusal> {
        match make() {
            Err(Errno::EEXIST) => {
                self.tree.clear(folder, name)?;
                make().while_(doing)
            }
            result => result.while_(doing),
        }
    }

    fn directory(
        &mut self,
        member: &Member,
        path: &LayerPath,
        folder: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), Refusal> {
        let before = look(folder, name)?;
        let deleted_below = before.is_some_and(|stat| is_whiteout(&stat));
        if !before.is_some_and(|stat| is_kind(&stat, SFlag::S_IFDIR)) {
            self.create(folder, name, || mkdirat(folder, name, Mode::S_IRWXU), "make the directory")?;
        }
        let made = open_in(folder, name).while_("open the directory")?;
        if deleted_below {
            make_opaque(&made, self.flavour)?;
        }
        self.attributes(member).apply_to(&made, &mut self.done.skipped)?;
        self.folders.insert(path.clone(), member.mtime);
        Ok(())
    }

    fn hard_link(
        &mut self,
        member: &Member,
        path: &LayerPath,
        folder: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), Refusal> {
        let to = self.link_target(member)?;
        if to == *path || to.is_root() {
            return Err(Refusal::LinkImpossible { target: printable(&member.link) });
        }
        let (to_folder, to_name) = to.split();
        let from = self.open_link_folder(member, to_folder)?;
        check_link(member, look(from.as_fd(), to_name)?)?;
        // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is a second name of the symbolic link itself.
        let link = || linkat(&from, to_name, folder, name, AtFlags::empty());
        match self.create(folder, name, link, "make the hard link") {
            // What gave way for the link held its target.
            Err(Refusal::Kernel { errno: Errno::ENOENT, .. }) => {
                Err(Refusal::LinkMissing { target: printable(&member.link) })
            }
            result => result,
        }
    }

    fn link_target(&self, member: &Member) -> Result<LayerPath, Refusal> {
        let target = || printable(&member.link);
        LayerPath::check(&member.link, self.limits.depth).map_err(|refusal| match refusal {
            Refusal::Absolute => Refusal::LinkAbsolute { target: target() },
            Refusal::DotDot => Refusal::LinkOutside { target: target() },
            other => other,
        })
    }

    fn open_link_folder(&self, member: &Member, folder: &[u8]) -> Result<OwnedFd, Refusal> {
        let target = || printable(&member.link);
        self.tree.open_folder(folder).map_err(|errno| match errno {
            Errno::ELOOP => Refusal::LinkThroughSymlink { target: target() },
            Errno::ENOENT | Errno::ENOTDIR => Refusal::LinkMissing { target: target() },
            errno => Refusal::Kernel { doing: "open the folder of the hard link's target", errno },
        })
    }

    fn node(&mut self, member: &Member, folder: BorrowedFd<'_>, name: &[u8], kind: SFlag) -> Result<(), Refusal> {
        let (major, minor) = member.device;
        if kind == SFlag::S_IFCHR && member.device == (0, 0) {
            return Err(Refusal::WhiteoutDevice);
        }
        if kind != SFlag::S_IFIFO && self.flavour != Flavour::Root {
            if !self.flavour.single_id() {
                return Err(Refusal::DeviceForbidden);
            }
            self.done.skipped.push(Skipped {
                entry: printable(&member.name),
                what: format!("device {major}:{minor}: not possible in a user namespace"),
            });
            return Ok(());
        }
        let device = makedev(major.into(), minor.into());
        self.create(folder, name, || mknodat(folder, name, kind, Mode::empty(), device), "make the device or fifo")?;
        self.attributes(member).apply_at(folder, name, &mut self.done.skipped)
    }

    fn file(&mut self, member: &Member, folder: BorrowedFd<'_>, name: &[u8]) -> Result<(), Refusal> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // No setuid bit before there is an owner; nobody else can open it, the layer is in a folder of ours.
        let mode = self.attributes(member).mode() & (Mode::S_IRWXU | Mode::S_IRWXG | Mode::S_IRWXO);
        let mut file: File = self.create(folder, name, || openat(folder, name, flags, mode), "make the file")?.into();
        match &member.sparse {
            None => self.copy(&mut file, member.size)?,
            Some(pieces) => self.copy_sparse(&mut file, pieces, member.size)?,
        }
        self.done.bytes += member.size;
        self.attributes(member).apply_to(&file, &mut self.done.skipped)?;
        attributes::set_times(&file, member.mtime)
    }

    fn copy(&mut self, file: &mut File, size: u64) -> Result<(), Refusal> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = match self.members.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(Refusal::Truncated),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            file.write_all(&self.buffer[..count]).map_err(writing)?;
            left -= count as u64;
            let (bytes, compressed) = self.members.get_mut().passed();
            self.limits.check_ratio(bytes, compressed)?;
        }
        Ok(())
    }

    /// The pieces at their places; between them the file stays empty, as it was.
    fn copy_sparse(&mut self, file: &mut File, pieces: &[(u64, u64)], size: u64) -> Result<(), Refusal> {
        for (offset, length) in pieces {
            file.seek(SeekFrom::Start(*offset)).map_err(writing)?;
            self.copy(file, *length)?;
        }
        file.set_len(size).map_err(writing)
    }
}

/// A hard link is to something of this layer that is there, and is no directory.
fn check_link(member: &Member, target: Option<FileStat>) -> Result<(), Refusal> {
    match target {
        Some(stat) if is_kind(&stat, SFlag::S_IFDIR) => {
            Err(Refusal::LinkImpossible { target: printable(&member.link) })
        }
        Some(stat) if !is_whiteout(&stat) => Ok(()),
        _ => Err(Refusal::LinkMissing { target: printable(&member.link) }),
    }
}

fn writing(error: io::Error) -> Refusal {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    Refusal::Kernel { doing: "write the file", errno }
}
