//! The error of a child half: what was being done, on what, and the kernel's errno. Nothing is allocated.

use nix::errno::Errno;
use std::ffi::CStr;
use std::fmt;
use std::panic::Location;

/// One refused system call. It borrows its words, so it can be made between clone3 and execve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// What was being done, as the end of "while: …" (`mount proc on`).
    pub doing: &'a str,
    /// On what: a path, a name; empty when there is nothing to name.
    pub on: &'a [u8],
    /// Why the kernel refused.
    pub errno: Errno,
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing)?;
        if !self.on.is_empty() {
            write!(f, " `{}`", String::from_utf8_lossy(self.on))?;
        }
        write!(f, ": {}", describe(self.errno))
    }
}

impl std::error::Error for Failure<'_> {}

/// An errno as the project prints it: the kernel's sentence in lower case and the name (`no such file or directory (ENOENT)`).
#[must_use]
pub fn describe(errno: Errno) -> String {
    let sentence = errno.desc();
    let mut chars = sentence.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    let sentence: String = first.into_iter().chain(chars).collect();
    format!("{sentence} ({errno:?})")
}

/// Says what a system call was for, so that `?` carries it to the parent.
pub trait Whilst<T> {
    /// Names the deed and its object: `mount_proc().whilst("mount proc on", target)?`.
    ///
    /// # Errors
    /// The errno of `self`, with its words.
    #[track_caller]
    fn whilst<'a>(self, doing: &'static str, on: &'a CStr) -> Result<T, Failure<'a>>;
}

impl<T> Whilst<T> for nix::Result<T> {
    #[track_caller]
    #[inline]
    fn whilst<'a>(self, doing: &'static str, on: &'a CStr) -> Result<T, Failure<'a>> {
        crate::explain::done(doing, on.to_bytes(), Location::caller());
        self.map_err(|errno| Failure { doing, on: on.to_bytes(), errno })
    }
}
