//! The parent while the child runs: pass signals on, wait, know how it ended.

use crate::{Error, Running};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::WaitStatus;
use std::os::fd::{AsFd, BorrowedFd};

/// The signals that are meant for the child, taken from a descriptor instead of by a handler.
#[derive(Debug)]
pub struct ForwardedSignals {
    fd: SignalFd,
}

/// What stays with the parent: SIGCHLD is for it, the others say that it is itself at fault or stopped.
const OWN: [Signal; 9] = [
    Signal::SIGCHLD,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

impl ForwardedSignals {
    /// Blocks the signals, so that from now on none is lost or ends us. Before [`crate::spawn()`]: one that comes between the
    /// clone and the wait has to reach the child too.
    ///
    /// # Errors
    /// [`Error::Signal`]. Source: signalfd(2).
    pub fn block() -> Result<Self, Error> {
        let mut set = SigSet::all();
        OWN.into_iter().for_each(|signal| set.remove(signal));
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).map_err(Error::Signal)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&set, flags).map(|fd| Self { fd }).map_err(Error::Signal)
    }

    /// The next signal that came; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Signal`].
    pub fn next(&self) -> Result<Option<siginfo>, Error> {
        self.fd.read_signal().map_err(Error::Signal)
    }
}

impl AsFd for ForwardedSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits for the end of `running` and passes on the signals that come meanwhile.
///
/// A signal from the terminal (ctrl-C) is left alone: the kernel sends it to the whole foreground job, the child included.
///
/// # Errors
/// [`Error::Signal`], [`Error::Wait`].
pub fn supervise(running: &Running, signals: &ForwardedSignals) -> Result<WaitStatus, Error> {
    // ANCHOR: task5_supervise
    loop {
        let mut sources =
            [PollFd::new(running.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut sources, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result.map_err(Error::Wait)?,
        };
        if sources[0].any() == Some(true) {
            return running.wait();
        }
        while let Some(signal) = signals.next()? {
            const SI_KERNEL: i32 = 0x80;
            if signal.ssi_code != SI_KERNEL {
                running.signal(signal.ssi_signo.cast_signed())?;
            }
        }
    }
    // ANCHOR_END: task5_supervise
}
