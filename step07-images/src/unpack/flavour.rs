//! What the kernel lets this process make: everything as real root, less in a user namespace.

use nix::unistd::geteuid;
use std::ffi::CStr;
use std::fs;

/// In which form layers are unpacked. All layers of a store have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Real root: any owner, devices, `trusted.overlay.*`.
    Root,
    /// A user namespace: no devices, `user.overlay.*` (mount the overlay with `userxattr`).
    UserNamespace {
        /// Only one user and one group are mapped: every file belongs to them, whatever the layer says.
        single_id: bool,
    },
}

impl Flavour {
    /// Looks at the user map of this process. Source: user_namespaces(7), "User and group ID mappings".
    #[must_use]
    pub fn of_this_process() -> Self {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        Self::from_map(&map, geteuid().is_root())
    }

    fn from_map(map: &str, root: bool) -> Self {
        let counts = map.lines().filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok());
        let mapped: u64 = counts.sum();
        // An ordinary user outside of any namespace can own files as itself only, just like a single map.
        if mapped == u64::from(u32::MAX) || mapped == 0 {
            return if root { Self::Root } else { Self::UserNamespace { single_id: true } };
        }
        Self::UserNamespace { single_id: mapped == 1 }
    }

    /// The attribute that makes a directory opaque. Source: kernel, overlayfs.rst, "User xattr".
    #[must_use]
    pub fn opaque_attribute(self) -> &'static CStr {
        match self {
            Self::Root => c"trusted.overlay.opaque",
            Self::UserNamespace { .. } => c"user.overlay.opaque",
        }
    }

    pub(crate) fn single_id(self) -> bool {
        self == Self::UserNamespace { single_id: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flavour_comes_from_the_map() {
        let all = "         0          0 4294967295\n";
        assert_eq!(Flavour::from_map(all, true), Flavour::Root);
        assert_eq!(Flavour::from_map(all, false), Flavour::UserNamespace { single_id: true });
        assert_eq!(Flavour::from_map("0 1000 1\n", true), Flavour::UserNamespace { single_id: true });
        let range = "0 1000 1\n1 100000 65536\n";
        assert_eq!(Flavour::from_map(range, true), Flavour::UserNamespace { single_id: false });
    }
}
