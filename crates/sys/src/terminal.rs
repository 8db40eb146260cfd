//! Pseudo-terminals: the calls that make one the controlling terminal and keep its size.

use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsFd, AsRawFd};

/// A terminal's size: rows and columns in characters, the rest zero. Source: TIOCGWINSZ(2const).
pub type Size = libc::winsize;

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
    let mut size = Size {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
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
