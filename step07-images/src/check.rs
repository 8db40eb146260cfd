//! What killed processes left behind, found without any journal: a folder that nobody locks, a layer or blob that no image has.

use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::reach::{Reach, any_has, pin, works};
use crate::remove::gone;
use crate::store::Store;
use nix::fcntl::FlockArg;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Something in the store that nobody needs any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// A folder of work that was interrupted.
    Work(PathBuf),
    /// An unpacked layer that no image has.
    Layer(PathBuf),
    /// A blob that no image has.
    Blob(PathBuf),
}

impl Leftover {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Work(path) | Self::Layer(path) | Self::Blob(path) => path,
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Work(_) => "interrupted work",
            Self::Layer(_) => "a layer of no image",
            Self::Blob(_) => "a blob of no image",
        };
        write!(f, "{what}: `{}`", self.path().display())
    }
}

impl Store {
    /// Names what interrupted loads and removals have left. Loads that are under way are not touched.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Json`] for a damaged store.
    pub fn check(&self) -> Result<Vec<Leftover>, Error> {
        let _lock = self.layout.lock(FlockArg::LockExclusive)?;
        self.leftovers()
    }

    /// Removes `leftovers`, those of them that still are. Already gone is no error.
    ///
    /// # Errors
    /// [`Error::Io`], of the first that could not be removed.
    pub fn reclaim(&self, leftovers: &[Leftover]) -> Result<(), Error> {
        let _lock = self.layout.lock(FlockArg::LockExclusive)?;
        for leftover in self.leftovers()?.iter().filter(|leftover| leftovers.contains(leftover)) {
            let path = leftover.path();
            let removed = match leftover {
                Leftover::Blob(_) => fs::remove_file(path),
                _ => fs::remove_dir_all(path),
            };
            removed.or_else(gone).doing("remove", path)?;
        }
        Ok(())
    }

    /// The caller holds the lock.
    fn leftovers(&self) -> Result<Vec<Leftover>, Error> {
        let layout = &self.layout;
        let (live, dead) = works(layout, None)?;
        let reach = Reach::of(layout, layout.read_index()?.manifests())?;
        let mut found: Vec<_> = dead.into_iter().map(Leftover::Work).collect();
        for (name, path) in digests(&layout.layers())? {
            if !name.is_some_and(|layer| reach.layers.contains(&layer) || any_has(&live, &pin(layer))) {
                found.push(Leftover::Layer(path));
            }
        }
        for (name, path) in digests(&layout.blobs())? {
            if !name.is_some_and(|blob| reach.blobs.contains(&blob)) {
                found.push(Leftover::Blob(path));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The entries of a folder whose names should be digests.
fn digests(folder: &Path) -> Result<Vec<(Option<Digest>, PathBuf)>, Error> {
    let entries = fs::read_dir(folder).doing("read", folder)?;
    let paths = entries.map(|entry| Ok(entry.doing("read", folder)?.path()));
    let named = |path: PathBuf| (path.file_name().and_then(|name| Digest::from_hex(name.to_str()?)), path);
    paths.map(|path: Result<PathBuf, Error>| path.map(named)).collect()
}
