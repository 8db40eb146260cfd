//! The child half: the new process steps into its cgroups.

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use crate::Cgroup;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::write;
use std::os::fd::AsFd;
use sys::{Failure, Whilst};

impl Cgroup {
    /// Joins the cgroups of v1: before the mounts, as long as the process is root. With v2 alone there is nothing to do:
    /// clone3 has put the process into [`Cgroup::into_cgroup`].
    ///
    /// `0` means "myself", and `tasks` takes one thread: that costs about 20 µs. To write a number to `cgroup.procs` moves
    /// a whole process, for which the kernel waits until nobody forks: 4 to 11 ms. Source: Documentation/admin-guide/cgroup-v1/cgroups.rst.
    ///
    /// # Errors
    /// write(2) to `tasks`: ENOSPC for a cpuset that is empty, EAGAIN where the limit of processes is reached.
    // ANCHOR: enter
    pub fn enter(&self) -> Result<(), Failure<'_>> {
        // ANCHOR: task1_enter
        for tasks in self.directories.iter().filter_map(|directory| directory.tasks.as_ref()) {
            write(tasks.fd.as_fd(), b"0").whilst("join the cgroup", &tasks.name)?;
        }
        Ok(())
        // ANCHOR_END: task1_enter
    }
    // ANCHOR_END: enter
}

/// Makes the cgroups that this process is in the roots of what it sees of the trees: a namespace of cgroups. After
/// [`Cgroup::enter`]; made by clone3 it would be rooted where the parent is, and show the way up.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN. Source: cgroup_namespaces(7).
pub fn own_namespace() -> Result<(), Failure<'static>> {
    unshare(CloneFlags::CLONE_NEWCGROUP).whilst("make a namespace of cgroups", c"")
}
