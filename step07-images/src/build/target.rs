//! Writing what `COPY` and `ADD` bring: into a root that is resolved as if it were `/`, every entry made new.

use super::inputs;
use super::source::{Entry, FOLDER, Found, Source, below, c_path, kind, link_of, shown};
use crate::error::{Doing, Error};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, futimens, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Whose the copies are, and what they may.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// User and group; `None` keeps the source's.
    pub owner: Option<(u32, u32)>,
    /// In place of the source's mode.
    pub mode: Option<u32>,
    /// Whether extended attributes come along: from another stage, never from a context.
    pub attributes: bool,
    /// No time is later than this, in seconds since 1970.
    pub latest: Option<i64>,
}

/// A root file system that is written to.
#[derive(Debug)]
pub struct Target<'a> {
    root: BorrowedFd<'a>,
    how: How,
    /// Files with several names: device and inode of the source, and the first copy.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a> Target<'a> {
    /// Writes below `root`.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>, how: How) -> Self {
        Self { root, how, linked: HashMap::new() }
    }

    /// Whether `path` is a folder there.
    #[must_use]
    pub fn is_folder(&self, path: &str) -> bool {
        self.open(path.trim_start_matches('/').as_bytes()).is_ok()
    }

    fn open(&self, path: &[u8]) -> nix::Result<OwnedFd> {
        sys::fd::open_in_root(self.root, &c_path(path), OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())
    }

    /// Makes the folder `path` and those above it, as far as they are not there; whether it made any.
    ///
    /// # Errors
    /// When a file is in the way.
    pub fn make_folders(&self, path: &str) -> Result<bool, Error> {
        let (mut done, mut made) = (Vec::new(), false);
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            let folder = self.open(&done).doing("open", shown(&done))?;
            done = below(&done, part.as_bytes());
            match self.open(&done) {
                Ok(_) => continue,
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(Error::io("make the folder", shown(&done), errno)),
            }
            mkdirat(&folder, part, Mode::from_bits_truncate(0o755)).doing("make the folder", shown(&done))?;
            made = true;
            let new = openat(&folder, part, FOLDER, Mode::empty()).doing("open", shown(&done))?;
            let (uid, gid) = self.how.owner.unwrap_or((0, 0));
            own(&new, uid, gid).doing("set the owner of", shown(&done))?;
            fchmod(&new, Mode::from_bits_truncate(0o755)).doing("set the mode of", shown(&done))?;
            self.limit_time(&new).doing("set the times of", shown(&done))?;
        }
        Ok(made)
    }

    /// Copies `found` to `path`, whose folder is there: a folder's content into the folder `path`, a file as `path`.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub fn copy(&mut self, source: &Source<'_>, found: &Found, path: &str) -> Result<(), Error> {
        let path = path.trim_matches('/');
        if found.is_folder() {
            self.make_folders(path)?;
            let into = self.open(path.as_bytes()).doing("open", shown(path.as_bytes()))?;
            return self.children(source, found.folder()?.as_fd(), &found.path, into.as_fd(), path.as_bytes());
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let into = self.open(folder.as_bytes()).doing("open", shown(folder.as_bytes()))?;
        let entry = Entry { name: c_path(name.as_bytes()), path: found.path.clone(), stat: found.stat };
        match kind(&found.stat) {
            SFlag::S_IFREG => self.file(found.open()?, &entry, into.as_fd(), path.as_bytes()),
            _ => self.special(&entry, into.as_fd()),
        }
    }

    /// Writes a file of this content.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn write(&mut self, content: impl Read, path: &str, mode: u32, mtime: (i64, i64)) -> Result<(), Error> {
        let path = path.trim_matches('/');
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let into = self.open(folder.as_bytes()).doing("open", shown(folder.as_bytes()))?;
        let name = c_path(name.as_bytes());
        let file = self.create(into.as_fd(), &name, path.as_bytes())?;
        let (uid, gid) = self.how.owner.unwrap_or((0, 0));
        self.fill(content, file, (uid, gid, mode), mtime).doing("write", shown(path.as_bytes()))
    }

    fn children(
        &mut self,
        source: &Source<'_>,
        from: BorrowedFd<'_>,
        from_path: &[u8],
        into: BorrowedFd<'_>,
        into_path: &[u8],
    ) -> Result<(), Error> {
        for entry in source.entries(from, from_path)? {
            let path = below(into_path, entry.name.to_bytes());
            match kind(&entry.stat) {
                SFlag::S_IFDIR => {
                    let inside =
                        openat(from, entry.name.as_c_str(), FOLDER, Mode::empty()).doing("open", shown(&entry.path))?;
                    let folder = self.folder(&entry, into, &path)?;
                    self.children(source, inside.as_fd(), &entry.path, folder.as_fd(), &path)?;
                    self.finish_folder(&entry, inside.as_fd(), &folder).doing("set the attributes of", shown(&path))?;
                }
                SFlag::S_IFREG => {
                    let file = inputs::open(from, &entry)?;
                    self.file(file, &entry, into, &path)?;
                }
                SFlag::S_IFLNK => self.link(link_of(from, &entry)?, &entry, into, &path)?,
                // A socket means nothing without its server.
                SFlag::S_IFSOCK => {}
                _ => self.special(&entry, into)?,
            }
        }
        Ok(())
    }

    fn folder(&self, entry: &Entry, into: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Error> {
        match openat(into, entry.name.as_c_str(), FOLDER, Mode::empty()) {
            Err(Errno::ENOENT) => {}
            // A link of the image below: where it leads inside the root.
            Err(Errno::ELOOP | Errno::ENOTDIR) => return self.open(path).doing("copy a folder onto", shown(path)),
            folder => return folder.doing("open", shown(path)),
        }
        mkdirat(into, entry.name.as_c_str(), Mode::from_bits_truncate(0o700)).doing("make the folder", shown(path))?;
        openat(into, entry.name.as_c_str(), FOLDER, Mode::empty()).doing("open", shown(path))
    }

    /// After what is in it: each entry that is made changes its times.
    fn finish_folder(&self, entry: &Entry, from: BorrowedFd<'_>, folder: &OwnedFd) -> nix::Result<()> {
        let (uid, gid) = self.how.owner.unwrap_or((entry.stat.st_uid, entry.stat.st_gid));
        own(folder, uid, gid)?;
        fchmod(folder, self.mode(&entry.stat))?;
        self.attributes(from, folder.as_fd())?;
        let time = self.time((entry.stat.st_mtime, entry.stat.st_mtime_nsec));
        futimens(folder, &time, &time)
    }

    fn mode(&self, stat: &FileStat) -> Mode {
        Mode::from_bits_truncate(self.how.mode.unwrap_or(stat.st_mode & 0o7777))
    }

    fn time(&self, (seconds, nanos): (i64, i64)) -> TimeSpec {
        match self.how.latest {
            Some(latest) if seconds >= latest => TimeSpec::new(latest, 0),
            _ => TimeSpec::new(seconds, nanos),
        }
    }

    fn limit_time(&self, fd: &OwnedFd) -> nix::Result<()> {
        self.how.latest.map_or(Ok(()), |latest| futimens(fd, &TimeSpec::new(latest, 0), &TimeSpec::new(latest, 0)))
    }

    fn file(&mut self, mut from: File, entry: &Entry, into: BorrowedFd<'_>, path: &[u8]) -> Result<(), Error> {
        if entry.stat.st_nlink > 1 {
            let identity = (entry.stat.st_dev, entry.stat.st_ino);
            if let Some(first) = self.linked.get(&identity) {
                self.clear(into, entry)?;
                let first = c_path(first);
                return linkat(self.root, first.as_c_str(), into, entry.name.as_c_str(), LinkatFlags::empty())
                    .doing("link", shown(path));
            }
            self.linked.insert(identity, path.to_vec());
        }
        let file = self.create(into, &entry.name, path)?;
        self.attributes(from.as_fd(), file.as_fd()).doing("set the attributes of", shown(path))?;
        let (uid, gid) = self.how.owner.unwrap_or((entry.stat.st_uid, entry.stat.st_gid));
        let mode = self.mode(&entry.stat).bits();
        let mtime = (entry.stat.st_mtime, entry.stat.st_mtime_nsec);
        self.fill(&mut from, file, (uid, gid, mode), mtime).doing("write", shown(path))
    }

    fn create(&self, into: BorrowedFd<'_>, name: &std::ffi::CStr, path: &[u8]) -> Result<File, Error> {
        remove(into, name).doing("replace", shown(path))?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(into, name, flags, Mode::from_bits_truncate(0o600)).doing("create", shown(path))?.into())
    }

    fn fill(
        &self,
        mut content: impl Read,
        mut file: File,
        (uid, gid, mode): (u32, u32, u32),
        mtime: (i64, i64),
    ) -> std::io::Result<()> {
        std::io::copy(&mut content, &mut file)?;
        file.flush()?;
        own(&file, uid, gid)?;
        fchmod(&file, Mode::from_bits_truncate(mode))?;
        let time = self.time(mtime);
        Ok(futimens(&file, &time, &time)?)
    }

    fn link(&self, target: Vec<u8>, entry: &Entry, into: BorrowedFd<'_>, path: &[u8]) -> Result<(), Error> {
        self.clear(into, entry)?;
        symlinkat(c_path(&target).as_c_str(), into, entry.name.as_c_str()).doing("link", shown(path))?;
        self.finish_at(entry, into, false).doing("set the attributes of", shown(path))
    }

    fn special(&self, entry: &Entry, into: BorrowedFd<'_>) -> Result<(), Error> {
        self.clear(into, entry)?;
        mknodat(into, entry.name.as_c_str(), kind(&entry.stat), Mode::from_bits_truncate(0o600), entry.stat.st_rdev)
            .doing("make", shown(&entry.path))?;
        self.finish_at(entry, into, true).doing("set the attributes of", shown(&entry.path))
    }

    fn finish_at(&self, entry: &Entry, into: BorrowedFd<'_>, with_mode: bool) -> nix::Result<()> {
        let (uid, gid) = self.how.owner.unwrap_or((entry.stat.st_uid, entry.stat.st_gid));
        let name = entry.name.as_c_str();
        let chowned =
            fchownat(into, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_SYMLINK_NOFOLLOW);
        tolerated(chowned)?;
        if with_mode {
            fchmodat(into, name, self.mode(&entry.stat), FchmodatFlags::FollowSymlink)?;
        }
        let time = self.time((entry.stat.st_mtime, entry.stat.st_mtime_nsec));
        utimensat(into, name, &time, &time, UtimensatFlags::NoFollowSymlink)
    }

    fn clear(&self, into: BorrowedFd<'_>, entry: &Entry) -> Result<(), Error> {
        remove(into, &entry.name).doing("replace", shown(&entry.path))
    }

    fn attributes(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> nix::Result<()> {
        if !self.how.attributes {
            return Ok(());
        }
        let names = match sys::xattr::list_open(from) {
            Err(Errno::EOPNOTSUPP) => return Ok(()),
            names => names?,
        };
        for name in names.iter().filter(|name| !name.starts_with(b"trusted.") && !name.starts_with(b"user.overlay.")) {
            let name = c_path(name);
            let value = sys::xattr::get_open(from, &name)?;
            match sys::xattr::set(to, &name, &value) {
                Err(Errno::EOPNOTSUPP | Errno::EPERM) => {}
                set => set?,
            }
        }
        Ok(())
    }
}

fn own(fd: impl AsFd, uid: u32, gid: u32) -> nix::Result<()> {
    tolerated(fchown(fd.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
}

/// In a user namespace of one user every file is his, whatever is asked for: as when layers are unpacked.
fn tolerated(result: nix::Result<()>) -> nix::Result<()> {
    match result {
        Err(Errno::EINVAL) if crate::unpack::Flavour::of_this_process().single_id() => Ok(()),
        result => result,
    }
}

/// Removes what is not a folder; a folder stays, and what wants its place is refused by the kernel.
fn remove(into: BorrowedFd<'_>, name: &std::ffi::CStr) -> nix::Result<()> {
    match unlinkat(into, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        removed => removed,
    }
}

/// Sets all times below `root` that are later than `latest` back to it.
///
/// # Errors
/// What cannot be read or changed.
pub(super) fn limit_times(root: BorrowedFd<'_>, latest: i64) -> Result<(), Error> {
    let source = Source::new(root, None);
    limit(&source, root, b"", latest)
}

fn limit(source: &Source<'_>, folder: BorrowedFd<'_>, path: &[u8], latest: i64) -> Result<(), Error> {
    let time = TimeSpec::new(latest, 0);
    for entry in source.entries(folder, path)? {
        if kind(&entry.stat) == SFlag::S_IFDIR {
            let inside =
                openat(folder, entry.name.as_c_str(), FOLDER, Mode::empty()).doing("open", shown(&entry.path))?;
            limit(source, inside.as_fd(), &entry.path, latest)?;
        }
        let now = fstatat(folder, entry.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
            .doing("look at", shown(&entry.path))?;
        if now.st_mtime >= latest {
            utimensat(folder, entry.name.as_c_str(), &time, &time, UtimensatFlags::NoFollowSymlink)
                .doing("set the times of", shown(&entry.path))?;
        }
    }
    Ok(())
}
