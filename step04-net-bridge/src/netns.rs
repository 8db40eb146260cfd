//! A network namespace, as a descriptor: it lives as long as that, or a process in it.

use crate::{Error, ports_for_all};
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use sys::{Failure, Whilst};

/// A network namespace. Source: network_namespaces(7).
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
}

impl Netns {
    /// Makes one. The calling thread stays where it is: a thread of its own goes into the new one, opens it, and ends.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN, ENOSPC at a limit (/proc/sys/user/max_net_namespaces).
    // ANCHOR: create
    pub fn create() -> Result<Self, Error> {
        thread::scope(|scope| scope.spawn(Self::unshare).join()).map_err(|_| Error::Thread)?
    }

    /// Moves the calling thread into a new one.
    pub(crate) fn unshare() -> Result<Self, Error> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(Error::errno("make a network namespace", "CLONE_NEWNET"))?;
        ports_for_all();
        Self::of_this_thread()
    }
    // ANCHOR_END: create

    /// The one that the calling thread is in.
    pub(crate) fn of_this_thread() -> Result<Self, Error> {
        Self::open("/proc/thread-self/ns/net")
    }

    /// The one that a process is in.
    ///
    /// # Errors
    /// ENOENT when there is no such process, EACCES when it is not ours.
    pub fn of_process(pid: Pid) -> Result<Self, Error> {
        Self::open(&format!("/proc/{pid}/ns/net"))
    }

    fn open(path: &str) -> Result<Self, Error> {
        let fd = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        Ok(Self { fd: fd.map_err(Error::errno("open the network namespace", path))? })
    }

    /// Moves the calling process into it. Child half.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN over it. Source: setns(2).
    // ANCHOR: enter
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    pub fn enter(&self) -> Result<(), Failure<'static>> {
        setns(&self.fd, CloneFlags::CLONE_NEWNET).whilst("enter the network namespace", c"")
    }
    // ANCHOR_END: enter

    /// Does `work` in it, in a thread of its own.
    ///
    /// # Errors
    /// As [`Netns::enter`], and what `work` refuses.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        let enter_and_work = || {
            setns(&self.fd, CloneFlags::CLONE_NEWNET)
                .map_err(Error::errno("enter the network namespace of", "a container"))?;
            work()
        };
        thread::scope(|scope| scope.spawn(enter_and_work).join()).map_err(|_| Error::Thread)?
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
