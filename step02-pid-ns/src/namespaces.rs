//! The kinds of namespaces, by the names that `/proc/PID/ns` gives them.

use crate::Error;
use nix::libc;
use std::fmt;
use std::ops::{BitOr, BitOrAssign, Sub};

/// A set of namespace kinds: what clone3 is asked to make anew. Source: namespaces(7).
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Namespaces(u64);

// ANCHOR: kinds
impl Namespaces {
    /// Process numbers: the first process inside is PID 1.
    pub const PID: Self = Self(libc::CLONE_NEWPID as u64);
    /// The table of mounts.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS as u64);
    /// Host name and domain name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS as u64);
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC as u64);
    /// Network links, addresses, routes, rules, abstract sockets.
    pub const NETWORK: Self = Self(libc::CLONE_NEWNET as u64);
    /// What counts as the root of the cgroup tree.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u64);
    /// User and group numbers, and what root may do.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u64);
    /// Offsets of the monotonic and the boot clock. clone3 alone takes this flag.
    pub const TIME: Self = Self(0x80);
}
// ANCHOR_END: kinds

const NAMES: [(&str, Namespaces); 8] = [
    ("pid", Namespaces::PID),
    ("mnt", Namespaces::MOUNT),
    ("uts", Namespaces::UTS),
    ("ipc", Namespaces::IPC),
    ("net", Namespaces::NETWORK),
    ("cgroup", Namespaces::CGROUP),
    ("user", Namespaces::USER),
    ("time", Namespaces::TIME),
];

impl Namespaces {
    /// No namespace.
    pub const NONE: Self = Self(0);

    /// The kind called `name` in `/proc/PID/ns` (`pid`, `mnt`, …; `mount` and `network` are understood too).
    ///
    /// # Errors
    /// [`Error::UnknownNamespace`], which lists the names.
    pub fn by_name(name: &str) -> Result<Self, Error> {
        let short = match name {
            "mount" => "mnt",
            "network" => "net",
            other => other,
        };
        let found = NAMES.iter().find(|(known, _)| *known == short).map(|(_, kind)| *kind);
        found.ok_or_else(|| Error::UnknownNamespace(name.to_owned()))
    }

    /// The names of the kinds in this set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(_, kind)| self.contains(*kind)).map(|(name, _)| name)
    }

    /// All the names there are.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().map(|(name, _)| name)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The `CLONE_NEW*` flags, as clone3 takes them.
    #[must_use]
    pub fn flags(self) -> u64 {
        self.0
    }
}

impl BitOr for Namespaces {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Namespaces {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Sub for Namespaces {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_of_proc() {
        for name in Namespaces::all_names() {
            let kind = Namespaces::by_name(name).expect("its own name");
            assert_eq!(kind.names().collect::<Vec<_>>(), [name]);
        }
        assert!(Namespaces::by_name("pidd").is_err());
    }

    #[test]
    fn sets_add_and_subtract() {
        let both = Namespaces::PID | Namespaces::UTS;
        assert_eq!(both - Namespaces::UTS, Namespaces::PID);
        assert!(both.contains(Namespaces::PID) && !both.contains(Namespaces::USER));
    }
}
