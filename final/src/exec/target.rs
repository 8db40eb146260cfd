//! The container that is joined: its first process, its namespaces, its files.

use crate::container::open_process;
use crate::rootless::join;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, geteuid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::fd;

/// A container that runs, to be joined: its first process, and its files.
pub(crate) struct Target {
    pub(super) pidfd: OwnedFd,
    pub(super) namespaces: CloneFlags,
    root: OwnedFd,
    pub(super) may_set_groups: bool,
}

impl Target {
    /// The container whose first process is `pid` and began at `start_time`; `None` when that is gone.
    ///
    /// # Errors
    /// EPERM for a container of somebody else.
    pub(crate) fn open(pid: Pid, start_time: u64, has_many_users: bool) -> Result<Option<Self>> {
        let Some(pidfd) = open_process(pid, start_time) else { return Ok(None) };
        let may_set_groups = if geteuid().is_root() { has_many_users } else { join(&pidfd)? };
        match open_root(pid) {
            Ok(root) => Ok(Some(Self { pidfd, namespaces: other_namespaces(pid), root, may_set_groups })),
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(errno) => Err(errno).context("open the root of the container"),
        }
    }

    /// The root of its files.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The master of a new terminal in its own devpts: its name means the same inside.
    ///
    /// # Errors
    /// A container without a devpts.
    pub(crate) fn open_terminal(&self) -> Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let devpts = fd::open_in_root(self.root(), c"/dev/pts", flags, Mode::empty());
        openat(
            devpts.context("open the container's /dev/pts")?,
            c"ptmx",
            OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .context("open a terminal in the container's /dev/pts")
    }
}

/// The namespaces that the container has of its own, without the PID namespace: setns refuses one that we are in already only
/// for user namespaces, so all the others are named.
fn other_namespaces(pid: Pid) -> CloneFlags {
    let kinds = [
        ("mnt", CloneFlags::CLONE_NEWNS),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("net", CloneFlags::CLONE_NEWNET),
        ("cgroup", CloneFlags::CLONE_NEWCGROUP),
        ("user", CloneFlags::CLONE_NEWUSER),
    ];
    let identity = |whose: &str, name: &str| std::fs::read_link(format!("/proc/{whose}/ns/{name}")).ok();
    let differs = |name: &str| identity("self", name) != identity(&pid.to_string(), name);
    kinds.into_iter().filter(|(name, _)| differs(name)).map(|(_, flag)| flag).collect()
}

fn open_root(pid: Pid) -> nix::Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}
