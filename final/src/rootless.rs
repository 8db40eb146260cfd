//! Who we are: real root, root of a user namespace, or an ordinary user who becomes the latter.

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::stat;
use nix::unistd::{Uid, geteuid};
use std::fs;
use std::os::fd::AsFd;
use step02_pid_ns::user::become_root_inside;

/// What the engine may do where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privilege {
    /// Who started it, before a user namespace was entered.
    pub caller: Uid,
    /// Whether this is a user namespace: no device can be made, overlay marks are `user.overlay.*`.
    pub in_user_namespace: bool,
    /// Whether there are users other than root: else no group `tty`, and supplementary groups cannot be set.
    pub has_many_users: bool,
}

impl Privilege {
    /// Finds out, and as an ordinary user becomes root of a user namespace: everything after is the same for both.
    ///
    /// # Errors
    /// Where user namespaces are forbidden, with the switch that forbids them.
    pub fn acquire() -> Result<Self> {
        let caller = geteuid();
        if caller.is_root() {
            return Ok(Self::of_root());
        }
        let map = become_root_inside().context("cannot run containers as an ordinary user here")?;
        Ok(Self { caller, in_user_namespace: true, has_many_users: map.is_full() })
    }

    /// Root, of the machine or of a user namespace that somebody else has made.
    fn of_root() -> Self {
        let in_user_namespace = !in_initial_user_namespace();
        let has_many_users = !in_user_namespace || many_users();
        Self { caller: geteuid(), in_user_namespace, has_many_users }
    }
}

impl Privilege {
    /// What an ordinary user may do who will enter the user namespace of a container instead of making one ([`join`]).
    #[must_use]
    pub fn of_joining() -> Self {
        if geteuid().is_root() {
            return Self::of_root();
        }
        Self { caller: geteuid(), in_user_namespace: true, has_many_users: false }
    }
}

/// As an ordinary user, enters the user namespace of the container whose first process `pidfd` is: a user is all-powerful in the
/// namespaces that he owns, but not in the sister of one. Whether there are users other than root in it.
///
/// # Errors
/// EPERM for a container of somebody else.
pub fn join(pidfd: impl AsFd) -> Result<bool> {
    setns(pidfd, CloneFlags::CLONE_NEWUSER).context("enter the user namespace of the container")?;
    Ok(many_users())
}

/// The kernel gives the first user namespace a fixed inode. Source: include/linux/proc_ns.h, `PROC_USER_INIT_INO`.
fn in_initial_user_namespace() -> bool {
    const PROC_USER_INIT_INO: u64 = 0xEFFF_FFFD;
    stat("/proc/self/ns/user").map_or(true, |namespace| namespace.st_ino == PROC_USER_INIT_INO)
}

/// Whether group 5 is mapped and groups may be set.
fn many_users() -> bool {
    let map = fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    let covers_tty = map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if (inside..inside + count).contains(&5))
    });
    let setgroups = fs::read_to_string("/proc/self/setgroups").unwrap_or_default();
    covers_tty && setgroups.trim() != "deny"
}
