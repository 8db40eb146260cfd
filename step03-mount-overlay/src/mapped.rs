//! Layers and volumes whose owners are mapped, for a container with users of its own.
//!
//! On the disk everything belongs to users 0 and up, as in any container; through a mapped mount it belongs to the numbers that
//! these are outside of the container's user namespace. So no file is changed or copied, and images are shared by all.

use crate::child::make_private;
use crate::overlay::c_string;
use crate::{Error, Layers, Overlay};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;
use sys::fd;
use sys::mount::{attach, clone_tree, map_owners};
use sys::process::be_file_user;

/// Users of a container, as the file systems need to know them.
#[derive(Debug)]
pub struct MappedUsers {
    /// A user namespace with their map.
    pub namespace: OwnedFd,
    /// The container's root, outside.
    pub root: (Uid, Gid),
}

impl Overlay {
    /// As [`Overlay::prepare`], with the owners in all layers mapped. `upper` and `work` have the same parent.
    ///
    /// The mapped copies have to be attached somewhere when the overlay is made: over their originals, in a table of mounts
    /// that belongs to one thread and ends with it. The overlay keeps copies of its own.
    ///
    /// # Errors
    /// As [`Overlay::prepare`]; [`Error::MappedUsers`] for a file system without such mounts.
    pub fn prepare_mapped(layers: &Layers<'_>, at: &Path, users: &MappedUsers) -> Result<Self, Error> {
        thread::scope(|scope| scope.spawn(|| prepare(layers, at, users)).join()).map_err(|_| Error::Overlay {
            layers: layers.lower.len(),
            upper: at.to_owned(),
            errno: Errno::EAGAIN,
            kernel: None,
        })?
    }
}

/// The thread.
fn prepare(layers: &Layers<'_>, at: &Path, users: &MappedUsers) -> Result<Overlay, Error> {
    let refused = |errno| Error::MappedUsers { path: at.to_owned(), errno };
    unshare(CloneFlags::CLONE_NEWNS).map_err(refused)?;
    make_private().map_err(|failure| refused(failure.errno))?;
    let upper = layers.upper.parent().unwrap_or(layers.upper);
    for path in layers.lower.iter().map(AsRef::as_ref).chain([upper]) {
        let copy = mapped_copy(path, users)?;
        let place = fd::open_path(&c_string(path)?).map_err(refused)?;
        attach(copy.as_fd(), place.as_fd()).map_err(refused)?;
    }
    // The kernel does its own work on the upper layer as whoever mounts it, and we have no number there.
    be_file_user(users.root.0, users.root.1).map_err(refused)?;
    Overlay::prepare(layers, at)
}

/// A copy of the mount at `path`, attached nowhere.
fn mapped_copy(path: &Path, users: &MappedUsers) -> Result<OwnedFd, Error> {
    let refused = |errno| Error::MappedUsers { path: path.to_owned(), errno };
    let copy = clone_tree(AT_FDCWD, &c_string(path)?, false).map_err(refused)?;
    map_owners(copy.as_fd(), users.namespace.as_fd(), false).map_err(refused)?;
    Ok(copy)
}
