//! Taking the share back.

use crate::cgroup::{Cgroup, DEADLINE};
use crate::error::errno;
use crate::parent::{Parent, is_name};
use crate::{Error, files};
use nix::errno::Errno;
use std::path::Path;
use std::time::{Duration, Instant};

impl Cgroup {
    /// Removes it, and cgroups that were made below it. Already gone is no error; what the kernel is still letting go of is
    /// waited for.
    ///
    /// # Errors
    /// [`Error::Busy`] when processes stay in it.
    pub fn remove(&self) -> Result<(), Error> {
        reclaim(&self.parent, &self.id)
    }
}

/// Removes all that is called `id` below `parent`, in every tree, whoever made it.
///
/// # Errors
/// As [`Cgroup::remove`]: the first one; everything else is gone.
pub fn reclaim(parent: &Parent, id: &str) -> Result<(), Error> {
    if !is_name(id) {
        return Err(Error::Name(id.to_owned()));
    }
    let begin = Instant::now();
    let results: Vec<_> = parent.directories(id).iter().map(|(_, path)| remove_tree(path, begin)).collect();
    results.into_iter().collect()
}

// ANCHOR: remove
pub(crate) fn remove_tree(path: &Path, begin: Instant) -> Result<(), Error> {
    // ANCHOR: task5_remove
    let mut pause = Duration::from_micros(50);
    loop {
        match std::fs::remove_dir(path).map_err(|error| errno(&error)) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            // Also when a process has ended and the kernel has not put it away yet.
            Err(Errno::EBUSY | Errno::ENOTEMPTY) if begin.elapsed() < DEADLINE => {}
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => return Err(Error::Busy(path.to_owned())),
            Err(errno) => return Err(Error::path("remove the cgroup", path, errno)),
        }
        files::children(path).iter().try_for_each(|child| remove_tree(child, begin))?;
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    // ANCHOR_END: task5_remove
}
// ANCHOR_END: remove
