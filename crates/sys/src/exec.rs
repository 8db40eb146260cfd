//! `execve` on arrays that were made ready before the clone.

use crate::failure::Failure;
use nix::errno::Errno;
use std::ffi::{CStr, CString, c_char};
use std::fmt;

/// A null-terminated array of C strings, as execve(2) wants `argv` and `envp`.
pub struct CStringArray {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStringArray {
    /// Takes the strings and lays the pointers out beside them. The strings' buffers do not move afterwards.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Self { strings, pointers }
    }

    /// The strings.
    #[must_use]
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

impl fmt::Debug for CStringArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.strings).finish()
    }
}

/// Replaces the program of this process. Returns only when the kernel refused.
#[must_use]
pub fn execve(path: &CStr, argv: &CStringArray, envp: &CStringArray) -> Errno {
    // SAFETY: `path` is a C string, and both arrays hold pointers to C strings that they own, ended by a null pointer.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    Errno::last()
}

/// Something a child half can end in: it becomes a program, or says why not.
pub trait Execute {
    /// Becomes the program. System calls only: it runs between clone3 and execve. Returns only on failure.
    fn execute(&self) -> Failure<'_>;
}
