//! Trees that `COPY` and `ADD` read: the build's context, or another stage or image. Names are resolved as if the tree were `/`:
//! no symbolic link leads out of it.

use super::ignore::{Ignore, clean};
use super::pattern::Pattern;
use crate::error::{Doing, Error};
use crate::folder::names;
pub(super) use crate::folder::{FOLDER, below, kind};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub(super) const NAME_ONLY: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// A tree to copy from.
#[derive(Debug)]
pub struct Source<'a> {
    root: BorrowedFd<'a>,
    rules: Vec<(&'a Ignore, String)>,
}

/// A source that was asked for and is there.
#[derive(Debug)]
pub struct Found {
    /// Where, from the tree's root, without a slash in front; empty for the root.
    pub path: Vec<u8>,
    /// The same after all links, which is what `.dockerignore` speaks of.
    pub real: Vec<u8>,
    pub(super) stat: FileStat,
    pub(super) fd: OwnedFd,
}

/// One entry of a tree.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name.
    pub(super) name: CString,
    /// Where, from the tree's root.
    pub(super) path: Vec<u8>,
    pub(super) stat: FileStat,
}

/// Why a source cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// Nothing has that name.
    #[error("`{0}` is not there")]
    Nothing(String),
    /// It is there and `.dockerignore` leaves it out.
    #[error("`{0}` is left out by `.dockerignore`")]
    Ignored(String),
    /// No name fits the pattern.
    #[error("nothing matches `{0}`")]
    NoMatch(String),
    /// Not a pattern.
    #[error("{0}")]
    Pattern(String),
    /// The kernel's.
    #[error(transparent)]
    Store(#[from] Error),
}

impl<'a> Source<'a> {
    /// The tree below `root`; what `ignore` leaves out is not there.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>, ignore: Option<&'a Ignore>) -> Self {
        let rules = ignore.filter(|ignore| !ignore.is_empty()).map(|ignore| (ignore, String::new()));
        Self { root, rules: rules.into_iter().collect() }
    }

    /// The same tree without what `exclude` names, from the folder `found` on (of a file, from the one it is in).
    #[must_use]
    pub fn without(&self, exclude: &'a Ignore, found: &Found) -> Self {
        let path = String::from_utf8_lossy(&found.path);
        let from = if found.is_folder() { path.as_ref() } else { path.rsplit_once('/').map_or("", |(above, _)| above) };
        let prefix = if from.is_empty() { String::new() } else { format!("{from}/") };
        let mut rules = self.rules.clone();
        if !exclude.is_empty() {
            rules.push((exclude, prefix));
        }
        Self { root: self.root, rules }
    }

    /// Whether `found` itself is left out.
    #[must_use]
    pub fn leaves_out(&self, found: &Found) -> bool {
        self.gone(&found.path, found.is_folder())
    }

    /// What `text`, a path or a pattern of Go's, means here, sorted. A link at the end is followed.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn select(&self, text: &str) -> Result<Vec<Found>, Missing> {
        let path = clean(&format!("/{text}"));
        let path = path.trim_start_matches('/');
        if Pattern::is_plain(path) {
            return Ok(vec![self.find(path.as_bytes(), text)?]);
        }
        let mut paths = vec![Vec::new()];
        for part in path.split('/') {
            let pattern = Pattern::of_go(part).map_err(Missing::Pattern)?;
            let mut next = Vec::new();
            for folder in &paths {
                next.extend(self.matching(folder, part, &pattern)?);
            }
            paths = next;
        }
        let found = paths.iter().map(|path| self.find(path, text));
        // What is left out does not count, and a link that leads nowhere is not copied by a pattern.
        let found: Vec<Found> = found.filter_map(Result::ok).collect();
        if found.is_empty() { Err(Missing::NoMatch(text.to_owned())) } else { Ok(found) }
    }

    fn matching(&self, folder: &[u8], part: &str, pattern: &Pattern) -> Result<Vec<Vec<u8>>, Error> {
        if Pattern::is_plain(part) {
            return Ok(vec![below(folder, part.as_bytes())]);
        }
        let opened =
            sys::fd::open_in_root(self.root, &c_path(folder), OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty());
        let Ok(opened) = opened else { return Ok(Vec::new()) };
        let names = names(opened.as_fd(), &shown(folder))?;
        let fits =
            names.iter().map(|name| name.to_bytes()).filter(|name| pattern.matches(&String::from_utf8_lossy(name)));
        Ok(fits.map(|name| below(folder, name)).collect())
    }

    fn find(&self, path: &[u8], asked: &str) -> Result<Found, Missing> {
        let shown = String::from_utf8_lossy(path);
        let fd = match sys::fd::open_in_root(self.root, &c_path(path), NAME_ONLY, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Err(Missing::Nothing(asked.to_owned())),
            opened => opened.doing("open", Path::new(shown.as_ref()))?,
        };
        let stat = fstat(&fd).doing("look at", Path::new(shown.as_ref()))?;
        let real = if !self.rules.is_empty() { self.real_path(&fd)? } else { path.to_vec() };
        let folder = kind(&stat) == SFlag::S_IFDIR;
        if self.gone(path, folder) || self.gone(&real, folder) {
            return Err(Missing::Ignored(asked.to_owned()));
        }
        Ok(Found { path: path.to_vec(), real, stat, fd })
    }

    /// The path after all links. The kernel knows it; both descriptors are of one table of mounts.
    fn real_path(&self, fd: &OwnedFd) -> Result<Vec<u8>, Error> {
        let of = |fd: i32| fs::read_link(format!("/proc/self/fd/{fd}")).doing("read", "/proc/self/fd");
        let (root, path) = (of(self.root.as_raw_fd())?, of(fd.as_raw_fd())?);
        Ok(path.strip_prefix(&root).map_or_else(|_| Vec::new(), |path| path.as_os_str().as_bytes().to_vec()))
    }

    fn gone(&self, path: &[u8], folder: bool) -> bool {
        let path = String::from_utf8_lossy(path);
        self.rules.iter().any(|(ignore, prefix)| {
            path.strip_prefix(prefix.as_str()).is_some_and(|path| {
                !path.is_empty() && ignore.leaves_out(path) && !(folder && ignore.may_return_below(path))
            })
        })
    }

    fn on_the_way(&self, path: &[u8]) -> bool {
        let path = String::from_utf8_lossy(path);
        let out = |(ignore, prefix): &(&Ignore, String)| {
            path.strip_prefix(prefix.as_str()).is_some_and(|path| ignore.leaves_out(path))
        };
        self.rules.iter().any(out)
    }

    /// What is in an open folder, sorted by name, without what is left out.
    pub(super) fn entries(&self, folder: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for name in names(folder, &shown(path))? {
            let path = below(path, name.to_bytes());
            let stat = match fstatat(folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => continue,
                stat => stat.doing("look at", shown(&path))?,
            };
            let is_folder = kind(&stat) == SFlag::S_IFDIR;
            if self.gone(&path, is_folder) {
                continue;
            }
            // Left out, and here only if something below it is not.
            if is_folder && self.on_the_way(&path) {
                let inside = openat(folder, name.as_c_str(), FOLDER, Mode::empty()).doing("open", shown(&path))?;
                if self.entries(inside.as_fd(), &path)?.is_empty() {
                    continue;
                }
            }
            entries.push(Entry { name, path, stat });
        }
        Ok(entries)
    }
}

impl Found {
    /// Whether it is a folder, whose content is copied rather than itself.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        kind(&self.stat) == SFlag::S_IFDIR
    }

    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default())
    }

    /// The file, for reading.
    ///
    /// # Errors
    /// open(2).
    pub fn open(&self) -> Result<fs::File, Error> {
        fs::File::open(format!("/proc/self/fd/{}", self.fd.as_raw_fd())).doing("open", shown(&self.path))
    }

    /// The folder, for reading.
    pub(super) fn folder(&self) -> Result<OwnedFd, Error> {
        openat(&self.fd, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .doing("open", shown(&self.path))
    }
}

/// A path for openat2; the root is `.`.
pub(super) fn c_path(path: &[u8]) -> CString {
    let path: Vec<u8> = path.iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(if path.is_empty() { b".".to_vec() } else { path }).unwrap_or_default()
}

/// A path for messages.
pub(super) fn shown(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(if path.is_empty() { b"." } else { path }))
}

pub(super) fn link_of(folder: BorrowedFd<'_>, entry: &Entry) -> Result<Vec<u8>, Error> {
    Ok(readlinkat(folder, entry.name.as_c_str()).doing("read the link", shown(&entry.path))?.into_vec())
}
