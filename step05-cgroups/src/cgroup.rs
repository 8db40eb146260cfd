//! The cgroup of one container: a directory in each tree that is needed.

use crate::directory::Directory;
use crate::hierarchy::{Controller, Tree, Version};
use crate::limits::Limits;
use crate::parent::{Parent, Wish, is_name, make_in};
use crate::plan::{trees, wishes};
use crate::remove::remove_tree;
use crate::words::DEVICES;
use crate::{Error, files};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// A cgroup. It outlives this value: [`Cgroup::remove`] ends it.
#[derive(Debug)]
pub struct Cgroup {
    pub(crate) parent: Parent,
    pub(crate) id: String,
    pub(crate) directories: Vec<Directory>,
}

impl Cgroup {
    /// Makes the cgroup `id` below `parent` and sets the limits. Nothing is in it yet: see [`Cgroup::into_cgroup`] and
    /// [`Cgroup::enter`]. Host half.
    ///
    /// Where no cgroup can be had and nothing is limited, the result has no directory, and statistics have no numbers.
    ///
    /// # Errors
    /// A limit that cannot be had is an error that names its flag; what was made until then is removed.
    // ANCHOR: create
    pub fn create(parent: &Parent, id: &str, limits: &Limits) -> Result<Self, Error> {
        let mut cgroup = Self::named(parent, id)?;
        limits.check()?;
        match cgroup.fill(limits) {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                // What we made, and nothing that was there before under this name.
                let begin = Instant::now();
                let _the_first_error_says_more = cgroup.paths().try_for_each(|path| remove_tree(path, begin));
                Err(error)
            }
        }
    }

    /// The same, and a cgroup of this name that is there and empty is taken as it is, with what was set in it.
    ///
    /// # Errors
    /// As [`Cgroup::create`]; [`Error::Occupied`].
    pub fn create_or_adopt(parent: &Parent, id: &str, limits: &Limits) -> Result<Self, Error> {
        match Self::create(parent, id, limits) {
            Err(Error::Path { errno: Errno::EEXIST, .. }) => {}
            created => return created,
        }
        let mut cgroup = Self::open(parent, id)?;
        if !cgroup.processes()?.is_empty() {
            return Err(Error::Occupied(cgroup.name().into()));
        }
        let of_limits = Limits { devices: None, ..limits.clone() };
        cgroup.update(&of_limits)?;
        if limits.devices.is_some() {
            cgroup.ensure_controller(Controller::Devices, DEVICES)?;
            cgroup.set_devices(limits)?;
        }
        Ok(cgroup)
    }

    fn fill(&mut self, limits: &Limits) -> Result<(), Error> {
        // ANCHOR: task1_fill
        let parent = self.parent.clone();
        for (tree, wishes) in trees(&parent, &wishes(limits))? {
            let asked = wishes.iter().any(|(_, flag)| flag.is_some());
            match self.make_in(tree, &wishes) {
                // For statistics alone nothing is worth failing.
                Err(Error::Path { errno: Errno::EEXIST, doing, path }) => {
                    return Err(Error::Path { doing, path, errno: Errno::EEXIST });
                }
                Err(_) if !asked => {}
                result => result?,
            }
        }
        self.set(limits)?;
        limits.devices.as_ref().map_or(Ok(()), |_| self.set_devices(limits))
        // ANCHOR_END: task1_fill
    }
    // ANCHOR_END: create

    /// The cgroup `id` that another process made.
    ///
    /// # Errors
    /// [`Error::Gone`] when there is none in any tree.
    pub fn open(parent: &Parent, id: &str) -> Result<Self, Error> {
        let mut cgroup = Self::named(parent, id)?;
        for (tree, path) in parent.directories(id) {
            match Directory::open(tree, path) {
                Err(Error::Path { errno: Errno::ENOENT, .. }) => {}
                opened => cgroup.directories.push(opened?),
            }
        }
        if cgroup.directories.is_empty() { Err(Error::Gone(cgroup.name())) } else { Ok(cgroup) }
    }

    fn named(parent: &Parent, id: &str) -> Result<Self, Error> {
        if !is_name(id) {
            return Err(Error::Name(id.to_owned()));
        }
        Ok(Self { parent: parent.clone(), id: id.to_owned(), directories: Vec::new() })
    }

    /// The path from the root of each tree, as `/proc/PID/cgroup` shows it on the host.
    #[must_use]
    pub fn name(&self) -> String {
        let directory = self.directories.first().map(|directory| directory.path.display().to_string());
        directory.unwrap_or_else(|| self.id.clone())
    }

    /// Its directories: one in v2, one for each controller in use in v1.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().map(|directory| directory.path.as_path())
    }

    /// v2: the directory that clone3 puts the new process into. Source: clone(2), CLONE_INTO_CGROUP.
    #[must_use]
    pub fn into_cgroup(&self) -> Option<BorrowedFd<'_>> {
        // ANCHOR: task1_into
        self.directories.iter().find(|directory| directory.version == Version::V2).map(|directory| directory.fd.as_fd())
        // ANCHOR_END: task1_into
    }

    /// What a container that is in it may see of the trees, each the version and the controllers of one of its directories, by their
    /// names in v1: to be mounted inside, in its own namespace of cgroups.
    #[must_use]
    pub fn trees(&self) -> Vec<(Version, Vec<&'static str>)> {
        let names = |directory: &Directory| directory.controllers.iter().map(|known| known.v1_name()).collect();
        self.directories.iter().map(|directory| (directory.version, names(directory))).collect()
    }

    pub(crate) fn make_in(&mut self, tree: &Tree, wishes: &[Wish]) -> Result<(), Error> {
        let path = self.parent.prepare(tree, wishes)?.join(&self.id);
        match make_in(tree, &path) {
            // In v1 the first of all containers; else somebody who shares the parent has removed it since.
            Err(Error::Path { errno: Errno::ENOENT, .. }) => {
                self.parent.ensure(tree, wishes)?;
                make_in(tree, &path)?;
            }
            result => result?,
        }
        self.directories.push(Directory::open(tree, path)?);
        Ok(())
    }

    pub(crate) fn directory_of(&self, controller: Controller) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.controllers.contains(&controller))
    }

    /// The numbers of all processes in it, also of those in cgroups below it.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn processes(&self) -> Result<Vec<i32>, Error> {
        self.directories.first().map_or(Ok(Vec::new()), |directory| files::processes(&directory.path))
    }
}

/// How long the kernel gets to do what it was told.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) fn deadline(doing: &'static str, state: &'static str, path: &Path) -> Error {
    Error::Deadline { doing, state, path: path.to_owned(), seconds: DEADLINE.as_secs() }
}
