//! Signals: what a new program must not inherit.

use nix::sys::signal::{SigSet, SigmaskHow};

/// Gives every signal its default action back and unblocks all.
///
/// execve resets handlers but keeps what is *ignored* and what is *blocked* (execve(2)): Rust ignores SIGPIPE, the engine
/// blocks what it forwards, and whoever started the engine may have ignored SIGHUP. None of it is the container's.
///
/// # Errors
/// sigprocmask(2), which cannot fail with these arguments.
pub fn reset_all() -> nix::Result<()> {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL needs no handler. SIGKILL, SIGSTOP and libc's own two refuse with EINVAL and are always default.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}
