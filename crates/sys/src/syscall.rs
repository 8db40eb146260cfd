//! For tests: what the kernel answers to a system call given by its number, through any of the ways into it.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};

/// A way into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// This program's own.
    Native,
    /// The same instruction with bit 30 in the number: programs with 32-bit pointers (x32).
    X32,
    /// That of 32-bit programs, which a 64-bit one may use as well.
    I386,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The call was made.
    Done,
    /// It was refused, by a filter or by the kernel itself.
    Refused(Errno),
    /// The caller was killed.
    Killed(Signal),
}

/// Makes one system call in a child of its own and reports the answer. Only for a process with one thread.
///
/// # Errors
/// fork(2); EBUSY when there are more threads.
pub fn ask(entry: Entry, number: u32, arguments: [u64; 5]) -> nix::Result<Answer> {
    let child = crate::clone::fork(|| {
        // SAFETY: whatever the call does, it does it to this child, which ends in the next line and uses no memory.
        let result = unsafe { call(entry, number, arguments) };
        u8::try_from(-result.clamp(-200, 0)).unwrap_or(200)
    })?;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(Answer::Done),
        WaitStatus::Exited(_, errno) => Ok(Answer::Refused(Errno::from_raw(errno))),
        WaitStatus::Signaled(_, signal, _) => Ok(Answer::Killed(signal)),
        _ => Err(Errno::ECHILD),
    }
}

/// The result as the kernel gives it: a value, or a negative errno.
///
/// # Safety
/// That of the system call itself.
unsafe fn call(entry: Entry, number: u32, arguments: [u64; 5]) -> i64 {
    if entry == Entry::I386 {
        #[allow(clippy::cast_possible_truncation, reason = "32-bit programs have 32-bit arguments")]
        let arguments = arguments.map(|argument| argument as u32);
        // SAFETY: the caller's promise.
        return unsafe { crate::arch::syscall_of_32_bit(number, arguments) }.into();
    }
    const X32_BIT: u32 = 0x4000_0000;
    let number = if entry == Entry::X32 { number | X32_BIT } else { number };
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(number.cast_signed().into(), first, second, third, fourth, fifth) };
    if result == -1 { -i64::from(Errno::last_raw()) } else { result }
}
