//! The child's report to its parent: one message of a few bytes on a SEQPACKET pair.
//!
//! The end of the pipe alone would prove nothing: it also comes when the child died before execve. So the child says
//! [`Report::Ready`] just before execve; the end of file after that, by close-on-exec, is the proof that the program runs.

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use sys::Failure;
use sys::fd::{close_copy, close_from_but};

const MESSAGE: usize = 1024;
const READY: u8 = b'R';
const CHILD_HALF: u8 = b'F';
const EXECUTE: u8 = b'X';
const GO: u8 = b'G';

/// One end of the pair: the parent's or the child's.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// What a message says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Report<'a> {
    /// All is prepared; the next thing is execve.
    Ready,
    /// A call of the child half failed.
    ChildHalf(Failure<'a>),
    /// execve itself refused.
    Execute(Failure<'a>),
}

/// A message as it was received, with room for its words.
pub(crate) struct Received {
    bytes: [u8; MESSAGE],
    length: usize,
}

impl Channel {
    /// The pair: (parent's end, child's end).
    pub(crate) fn pair() -> nix::Result<(Self, Self)> {
        let (parent, child) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(parent), Self(child)))
    }

    /// Child: closes its copy of the other end, which clone3 left open. Unowned: the parent's copy is the parent's.
    pub(crate) fn close_copy(&self) -> nix::Result<()> {
        close_copy(&self.0)
    }

    /// Parent: lets a child go on that waits for its user map.
    pub(crate) fn go(&self) -> nix::Result<()> {
        self.send(&[GO])
    }

    /// Child: waits for [`Channel::go`]; false when the parent is gone or gave up.
    pub(crate) fn wait_for_go(&self) -> bool {
        let mut byte = [0];
        receive(&self.0, &mut byte) == Ok(1)
    }

    /// Child: closes all that it has from the parent but the standard descriptors and this channel.
    pub(crate) fn close_others(&self) -> nix::Result<()> {
        close_from_but(3, &self.0)
    }

    /// Child: sends one report. MSG_NOSIGNAL, because after an OCI `create` nobody reads any more.
    pub(crate) fn report(&self, report: Report<'_>) -> nix::Result<()> {
        let (marker, failure) = match report {
            Report::Ready => return self.send(&[READY]),
            Report::ChildHalf(failure) => (CHILD_HALF, failure),
            Report::Execute(failure) => (EXECUTE, failure),
        };
        let mut bytes = [0u8; MESSAGE];
        let errno = (failure.errno as i32).to_ne_bytes();
        let doing = failure.doing.as_bytes();
        // marker, errno, what was being done, a zero byte, on what; cut where the room ends.
        let words = [marker].into_iter().chain(errno).chain(doing.iter().copied()).chain([0]);
        let words = words.chain(failure.on.iter().copied());
        let mut length = 0;
        for (slot, byte) in bytes.iter_mut().zip(words) {
            *slot = byte;
            length += 1;
        }
        self.send(bytes.get(..length).unwrap_or(&bytes))
    }

    fn send(&self, bytes: &[u8]) -> nix::Result<()> {
        send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).map(drop)
    }

    /// Parent: waits until the child has closed its end, by execve or by its death. What it said waits to be received: one
    /// wake-up of a sleeping processor instead of one a message.
    pub(crate) fn wait_for_the_end(&self) -> nix::Result<()> {
        // No event is asked for: POLLHUP comes unasked.
        let mut ours = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        loop {
            match poll(&mut ours, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                result => return result.map(drop),
            }
        }
    }

    /// Parent: the next message; `None` at the end of file.
    pub(crate) fn receive(&self) -> nix::Result<Option<Received>> {
        let mut received = Received { bytes: [0; MESSAGE], length: 0 };
        received.length = receive(&self.0, &mut received.bytes)?;
        Ok((received.length > 0).then_some(received))
    }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> nix::Result<usize> {
    loop {
        match recv(socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            // The child died without reading our message: for us that is the end of its reports.
            Err(Errno::ECONNRESET) => return Ok(0),
            result => return result,
        }
    }
}

/// A failure as the parent reads it: marker aside, (errno, doing, on).
pub(crate) type Words<'a> = (Errno, &'a [u8], &'a [u8]);

/// A received message, understood.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Ready,
    ChildHalf(Words<'a>),
    Execute(Words<'a>),
    Unknown,
}

impl Received {
    pub(crate) fn message(&self) -> Message<'_> {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        match (bytes.first(), words(bytes)) {
            (Some(&READY), _) => Message::Ready,
            (Some(&CHILD_HALF), Some(words)) => Message::ChildHalf(words),
            (Some(&EXECUTE), Some(words)) => Message::Execute(words),
            _ => Message::Unknown,
        }
    }
}

fn words(bytes: &[u8]) -> Option<Words<'_>> {
    let (errno, rest) = bytes.get(1..)?.split_first_chunk::<4>()?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (doing, on) = rest.split_at_checked(end)?;
    Some((Errno::from_raw(i32::from_ne_bytes(*errno)), doing, on.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_arrives_in_its_words() {
        let (parent, child) = Channel::pair().unwrap();
        let failure = Failure { doing: "mount proc on", on: b"/proc", errno: Errno::EPERM };
        child.report(Report::ChildHalf(failure)).unwrap();
        let received = parent.receive().unwrap().unwrap();
        let Message::ChildHalf(words) = received.message() else { panic!("{:?}", received.message()) };
        assert_eq!(words, (Errno::EPERM, &b"mount proc on"[..], &b"/proc"[..]));
    }

    #[test]
    fn a_long_path_is_cut_and_a_closed_end_is_the_end() {
        let (parent, child) = Channel::pair().unwrap();
        let failure = Failure { doing: "open", on: &[b'x'; 5000], errno: Errno::ENAMETOOLONG };
        child.report(Report::Execute(failure)).unwrap();
        drop(child);
        assert!(matches!(parent.receive().unwrap().unwrap().message(), Message::Execute((_, b"open", _))));
        assert!(parent.receive().unwrap().is_none());
    }
}
