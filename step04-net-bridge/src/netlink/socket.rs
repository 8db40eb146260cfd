//! One end of a conversation with the kernel.

use super::read::{Messages, word};
use super::{Attributes, Batch, text};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A refused message: why, which of the batch (counted from 1), and the kernel's own words if it had any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) message: u32,
    pub(crate) words: Option<String>,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, message: 0, words: None }
    }
}

/// A netlink socket, in the network namespace of the thread that opened it: for good, wherever the thread goes.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// For links, addresses, routes: rtnetlink(7).
    pub(crate) fn route() -> nix::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// For nf_tables.
    pub(crate) fn netfilter() -> nix::Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> nix::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        sys::netlink::ask_for_words(&fd)?;
        Ok(Self { fd })
    }

    /// Sends the batch, and waits until its last message is acknowledged or one is refused.
    // ANCHOR: request
    pub(crate) fn request(&self, batch: &Batch) -> Result<(), Refusal> {
        self.send(batch)?;
        let mut buffer = [0u8; 8192];
        loop {
            let length = receive(&self.fd, &mut buffer)?;
            for answer in Messages(&buffer[..length]).filter(|answer| answer.kind == NLMSG_ERROR) {
                if let Some(refusal) = refused(answer.flags, answer.sequence, answer.body) {
                    self.forget_the_rest();
                    return Err(refusal);
                }
                if answer.sequence == batch.acknowledged() {
                    return Ok(());
                }
            }
        }
    }
    // ANCHOR_END: request

    /// Sends one question and hands each message of the answer to `each`: its kind and body.
    pub(crate) fn dump(&self, batch: &Batch, mut each: impl FnMut(u16, &[u8])) -> Result<(), Refusal> {
        self.send(batch)?;
        let mut buffer = vec![0u8; 32 * 1024];
        loop {
            let length = receive(&self.fd, &mut buffer)?;
            for answer in Messages(&buffer[..length]) {
                match answer.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return refused(answer.flags, answer.sequence, answer.body).map_or(Ok(()), Err),
                    kind => each(kind, answer.body),
                }
            }
        }
    }

    fn send(&self, batch: &Batch) -> nix::Result<()> {
        const WITHOUT_ASKING: usize = 100 * 1024;
        if batch.bytes().len() > WITHOUT_ASKING {
            setsockopt(&self.fd, sockopt::SndBufForce, &(batch.bytes().len() * 2))?;
        }
        send(self.fd.as_raw_fd(), batch.bytes(), MsgFlags::empty()).map(drop)
    }

    /// What else was said about a refused batch must not be taken for the answer to the next.
    fn forget_the_rest(&self) {
        let mut buffer = [0u8; 1024];
        while recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).is_ok() {}
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> nix::Result<usize> {
    loop {
        match recv(fd.as_raw_fd(), buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Err(Errno::EBADMSG),
            result => return result,
        }
    }
}

/// What an answer refuses, if it does: an errno, negative, 0 for success; then the refused header; then words
/// (netlink(7), "NLMSG_ERROR"; `NLMSGERR_ATTR_MSG`).
fn refused(flags: u16, sequence: u32, body: &[u8]) -> Option<Refusal> {
    const HAS_WORDS: u16 = 0x200;
    const MESSAGE: u16 = 1;
    let errno = word(body).cast_signed();
    (errno != 0).then(|| {
        let words = body.get(20..).filter(|_| flags & HAS_WORDS != 0);
        let words = words.and_then(|words| Attributes(words).find(|(kind, _)| *kind == MESSAGE));
        Refusal { errno: Errno::from_raw(-errno), message: sequence, words: words.map(|(_, words)| text(words)) }
    })
}
