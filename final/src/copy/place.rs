//! One end of a copy: a path of the host or of a container, resolved once.

use crate::report::Refusal;
use crate::tree::kind;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::fd::open_in_root;

/// Whose path it is.
#[derive(Debug, Clone, Copy)]
pub enum Side<'r> {
    /// The host's.
    Host,
    /// A container's, whose root this is.
    Inside(BorrowedFd<'r>),
}

/// A path of one side.
#[derive(Debug, Clone)]
pub struct Place<'r> {
    side: Side<'r>,
    text: String,
}

/// What is copied.
#[derive(Debug)]
pub struct Source {
    /// The thing itself, opened by name only.
    pub opened: OwnedFd,
    /// The directory that it is in; none for `/` and the like.
    pub parent: Option<OwnedFd>,
    /// Its last name.
    pub name: CString,
    /// What is in the directory, not the directory: the path ends in `/.`.
    pub only_content: bool,
}

/// Where it goes.
#[derive(Debug)]
pub enum Target {
    /// Into this directory.
    Folder(OwnedFd),
    /// As this name in this directory.
    Name(OwnedFd, CString),
    /// Into this file, which a link led to.
    Content(OwnedFd),
}

impl<'r> Side<'r> {
    /// A path of this side.
    #[must_use]
    pub fn place(self, text: &str) -> Place<'r> {
        Place { side: self, text: text.to_owned() }
    }
}

impl Source {
    /// Whether it is a directory.
    ///
    /// # Errors
    /// fstat(2).
    pub fn is_folder(&self) -> Result<bool> {
        Ok(kind(&fstat(&self.opened)?) == SFlag::S_IFDIR)
    }

    /// What a tar calls the directory.
    #[must_use]
    pub fn tar_name(&self) -> &[u8] {
        if self.only_content { b"." } else { self.name.to_bytes() }
    }
}

impl Place<'_> {
    /// The path as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn open(&self, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        match self.side {
            Side::Host => openat(AT_FDCWD, path.as_c_str(), flags | OFlag::O_CLOEXEC, Mode::empty()),
            Side::Inside(root) => open_in_root(root, &path, flags, Mode::empty()),
        }
    }

    /// The path without what is at its end, and the last name; none for `/`, `.`, `..`.
    fn split(&self) -> Option<(String, &str)> {
        let bare = self.text.trim_end_matches('/');
        let (folder, name) = bare.rsplit_once('/').map_or((".", bare), |(folder, name)| (folder, name));
        let folder = if folder.is_empty() { "/" } else { folder };
        let folder = if !bare.contains('/') && matches!(self.side, Side::Inside(_)) { "/" } else { folder };
        (!["", ".", ".."].contains(&name)).then(|| (folder.to_owned(), name))
    }

    fn refused(&self, why: &str) -> anyhow::Error {
        Refusal::new(format!("`{}`: {why}", self.text)).code(1).into()
    }

    /// What is to be copied.
    ///
    /// # Errors
    /// [`Refusal`] for what is not there.
    pub fn source(&self, follow: bool) -> Result<Source> {
        let at_end = |flags: OFlag| match self.open(&self.text, flags) {
            Err(Errno::ENOENT) => Err(self.refused("there is no such file or directory")),
            opened => opened.with_context(|| format!("open `{}`", self.text)),
        };
        let slash = self.text.ends_with('/') || self.text.ends_with("/.");
        let Some((folder, name)) = self.split() else {
            let opened = at_end(OFlag::O_PATH | OFlag::O_DIRECTORY)?;
            return Ok(Source { opened, parent: None, name: c".".into(), only_content: true });
        };
        let parent = match self.open(&folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Err(self.refused("there is no such file or directory")),
            opened => opened.with_context(|| format!("open `{folder}`"))?,
        };
        let name = CString::new(name)?;
        let opened = match follow || slash {
            true => at_end(OFlag::O_PATH)?,
            false => match openat(
                &parent,
                name.as_c_str(),
                OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
                Mode::empty(),
            ) {
                Err(Errno::ENOENT) => return Err(self.refused("there is no such file or directory")),
                opened => opened.with_context(|| format!("open `{}`", self.text))?,
            },
        };
        Ok(Source { opened, parent: Some(parent), name, only_content: false })
    }

    /// Where a file or a directory (`folder`) goes.
    ///
    /// # Errors
    /// [`Refusal`]s of docker's: a directory onto a file, a missing directory.
    pub fn target(&self, folder: bool, source: &Source) -> Result<Target> {
        match self.open(&self.text, OFlag::O_PATH) {
            Ok(found) if kind(&fstat(&found)?) == SFlag::S_IFDIR => return self.folder_target(folder, source),
            Ok(_) if folder => return Err(self.refused("cannot copy a directory onto a file")),
            Ok(found) => return self.onto_file(found),
            Err(Errno::ENOENT) => {}
            Err(Errno::ENOTDIR) => return Err(self.refused("not a directory")),
            Err(errno) => return Err(errno).with_context(|| format!("open `{}`", self.text)),
        }
        if self.text.ends_with('/') && !folder {
            return Err(self.refused("the destination directory must exist"));
        }
        let (parent, name) = self.split().ok_or_else(|| self.refused("there is no such directory"))?;
        match self.open(&parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(parent) => Ok(Target::Name(parent, CString::new(name)?)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {
                Err(self.refused("the directory that it is to be in does not exist"))
            }
            Err(errno) => Err(errno).with_context(|| format!("open `{parent}`")),
        }
    }

    fn folder_target(&self, folder: bool, source: &Source) -> Result<Target> {
        let opened = self.open(&self.text, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        if !source.only_content {
            let there = fstatat(&opened, source.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            match there.map(|stat| kind(&stat) == SFlag::S_IFDIR) {
                Ok(true) if !folder => return Err(self.refused("cannot overwrite a directory with a file")),
                Ok(false) if folder => return Err(self.refused("cannot overwrite a file with a directory")),
                _ => {}
            }
        }
        Ok(Target::Folder(opened))
    }

    /// A file is replaced; one that a link leads to is written into.
    fn onto_file(&self, found: OwnedFd) -> Result<Target> {
        let (parent, name) = self.split().ok_or_else(|| self.refused("not a directory"))?;
        if self.text.ends_with('/') {
            return Err(self.refused("not a directory"));
        }
        let parent =
            self.open(&parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY).with_context(|| format!("open `{parent}`"))?;
        let name = CString::new(name)?;
        let stat = fstatat(&parent, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if kind(&stat) == SFlag::S_IFLNK { Ok(Target::Content(found)) } else { Ok(Target::Name(parent, name)) }
    }

    /// The directory itself, which has to be there.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn existing_folder(&self) -> Result<OwnedFd> {
        match self.open(&self.text, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(folder) => Ok(folder),
            Err(Errno::ENOENT) => Err(self.refused("there is no such directory")),
            Err(Errno::ENOTDIR) => Err(self.refused("the destination must be a directory")),
            Err(errno) => Err(errno).with_context(|| format!("open `{}`", self.text)),
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.opened.as_fd()
    }
}
