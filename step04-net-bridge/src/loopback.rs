//! The least of a network: loopback, in a namespace that nothing leads to.

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use nix::sys::stat::Mode;
use nix::unistd::write;
use std::ffi::CStr;
use std::os::fd::AsRawFd;
use sys::{Failure, Whilst};

/// Sets the link `lo` up: in a new network namespace it is there, alone, and down. Child half.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over the network namespace. Sources: rtnetlink(7), "RTM_NEWLINK"; netlink(7).
pub fn loopback_up() -> Result<(), Failure<'static>> {
    exchange().whilst("set up the link", c"lo")
}

/// Lets every user of the calling thread's network namespace listen on any port and send echo requests, as docker does: who may
/// not do so on a host is root's affair, and here there is nobody else to protect. Child half.
///
/// What cannot be set stays as it is; in a user namespace the range of groups is one. Sources: ip-sysctl.rst; icmp(7).
pub fn ports_for_all() {
    let set = |path: &CStr, value: &[u8]| {
        let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        write(file, value).map(drop)
    };
    let _stays_roots = set(c"/proc/sys/net/ipv4/ip_unprivileged_port_start", b"0");
    let _stays_nobodys = set(c"/proc/sys/net/ipv4/ping_group_range", b"0 2147483647");
}

fn exchange() -> nix::Result<()> {
    let route = SockProtocol::NetlinkRoute;
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, route)?;
    send(kernel.as_raw_fd(), &request(), MsgFlags::empty())?;
    let mut answer = [0u8; 128];
    recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // After the header of 16 bytes an acknowledgement holds an errno, negative, 0 for success (netlink(7), "NLMSG_ERROR").
    match answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(Errno::from_raw(-error)),
        None => Err(Errno::EBADMSG),
    }
}

/// `struct nlmsghdr` and `struct ifinfomsg`: link number 1, which is `lo` in every namespace, gets the flag `IFF_UP`.
fn request() -> [u8; 32] {
    const RTM_NEWLINK: u32 = 16;
    const NLM_F_REQUEST_ACK: u32 = 1 | 4;
    const IFF_UP: u32 = 1;
    let type_and_flags = if cfg!(target_endian = "little") {
        RTM_NEWLINK | NLM_F_REQUEST_ACK << 16
    } else {
        RTM_NEWLINK << 16 | NLM_F_REQUEST_ACK
    };
    // length, type and flags, sequence, port; family and type (any), index, flags, which flags to change
    let words: [u32; 8] = [32, type_and_flags, 1, 0, 0, 1, IFF_UP, IFF_UP];
    let mut bytes = [0u8; 32];
    for (slot, byte) in bytes.iter_mut().zip(words.into_iter().flat_map(u32::to_ne_bytes)) {
        *slot = byte;
    }
    bytes
}
