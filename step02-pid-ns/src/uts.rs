//! The host name of the new UTS namespace.

use crate::Error;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use sys::{Failure, Whilst};

/// A name that the kernel and the resolver take: 1 to 63 letters, digits, dashes and dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname(CString);

impl Hostname {
    /// Checks a name. Sources: hostname(7); sethostname(2) for the length (64 bytes).
    ///
    /// # Errors
    /// [`Error::Hostname`].
    pub fn new(name: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
        let edges = name.starts_with(['-', '.']) || name.ends_with(['-', '.']);
        if name.is_empty() || name.len() > 63 || edges || !name.bytes().all(allowed) {
            return Err(Error::Hostname(name.to_owned()));
        }
        CString::new(name).map(Self).map_err(|_| Error::Hostname(name.to_owned()))
    }

    /// Sets it. Child half, in a UTS namespace of its own: in the host's it would rename the host.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN over the UTS namespace. Source: sethostname(2).
    pub fn set(&self) -> Result<(), Failure<'_>> {
        nix::unistd::sethostname(OsStr::from_bytes(self.0.to_bytes())).whilst("set the host name to", &self.0)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["web", "web-1.example", "A1", "a_b"] {
            assert!(Hostname::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "a/b", &"x".repeat(64), "ä"] {
            assert!(Hostname::new(bad).is_err(), "{bad}");
        }
    }
}
