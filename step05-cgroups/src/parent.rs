//! Where our cgroups are: below a parent of our own, in each tree that is needed.

use crate::enable::enable;
use crate::error::errno;
use crate::hierarchy::{Controller, Hierarchy, Tree, Version};
use crate::{Error, files};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The cgroup below which containers get theirs, in all the trees of the machine.
#[derive(Debug, Clone)]
pub struct Parent {
    hierarchy: Hierarchy,
    path: PathBuf,
}

/// The parent when nobody says another.
pub const DEFAULT_PARENT: &str = "/tara";

/// A controller that is wanted, and the flag that wants it; without a flag it is for statistics, and no loss.
pub(crate) type Wish = (Controller, Option<&'static str>);

impl Parent {
    /// The parent `name` (`--cgroup-parent`; `/tara` by default), a path from the root of each tree; for an ordinary user
    /// from the uppermost cgroup that was delegated to them. Nothing is made yet.
    ///
    /// # Errors
    /// [`Error::Name`] for a path that could lead elsewhere.
    pub fn new(hierarchy: Hierarchy, name: Option<&str>) -> Result<Self, Error> {
        let name = name.unwrap_or(DEFAULT_PARENT);
        let path = PathBuf::from(name.trim_start_matches('/'));
        if name == "/" {
            // The root of the trees itself.
            return Ok(Self { hierarchy, path });
        }
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        let good = |part: &str| is_name(part) && !part.contains("..");
        if path.as_os_str().is_empty() || !plain || !name.trim_matches('/').split('/').all(good) {
            return Err(Error::Name(name.to_owned()));
        }
        Ok(Self { hierarchy, path })
    }

    /// What is mounted.
    #[must_use]
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The directory of the cgroup `id` in every tree where there may be one.
    pub(crate) fn directories(&self, id: &str) -> Vec<(&Tree, PathBuf)> {
        let place = |tree| Some((tree, base(tree)?.join(&self.path).join(id)));
        self.hierarchy.trees().iter().filter_map(place).collect()
    }

    /// The directory of the parent itself in `tree`. In v2 it is made, with the controllers that are wished for; in v1 it is usually
    /// there from the container before, and asking costs as much as trying.
    pub(crate) fn prepare(&self, tree: &Tree, wishes: &[Wish]) -> Result<PathBuf, Error> {
        let flag = wishes.iter().find_map(|(_, flag)| *flag).unwrap_or("statistics");
        let at = tree.mount_point.clone();
        let refused = if tree.read_only { Error::ReadOnly { flag, at } } else { Error::NotDelegated { flag, at } };
        let base = base(tree).filter(|_| !tree.read_only).ok_or(refused)?;
        if tree.version == Version::V2 {
            enable(tree, &base, &self.path, wishes)?;
        }
        Ok(base.join(&self.path))
    }

    /// The same, and it is there.
    pub(crate) fn ensure(&self, tree: &Tree, wishes: &[Wish]) -> Result<PathBuf, Error> {
        let directory = self.prepare(tree, wishes)?;
        if tree.version == Version::V1 {
            make_v1(tree, &directory, self.path.components().count())?;
        }
        Ok(directory)
    }

    /// Removes the parent where no container's cgroup is left in it. Already gone is no error.
    ///
    /// # Errors
    /// rmdir(2), but for EBUSY.
    pub fn remove(&self) -> Result<(), Error> {
        for (_, path) in self.directories("") {
            let steps = self.path.components().count();
            for directory in path.ancestors().take(steps) {
                match fs::remove_dir(directory).map_err(|error| errno(&error)) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(Errno::EBUSY | Errno::ENOTEMPTY | Errno::EACCES | Errno::EROFS) => break,
                    Err(errno) => return Err(Error::path("remove", directory, errno)),
                }
            }
        }
        Ok(())
    }
}

/// A name of one cgroup: no slash, no dot in front. Not a name of a file that the kernel puts there.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:@\\".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && name.len() <= 255 && name.bytes().all(allowed)
}

/// The uppermost directory of a tree where we may make cgroups: the root of what is mounted, or what was delegated to us.
// ANCHOR: base
pub(crate) fn base(tree: &Tree) -> Option<PathBuf> {
    // Not eaccess(3), which glibc makes of six calls.
    let ours = |path: &Path| faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok();
    if tree.read_only || ours(&tree.mount_point) {
        return Some(tree.mount_point.clone());
    }
    // systemd gives an ordinary user the subtree user@1000.service. To start a process in it, the kernel wants write access to
    // the cgroup that is above both its old and its new place (cgroup-v2.rst, "Delegation Containment"): so ours has to be in it.
    // In v1 somebody has to have given the user a directory of each tree (`chown`), and it is `tasks` that the child writes to.
    let own = tree.mount_point.join(tree.own.as_ref()?);
    let members = if tree.version == Version::V2 { "cgroup.procs" } else { "tasks" };
    let delegated = |path: &&Path| ours(path) && ours(&path.join(members));
    let upwards = own.ancestors().take_while(|path| path.starts_with(&tree.mount_point));
    upwards.take_while(delegated).last().map(Path::to_owned)
}
// ANCHOR_END: base

/// Makes `directory` and what is missing of the `levels` that end in it.
fn make_v1(tree: &Tree, directory: &Path, levels: usize) -> Result<(), Error> {
    let way: Vec<&Path> = directory.ancestors().take(levels).collect();
    way.into_iter().rev().try_for_each(|level| match make_in(tree, level) {
        Err(Error::Path { errno: Errno::EEXIST, .. }) => Ok(()),
        result => result,
    })
}

/// Makes one cgroup.
pub(crate) fn make(directory: &Path) -> Result<(), Error> {
    fs::create_dir(directory).map_err(|error| Error::path("make the cgroup", directory, errno(&error)))
}

/// The same in `tree`, ready to take processes.
pub(crate) fn make_in(tree: &Tree, directory: &Path) -> Result<(), Error> {
    make(directory)?;
    let is_cpuset = |name: &String| name == Controller::Cpuset.v1_name();
    if tree.version == Version::V1 && tree.controllers.iter().any(is_cpuset) { inherit(directory) } else { Ok(()) }
}

/// A new cpuset of v1 is empty, and what is empty takes no process: it gets what its parent has.
// ANCHOR: cpuset
fn inherit(directory: &Path) -> Result<(), Error> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let path = directory.join(name);
        // Not empty with `cgroup.clone_children`.
        if files::read(&path)?.unwrap_or_default().trim().is_empty() {
            let set = files::read(&parent.join(name))?.unwrap_or_default();
            files::write(&path, set.trim()).map_err(|errno| Error::path("inherit", &path, errno))?;
        }
    }
    Ok(())
}
// ANCHOR_END: cpuset
