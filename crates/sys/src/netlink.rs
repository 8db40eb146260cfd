//! Options of netlink sockets that nix has no name for.

use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// Asks the kernel to add words to a refusal, and to leave out the refused message. Source: netlink(7), `NETLINK_EXT_ACK`,
/// `NETLINK_CAP_ACK`.
///
/// # Errors
/// ENOPROTOOPT before Linux 4.12.
pub fn ask_for_words(socket: impl AsFd) -> nix::Result<()> {
    const NETLINK_CAP_ACK: libc::c_int = 10;
    const NETLINK_EXT_ACK: libc::c_int = 11;
    let socket = socket.as_fd().as_raw_fd();
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("4 fits");
    for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
        // SAFETY: a pointer to an int that lives over the call, and its length.
        let result =
            unsafe { libc::setsockopt(socket, libc::SOL_NETLINK, option, std::ptr::from_ref(&on).cast(), length) };
        Errno::result(result)?;
    }
    Ok(())
}
