//! The protocol between a monitor and those who are attached to its container.
//!
//! A unix socket of the kind SEQPACKET, `RUN/containers/<id>/attach`: the kernel keeps messages whole, so that a frame is one
//! message, and neither side ever holds half a frame. The first byte is the kind, the rest is its content:
//!
//! | kind | from | content |
//! |---|---|---|
//! | 0 stdin | client | bytes for the program |
//! | 1 stdout, 2 stderr | monitor | bytes of the program |
//! | 3 resize | client | rows and columns, two bytes each, the high one first |
//! | 4 signal | client | the signal's number, one byte |
//! | 5 exit | monitor | the exit code, one byte: the last frame |
//! | 6 end of input | client | nothing |
//! | 7 hello | client | what is wanted, one byte ([`Wish`]): the first frame |
//! | 8 lost | monitor | how many bytes a client that was too slow has not got, eight bytes |
//! | 9 task | starter | a part of the task in JSON; an empty one ends it |
//! | 10 running | monitor | the container's id: its program runs |
//! | 11 failed | monitor | the exit code, one byte, and the report for the user |
//! | 12 detach | client | nothing: it goes, and the program's input stays open |
//!
//! 9 to 11 are spoken only on the socket that a monitor is started with as its standard input; after `running` that socket is a
//! client's like any other, so that the one who starts a program misses nothing of its output.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the table above says it")]
pub enum Kind {
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
    Resize = 3,
    Signal = 4,
    Exit = 5,
    EndOfInput = 6,
    Hello = 7,
    Lost = 8,
    Task = 9,
    Running = 10,
    Failed = 11,
    Detach = 12,
}

const KINDS: [Kind; 13] = [
    Kind::Stdin,
    Kind::Stdout,
    Kind::Stderr,
    Kind::Resize,
    Kind::Signal,
    Kind::Exit,
    Kind::EndOfInput,
    Kind::Hello,
    Kind::Lost,
    Kind::Task,
    Kind::Running,
    Kind::Failed,
    Kind::Detach,
];

/// What a client wants, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish(u8);

impl Wish {
    /// What the program writes to standard output.
    pub const STDOUT: Self = Self(1);
    /// What it writes to standard error.
    pub const STDERR: Self = Self(2);
    /// The program belongs to this client (`run`, `start -a`): it misses nothing, as at the end of a pipe, and the end of its
    /// input is the program's.
    pub const OWNER: Self = Self(4);

    /// From a hello's byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// For a hello.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is wanted.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The most content that a frame has.
pub const LONGEST: usize = 32 * 1024;

/// Two ends that speak frames.
///
/// # Errors
/// socketpair(2).
pub fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// Sends one frame, and waits while the other side has no room.
///
/// # Errors
/// sendmsg(2): EPIPE when the other side is gone.
pub fn send(socket: impl AsFd, kind: Kind, content: &[u8]) -> nix::Result<()> {
    send_with(socket, kind, content, MsgFlags::MSG_NOSIGNAL)
}

/// Sends one frame, if there is room.
///
/// # Errors
/// EAGAIN when there is none; as [`send`].
pub fn try_send(socket: impl AsFd, kind: Kind, content: &[u8]) -> nix::Result<()> {
    send_with(socket, kind, content, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
}

fn send_with(socket: impl AsFd, kind: Kind, content: &[u8], flags: MsgFlags) -> nix::Result<()> {
    let kind = [kind as u8];
    let parts = [IoSlice::new(&kind), IoSlice::new(content)];
    loop {
        match sendmsg::<()>(socket.as_fd().as_raw_fd(), &parts, &[], flags, None) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Err(Errno::EPIPE),
            result => return result.map(drop),
        }
    }
}

/// Receives one frame into `buffer` (a byte longer than [`LONGEST`]); `None` when the other side is gone.
///
/// # Errors
/// recv(2): EAGAIN when `wait` is false and there is none; EBADMSG for a frame of no known kind.
pub fn receive(socket: impl AsFd, buffer: &mut [u8], wait: bool) -> nix::Result<Option<(Kind, &[u8])>> {
    let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    let length = loop {
        match recv(socket.as_fd().as_raw_fd(), buffer, flags) {
            // ECONNRESET: the other side is gone and has not read all that we sent; what it sent is still to be read.
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            result => break result?,
        }
    };
    match buffer.get(..length).and_then(<[u8]>::split_first) {
        None => Ok(None),
        Some((kind, content)) => {
            let kind = KINDS.get(usize::from(*kind)).ok_or(Errno::EBADMSG)?;
            Ok(Some((*kind, content)))
        }
    }
}

/// Sends something of any length in several frames.
///
/// # Errors
/// As [`send`].
pub fn send_all(socket: impl AsFd, kind: Kind, content: &[u8]) -> nix::Result<()> {
    content.chunks(LONGEST).try_for_each(|part| send(socket.as_fd(), kind, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stay_whole() {
        let (ours, theirs) = pair().unwrap();
        send(&ours, Kind::Stdout, b"hello").unwrap();
        send(&ours, Kind::EndOfInput, b"").unwrap();
        drop(ours);
        let mut buffer = [0; 16];
        assert_eq!(receive(&theirs, &mut buffer, true).unwrap(), Some((Kind::Stdout, &b"hello"[..])));
        assert_eq!(receive(&theirs, &mut buffer, true).unwrap(), Some((Kind::EndOfInput, &b""[..])));
        assert_eq!(receive(&theirs, &mut buffer, true).unwrap(), None);
    }

    /// The kernel says ECONNRESET then, before what is there to read.
    #[test]
    fn last_words_arrive_from_one_who_did_not_listen() {
        let (ours, theirs) = pair().unwrap();
        send(&theirs, Kind::Hello, &[0]).unwrap();
        send(&ours, Kind::Exit, &[3]).unwrap();
        drop(ours);
        let mut buffer = [0; 16];
        assert_eq!(receive(&theirs, &mut buffer, true).unwrap(), Some((Kind::Exit, &[3][..])));
        assert_eq!(receive(&theirs, &mut buffer, true).unwrap(), None);
        assert_eq!(send(&theirs, Kind::Stdin, b"x"), Err(Errno::EPIPE));
    }

    #[test]
    fn a_kind_is_its_place_in_the_table() {
        assert!(KINDS.iter().enumerate().all(|(place, kind)| *kind as usize == place));
    }
}
