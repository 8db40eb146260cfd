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
    // All zeroes is SIG_DFL, no flags, an empty mask, on every architecture; the kernel's struct is smaller than this.
    let default = [0u64; 8];
    for number in 1..=LAST_SIGNAL {
        const MASK_BYTES: usize = 8;
        let nothing: *const u64 = std::ptr::null();
        // The call itself and not libc's sigaction: that refuses 32 and 33, which libc keeps for its threads.
        // SAFETY: `default` outlives the call. SIGKILL and SIGSTOP refuse with EINVAL and are always default.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), nothing, MASK_BYTES) };
    }
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// The kernel's `_NSIG`. Source: signal(7), "Real-time signals".
const LAST_SIGNAL: libc::c_int = 64;
