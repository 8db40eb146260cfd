//! Pseudo-terminals: the calls that make one the controlling terminal and keep its size.

use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// A terminal's size: rows and columns in characters, the rest zero. Source: TIOCGWINSZ(2const).
pub type Size = libc::winsize;

/// A size in characters.
#[must_use]
pub fn sized(rows: u16, columns: u16) -> Size {
    Size { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Makes `terminal` the controlling terminal of this session; the caller has to be a session leader (setsid).
///
/// # Errors
/// EPERM when the caller leads no session or has a terminal already. Source: TIOCSCTTY(2const).
pub fn make_controlling(terminal: impl AsFd) -> nix::Result<()> {
    // SAFETY: an ioctl on a descriptor that lives over the call; its argument is an integer.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0 as libc::c_int) };
    Errno::result(result).map(drop)
}

/// The size of `terminal`.
///
/// # Errors
/// ENOTTY when it is no terminal.
pub fn size(terminal: impl AsFd) -> nix::Result<Size> {
    let mut size = Size { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl writes one winsize, and `size` is one.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(result).map(|_| size)
}

/// Sets the size of `terminal`; its foreground processes get SIGWINCH when it changes.
///
/// # Errors
/// ENOTTY when it is no terminal.
pub fn set_size(terminal: impl AsFd, size: &Size) -> nix::Result<()> {
    // SAFETY: the ioctl reads one winsize, and `size` is one that lives over the call.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(size)) };
    Errno::result(result).map(drop)
}

/// Opens the other side of the pseudo-terminal whose master is `master`: by the master itself and not by a name, which
/// could mean another terminal where several `devpts` are mounted.
///
/// # Errors
/// ENOTTY when it is no master. Sources: TIOCSPTLCK(2const), TIOCGPTPEER(2const).
pub fn open_peer(master: impl AsFd) -> nix::Result<OwnedFd> {
    let master = master.as_fd().as_raw_fd();
    let unlocked: libc::c_int = 0;
    // SAFETY: the ioctl reads one int, which lives over the call.
    Errno::result(unsafe { libc::ioctl(master, libc::TIOCSPTLCK, std::ptr::from_ref(&unlocked)) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the ioctl takes open flags as an integer.
    let fd = Errno::result(unsafe { libc::ioctl(master, libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
