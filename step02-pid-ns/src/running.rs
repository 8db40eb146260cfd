//! A running child: waited for and signalled by its pidfd, never by a number.

use crate::Error;
use nix::errno::Errno;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process that [`crate::spawn()`] made.
#[derive(Debug)]
pub struct Running {
    host_pid: Pid,
    pidfd: OwnedFd,
}

impl Running {
    pub(crate) fn new(host_pid: Pid, pidfd: OwnedFd) -> Self {
        Self { host_pid, pidfd }
    }

    /// Its number in the caller's PID namespace; inside its own it is 1.
    #[must_use]
    pub fn host_pid(&self) -> Pid {
        self.host_pid
    }

    /// Sends it a signal. A process that has already ended is no error.
    ///
    /// # Errors
    /// [`Error::Signal`]. Source: pidfd_send_signal(2).
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        match sys::process::pidfd_send(&self.pidfd, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Error::Signal(errno)),
        }
    }

    /// Waits for its end and reaps it.
    ///
    /// # Errors
    /// [`Error::Wait`]. Source: waitid(2).
    pub fn wait(&self) -> Result<WaitStatus, Error> {
        sys::process::wait(self.pidfd.as_fd()).map_err(Error::Wait)
    }

    /// Ends and reaps a child that failed to start; says how it died where nothing else explains `error`.
    pub(crate) fn after_failure(self, error: Error) -> Error {
        let _gone_already = self.signal(nix::libc::SIGKILL);
        match (error, self.wait()) {
            (Error::Died(_), Ok(status)) => Error::Died(Some(status)),
            (error, _) => error,
        }
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
