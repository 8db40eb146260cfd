//! Reasons for system calls, for whoever traces this process: `tara run --explain`.
//!
//! What a call is for stands beside it in the code: [`crate::Whilst::whilst`] names the deed, [`phase`] what comes next. Normally the
//! words are only used when the call fails. While somebody explains, each is handed to the tracer by a system call that does
//! nothing else: `prctl` with a number that the kernel does not know. Off, it costs one load and one branch.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};

/// `prctl`'s first argument for a mark (`tara` in ASCII). The second is the address of a [`Mark`].
pub const OPTION: u64 = 0x7461_7261;

/// The environment variable by which a traced process knows that it is one.
pub const VARIABLE: &str = "TARA_EXPLAINED";

static EXPLAINED: AtomicBool = AtomicBool::new(false);

/// What a tracer finds at the address: addresses and lengths, in the traced process.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// 0: the words are about the calls before it. 1: about those after it.
    pub is_ahead: usize,
    /// What was or will be done: UTF-8.
    pub doing: (usize, usize),
    /// On what.
    pub on: (usize, usize),
    /// The source file.
    pub file: (usize, usize),
    /// The line there.
    pub line: usize,
}

/// So many words of the machine's are a [`Mark`].
pub const WORDS: usize = 8;

/// From here on marks are made.
pub fn begin() {
    EXPLAINED.store(true, Ordering::Relaxed);
}

/// Says what the calls from here on are for, until the next word of this thread.
#[track_caller]
#[inline]
pub fn phase(doing: &'static str) {
    if EXPLAINED.load(Ordering::Relaxed) {
        tell(true, doing, b"", Location::caller());
    }
}

/// Says what the last calls were for.
#[inline]
pub(crate) fn done(doing: &'static str, on: &[u8], at: &'static Location<'static>) {
    if EXPLAINED.load(Ordering::Relaxed) {
        tell(false, doing, on, at);
    }
}

/// A system call on data that is there: fit for a child half.
#[cold]
#[inline(never)]
fn tell(is_ahead: bool, doing: &str, on: &[u8], at: &Location<'_>) {
    let place = |bytes: &[u8]| (bytes.as_ptr() as usize, bytes.len());
    let mark = Mark {
        is_ahead: is_ahead.into(),
        doing: place(doing.as_bytes()),
        on: place(on),
        file: place(at.file().as_bytes()),
        line: at.line() as usize,
    };
    // SAFETY: the kernel refuses the number (EINVAL) without looking at the other arguments.
    let _refused = unsafe { libc::syscall(libc::SYS_prctl, OPTION, &raw const mark, 0_usize, 0_usize, 0_usize) };
}
