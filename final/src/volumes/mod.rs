//! Volumes: plain directories on the host that outlive containers.
//!
//! ```text
//! ROOT/volumes/<name>/volume.json    when it was made, labels, options
//! ROOT/volumes/<name>/_data/         what is in it
//! ROOT/volumes/<name>/users/<id>     the containers that mount it
//! ```
//!
//! A volume is in use as long as a container is there that has a mark in `users`. A mark is made under a shared lock of the volume's folder, a volume
//! is removed under an exclusive one: so nobody mounts what is being removed. Marks of containers that are gone count for nothing.

mod attach;
mod fill;
mod record;
mod request;

pub use attach::{Wanted, attach, release};
pub use record::{MountPoint, Volume, VolumeRecord};
pub use request::{Source, VolumeRequest};

use crate::container::{ids, new_id};
use crate::dirs::Dirs;
use crate::events::note_other;
use crate::names;
use crate::report::Refusal;
use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What is being made has this before its name, what is being removed the other.
const NEW: &str = ".new-";
const GONE: &str = ".gone-";

/// The volumes of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Volumes<'d> {
    dirs: &'d Dirs,
}

impl<'d> Volumes<'d> {
    /// Those in these directories.
    #[must_use]
    pub fn new(dirs: &'d Dirs) -> Self {
        Self { dirs }
    }

    /// Makes a volume; one that is there already is left as it is, as docker does. Without a name it gets one of 64 digits.
    ///
    /// # Errors
    /// [`Refusal`] for a name or an option that cannot be; mkdir(2).
    pub fn create(
        &self,
        name: Option<&str>,
        labels: &BTreeMap<String, String>,
        options: &BTreeMap<String, String>,
    ) -> Result<Volume> {
        let name = match name {
            Some(name) => checked(name)?.to_owned(),
            None => new_id()?,
        };
        record::bound_directory(options)?;
        let record = VolumeRecord {
            created: Timestamp::now(),
            labels: labels.clone(),
            options: options.clone(),
            anonymous: false,
        };
        self.ensure(&name, &record)
    }

    fn ensure(&self, name: &str, record: &VolumeRecord) -> Result<Volume> {
        loop {
            match self.read(name) {
                Some(volume) if !record.options.is_empty() && volume.record.options != record.options => {
                    let what = format!("a volume named `{name}` is there already, with other options");
                    return Err(Refusal::new(what).help("remove it first, or choose another name").code(1).into());
                }
                Some(volume) => return Ok(volume),
                None => self.make(name, record).with_context(|| format!("cannot make the volume `{name}`"))?,
            }
        }
    }

    /// Made under another name and renamed when it is whole; somebody who was quicker is no error.
    fn make(&self, name: &str, record: &VolumeRecord) -> Result<()> {
        let folder = self.dirs.volumes().join(format!("{NEW}{}", new_id()?));
        DirBuilder::new().recursive(true).mode(0o711).create(&folder)?;
        let _in_work = lock(&folder, FlockArg::LockExclusive)?;
        for (part, mode) in [("_data", 0o755), ("users", 0o700)] {
            DirBuilder::new().mode(mode).create(folder.join(part))?;
        }
        fs::write(folder.join(RECORD), serde_json::to_vec(record)?)?;
        match fs::rename(&folder, self.dirs.volumes().join(name)) {
            Ok(()) => {
                note_other(self.dirs, "volume", "create", name, &[("driver", "local".to_owned())]);
                Ok(())
            }
            Err(error) => {
                fs::remove_dir_all(&folder)?;
                let there = [ErrorKind::DirectoryNotEmpty, ErrorKind::AlreadyExists].contains(&error.kind());
                if there { Ok(()) } else { Err(error.into()) }
            }
        }
    }

    fn read(&self, name: &str) -> Option<Volume> {
        let folder = self.dirs.volumes().join(name);
        let record = serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()?;
        Some(Volume { name: name.to_owned(), folder, record })
    }

    /// Finds a volume by its name.
    ///
    /// # Errors
    /// [`Refusal`] when there is none.
    pub fn find(&self, name: &str) -> Result<Volume> {
        let found = if names::check(name).is_ok() { self.read(name) } else { None };
        found.ok_or_else(|| {
            Refusal::new(format!("no such volume: `{name}`")).help("`tara volume ls` lists the volumes").code(1).into()
        })
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(&self) -> Result<Vec<Volume>> {
        let mut names = ids(&self.dirs.volumes())?;
        names.sort();
        Ok(names.iter().filter(|name| !name.starts_with('.')).filter_map(|name| self.read(name)).collect())
    }

    /// The ids of the containers that mount it.
    #[must_use]
    pub fn users(&self, volume: &Volume) -> Vec<String> {
        let marks = ids(&volume.folder.join("users")).unwrap_or_default();
        let is_there = |id: &String| self.dirs.container(id).exists() || self.dirs.live(id).exists();
        marks.into_iter().filter(is_there).collect()
    }

    /// Removes a volume that no container mounts.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, or it is in use.
    pub fn remove(&self, name: &str) -> Result<()> {
        let volume = self.find(name)?;
        let _alone = lock(&volume.folder, FlockArg::LockExclusive)?;
        let users = self.users(&volume);
        if !users.is_empty() {
            let what = format!("remove {name}: volume is in use - [{}]", users.join(", "));
            return Err(Refusal::new(what).help("remove these containers first").code(1).into());
        }
        let gone = self.dirs.volumes().join(format!("{GONE}{}", new_id()?));
        let removed = fs::rename(&volume.folder, &gone).and_then(|()| fs::remove_dir_all(&gone));
        removed.or_else(crate::reclaim::gone).with_context(|| format!("cannot remove the volume `{name}`"))?;
        note_other(self.dirs, "volume", "destroy", name, &[("driver", "local".to_owned())]);
        Ok(())
    }

    /// What was left half-made or half-removed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>> {
        let folders = ids(&self.dirs.volumes())?.into_iter().filter(|name| name.starts_with('.'));
        let folders = folders.map(|name| self.dirs.volumes().join(name));
        Ok(folders.filter(|folder| crate::container::is_locked(folder) == Some(false)).collect())
    }
}

const RECORD: &str = "volume.json";

fn checked(name: &str) -> Result<&str> {
    names::check(name).map(|()| name).map_err(|_| {
        let what =
            format!("`{name}` is no name of a volume: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, and two or more");
        Refusal::new(what).help("a directory of the host is given by its absolute path").into()
    })
}

/// Locks a volume's folder; NotFound when it is another one, or none, by the time that the lock is ours.
fn lock(folder: &Path, how: FlockArg) -> io::Result<Flock<File>> {
    let locked = Flock::lock(File::open(folder)?, how).map_err(|(_, errno): (_, Errno)| io::Error::from(errno))?;
    let same = fs::metadata(folder)?.ino() == locked.metadata()?.ino();
    if same { Ok(locked) } else { Err(ErrorKind::NotFound.into()) }
}
