//! What the process becomes: the program, at once or when its gate is opened.

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{Pid, read, write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use step01_chroot::Program;
use sys::exec::Execute;
use sys::fd::close_copy;
use sys::{Failure, Whilst};

/// Where the child waits, with its namespaces made and its root not changed, until somebody has done something to it: the hooks of a
/// bundle.
#[derive(Debug)]
pub(crate) struct Barrier {
    parent: OwnedFd,
    child: OwnedFd,
}

impl Barrier {
    /// Makes it.
    pub(crate) fn new() -> nix::Result<Self> {
        let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok(Self { parent, child })
    }

    /// Says that it is there, and waits for the word to go. Child half.
    pub(super) fn wait(&self) -> Result<(), Failure<'static>> {
        let mut word = [0];
        // With a copy of the other end in our own hands we would wait for ever when the parent dies.
        close_copy(&self.parent).whilst("close the parent's end of", c"the barrier")?;
        write(&self.child, b"here").whilst("tell of", c"the barrier")?;
        match read(&self.child, &mut word) {
            Ok(1) if word == *GO => Ok(()),
            _ => Err(Errno::ECANCELED).whilst("wait for", c"the hooks"),
        }
    }

    /// Waits until the child `pid` is there, does what is to be done, and lets it go on; whether it came at all. Why it did not, it
    /// says itself.
    pub(crate) fn pass<E>(&self, pid: Pid, action: impl FnOnce() -> Result<(), E>) -> Result<(), E>
    where
        E: From<Errno>,
    {
        let process = sys::process::pidfd_open(pid)?;
        let mut either =
            [PollFd::new(self.parent.as_fd(), PollFlags::POLLIN), PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        while poll(&mut either, PollTimeout::NONE) == Err(Errno::EINTR) {}
        if either.first().is_none_or(|ours| ours.any() != Some(true)) {
            return Ok(());
        }
        let done = action();
        // A child that is gone by now is seen elsewhere.
        let _gone = write(&self.parent, if done.is_ok() { GO } else { b"n" });
        done
    }
}

/// How a descriptor of the child, the listener's side of its filter, gets to the parent: by its number, because the filter may
/// forbid to send it; read and write are all that is used.
#[derive(Debug)]
pub(crate) struct Handover(Barrier);

impl Handover {
    /// Makes it.
    pub(crate) fn new() -> nix::Result<Self> {
        Barrier::new().map(Self)
    }

    /// Child half: offers `given`, and waits until it is taken.
    pub(super) fn offer(&self, given: OwnedFd) -> Result<(), Failure<'static>> {
        let mut word = [0];
        let number = given.as_raw_fd().to_ne_bytes();
        close_copy(&self.0.parent).whilst("close the parent's end of", c"the handover")?;
        write(&self.0.child, &number).whilst("tell of", c"the filter's listener")?;
        match read(&self.0.child, &mut word) {
            Ok(1) if word == *GO => Ok(()),
            _ => Err(Errno::ECANCELED).whilst("wait for", c"the filter's listener"),
        }
    }

    /// Parent: takes it from the child `pid` and does with it what is to be done; nothing where the child did not come so far.
    pub(crate) fn pass<E>(&self, pid: Pid, action: impl FnOnce(OwnedFd) -> Result<(), E>) -> Result<(), E>
    where
        E: From<Errno>,
    {
        let process = sys::process::pidfd_open(pid)?;
        self.0.pass(pid, || {
            let mut number = [0; 4];
            read(&self.0.parent, &mut number)?;
            action(sys::process::pidfd_getfd(&process, i32::from_ne_bytes(number))?)
        })
    }
}

const GO: &[u8; 1] = b"g";

/// A program that may have to wait.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) program: Program,
    /// One byte from here is the word to go.
    pub(super) gate: Option<OwnedFd>,
}

impl Gated {
    /// Before it waits: what execve would refuse later, when nobody listens any more, is said now.
    pub(super) fn check(&self) -> Result<(), Failure<'_>> {
        if self.gate.is_some() { self.program.check() } else { Ok(()) }
    }
}

// ANCHOR: execute
impl Execute for Gated {
    fn execute(&self) -> Failure<'_> {
        if let Some(gate) = &self.gate {
            let mut byte = [0];
            while read(gate, &mut byte) == Err(Errno::EINTR) {}
        }
        self.program.execute()
    }
}
// ANCHOR_END: execute
