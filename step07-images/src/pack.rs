//! A directory as a tar, by descriptors: what an image is imported from, what a container has written, what it looks like.
//!
//! A container may change the tree while it is read. So a directory is entered by its open descriptor and never by a path, no link is followed,
//! and a file is looked at again after it was opened: a directory that becomes a link to the host's `/etc` shows nothing of it.
//!
//! Names are sorted: the same directory gives the same bytes.

use crate::error::{Doing, Error};
use crate::folder::{FOLDER, below, kind, names};
use crate::import::tarball::{Attribute, Item, TarWriter};
use crate::unpack::Skipped;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, major, minor};
use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use tar::EntryType;

/// What the directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Plain files.
    Plain,
    /// The upper directory of an overlay: its deletions become `.wh.` entries, as a layer has them.
    Upper,
}

/// Writes a tar from open directories.
pub struct Packer<W> {
    tar: TarWriter<W>,
    form: Form,
    /// Files with several names: device and inode, and the first name.
    linked: HashMap<(u64, u64), Vec<u8>>,
    skipped: Vec<Skipped>,
}

impl<W> std::fmt::Debug for Packer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("form", &self.form).finish_non_exhaustive()
    }
}

const NAME_ONLY: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl<W: Write> Packer<W> {
    /// Begins a tar.
    pub fn new(writer: W, form: Form) -> Self {
        Self { tar: TarWriter::new(writer), form, linked: HashMap::new(), skipped: Vec::new() }
    }

    /// Writes the open directory itself as `name` (without a slash at its end), and all below it.
    ///
    /// # Errors
    /// [`Error::Io`] for what cannot be read or written.
    pub fn folder(&mut self, folder: BorrowedFd<'_>, name: &[u8]) -> Result<(), Error> {
        let stat = fstat(folder).doing("look at", path(name))?;
        let mut item = item(&stat, [name, b"/"].concat(), EntryType::Directory);
        item.attributes = attributes(folder, name)?;
        self.add(&item)?;
        self.children(folder, name)
    }

    /// Writes everything in the open directory; names begin with `name`, or with nothing when it is `.`.
    ///
    /// # Errors
    /// As [`Packer::folder`].
    pub fn children(&mut self, folder: BorrowedFd<'_>, name: &[u8]) -> Result<(), Error> {
        if self.form == Form::Upper && self.is_opaque(folder, name)? {
            self.deletion(name, b".wh..opq")?;
        }
        for child in names(folder, path(name))? {
            self.entry(folder, &child, &below(name, child.to_bytes()))?;
        }
        Ok(())
    }

    /// Writes what `folder` has under `child` as `name`, and all below it.
    ///
    /// # Errors
    /// As [`Packer::folder`].
    pub fn entry(&mut self, folder: BorrowedFd<'_>, child: &CStr, name: &[u8]) -> Result<(), Error> {
        let stat = match fstatat(folder, child, AtFlags::AT_SYMLINK_NOFOLLOW) {
            // Removed since the directory was read.
            Err(Errno::ENOENT) => return Ok(()),
            stat => stat.doing("look at", path(name))?,
        };
        match kind(&stat) {
            SFlag::S_IFDIR => {
                let opened = openat(folder, child, FOLDER, Mode::empty()).doing("open", path(name))?;
                self.folder(opened.as_fd(), name)
            }
            SFlag::S_IFREG => self.file(folder, child, name),
            SFlag::S_IFLNK => {
                let mut item = item(&stat, name.to_vec(), EntryType::Symlink);
                item.link = readlinkat(folder, child).doing("read", path(name))?.into_vec();
                self.other(&stat, item)
            }
            SFlag::S_IFCHR if self.form == Form::Upper && stat.st_rdev == 0 => self.deletion_of(name),
            SFlag::S_IFCHR => self.device(&stat, name, EntryType::Char),
            SFlag::S_IFBLK => self.device(&stat, name, EntryType::Block),
            SFlag::S_IFIFO => self.other(&stat, item(&stat, name.to_vec(), EntryType::Fifo)),
            _ => {
                let what = "a socket: it means nothing without its server".into();
                self.skipped.push(Skipped { entry: path(name).display().to_string(), what });
                Ok(())
            }
        }
    }

    /// Writes the end marker: the writer, and what was left out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self) -> Result<(W, Vec<Skipped>), Error> {
        Ok((self.tar.finish().doing("write", Path::new("the tar"))?, self.skipped))
    }

    fn file(&mut self, folder: BorrowedFd<'_>, child: &CStr, name: &[u8]) -> Result<(), Error> {
        // Only named at first: to open what has taken a file's place by now could mean to wait, or to move a tape.
        let found = openat(folder, child, NAME_ONLY, Mode::empty()).doing("open", path(name))?;
        let stat = fstat(&found).doing("look at", path(name))?;
        if kind(&stat) != SFlag::S_IFREG {
            return Err(Error::io("read", path(name), Errno::EAGAIN));
        }
        let mut item = item(&stat, name.to_vec(), EntryType::Regular);
        if let Some(first) = self.earlier_name(&stat, name) {
            (item.kind, item.link) = (EntryType::Link, first);
            return self.add(&item);
        }
        let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).doing("open", path(name))?;
        item.attributes = attributes(file.as_fd(), name)?;
        item.size = u64::try_from(stat.st_size).unwrap_or(0);
        self.tar.add(&item, file).doing("write the tar entry of", path(name))
    }

    fn device(&mut self, stat: &FileStat, name: &[u8], kind: EntryType) -> Result<(), Error> {
        let number = |number: u64| u32::try_from(number).unwrap_or(0);
        let mut item = item(stat, name.to_vec(), kind);
        item.device = (number(major(stat.st_rdev)), number(minor(stat.st_rdev)));
        self.other(stat, item)
    }

    fn other(&mut self, stat: &FileStat, mut item: Item) -> Result<(), Error> {
        if let Some(first) = self.earlier_name(stat, &item.name.clone()) {
            (item.kind, item.link) = (EntryType::Link, first);
        }
        self.add(&item)
    }

    /// The first name of a file that has several; remembers `name` when it is the first.
    fn earlier_name(&mut self, stat: &FileStat, name: &[u8]) -> Option<Vec<u8>> {
        if stat.st_nlink < 2 {
            return None;
        }
        let identity = (stat.st_dev, stat.st_ino);
        let first = self.linked.get(&identity).cloned();
        if first.is_none() {
            self.linked.insert(identity, name.to_vec());
        }
        first
    }

    fn deletion_of(&mut self, name: &[u8]) -> Result<(), Error> {
        let at = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (folder, child) = name.split_at(at);
        self.deletion(folder.strip_suffix(b"/").unwrap_or(folder), child)
    }

    /// An empty file named `.wh.` and what is gone. Source: OCI image specification, layer.md, "Whiteouts".
    fn deletion(&mut self, folder: &[u8], of: &[u8]) -> Result<(), Error> {
        let name = below(folder, &[b".wh.", of].concat());
        let item = Item {
            name,
            link: Vec::new(),
            kind: EntryType::Regular,
            mode: 0o600,
            owner: (0, 0),
            mtime: (0, 0),
            size: 0,
            device: (0, 0),
            attributes: Vec::new(),
        };
        self.add(&item)
    }

    fn add(&mut self, item: &Item) -> Result<(), Error> {
        self.tar.add(item, std::io::empty()).doing("write the tar entry of", path(&item.name))
    }

    fn is_opaque(&self, folder: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Error> {
        let attributes = listed(folder, name)?;
        if attributes.iter().any(|attribute| attribute.ends_with(b".overlay.redirect")) {
            // Renamed without a copy: its files are in the layers below, under another name.
            return Err(Error::io("find the content of the renamed directory", path(name), Errno::EXDEV));
        }
        Ok(attributes.iter().any(|attribute| attribute.ends_with(b".overlay.opaque")))
    }
}

/// A name for messages.
fn path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn item(stat: &FileStat, name: Vec<u8>, kind: EntryType) -> Item {
    Item {
        name,
        link: Vec::new(),
        kind,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        size: 0,
        device: (0, 0),
        attributes: Vec::new(),
    }
}

fn listed(fd: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    match sys::xattr::list_open(fd) {
        Err(Errno::EOPNOTSUPP) => Ok(Vec::new()),
        names => names.doing("list the attributes of", path(name)),
    }
}

/// The extended attributes that belong to a file wherever it is; overlayfs's own belong to where it lay.
fn attributes(fd: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<Attribute>, Error> {
    let mut attributes = Vec::new();
    for key in listed(fd, name)?.into_iter().filter(|key| !is_local(key)) {
        let c_key = CString::new(key.clone()).expect("the kernel's names are split at zero bytes");
        attributes.push((key, sys::xattr::get_open(fd, &c_key).doing("read an attribute of", path(name))?));
    }
    attributes.sort();
    Ok(attributes)
}

fn is_local(name: &[u8]) -> bool {
    const LOCAL: [&[u8]; 3] = [b"trusted.overlay.", b"user.overlay.", b"security.selinux"];
    LOCAL.iter().any(|local| name.starts_with(local))
}
