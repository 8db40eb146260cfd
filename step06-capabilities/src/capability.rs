//! The parts of root's power, by name. Source: capabilities(7).

use crate::Error;
use std::ffi::CStr;

/// One capability, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

/// In the order of their numbers. Source: linux/capability.h.
const NAMES: [&CStr; 41] = [
    c"CAP_CHOWN",
    c"CAP_DAC_OVERRIDE",
    c"CAP_DAC_READ_SEARCH",
    c"CAP_FOWNER",
    c"CAP_FSETID",
    c"CAP_KILL",
    c"CAP_SETGID",
    c"CAP_SETUID",
    c"CAP_SETPCAP",
    c"CAP_LINUX_IMMUTABLE",
    c"CAP_NET_BIND_SERVICE",
    c"CAP_NET_BROADCAST",
    c"CAP_NET_ADMIN",
    c"CAP_NET_RAW",
    c"CAP_IPC_LOCK",
    c"CAP_IPC_OWNER",
    c"CAP_SYS_MODULE",
    c"CAP_SYS_RAWIO",
    c"CAP_SYS_CHROOT",
    c"CAP_SYS_PTRACE",
    c"CAP_SYS_PACCT",
    c"CAP_SYS_ADMIN",
    c"CAP_SYS_BOOT",
    c"CAP_SYS_NICE",
    c"CAP_SYS_RESOURCE",
    c"CAP_SYS_TIME",
    c"CAP_SYS_TTY_CONFIG",
    c"CAP_MKNOD",
    c"CAP_LEASE",
    c"CAP_AUDIT_WRITE",
    c"CAP_AUDIT_CONTROL",
    c"CAP_SETFCAP",
    c"CAP_MAC_OVERRIDE",
    c"CAP_MAC_ADMIN",
    c"CAP_SYSLOG",
    c"CAP_WAKE_ALARM",
    c"CAP_BLOCK_SUSPEND",
    c"CAP_AUDIT_READ",
    c"CAP_PERFMON",
    c"CAP_BPF",
    c"CAP_CHECKPOINT_RESTORE",
];

impl Capability {
    /// Finds a capability by its name, with `CAP_` or without, in any case.
    ///
    /// # Errors
    /// [`Error::Capability`], with the nearest name.
    pub fn by_name(name: &str) -> Result<Self, Error> {
        let wanted = without_prefix(name);
        let found = Self::all().find(|capability| capability.short().eq_ignore_ascii_case(wanted));
        found.ok_or_else(|| Error::Capability { name: name.to_owned(), nearest: nearest(wanted) })
    }

    /// All that this source knows, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).map(Self).take(NAMES.len())
    }

    /// The capability with the kernel's number `number`.
    pub(crate) fn from_number(number: u8) -> Self {
        Self(number)
    }

    /// The kernel's number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The name with `CAP_`; a number that came after this source was written has none. No allocation.
    #[must_use]
    pub fn name(self) -> &'static CStr {
        NAMES.get(usize::from(self.0)).copied().unwrap_or(c"a capability without a name")
    }

    /// The name without `CAP_`.
    fn short(self) -> &'static [u8] {
        self.name().to_bytes().strip_prefix(b"CAP_").unwrap_or_default()
    }
}

fn without_prefix(name: &str) -> &[u8] {
    let name = name.trim().as_bytes();
    match name.split_at_checked(4) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"CAP_") => rest,
        _ => name,
    }
}

/// The known name that differs from `wanted` in the fewest letters, if that is few.
fn nearest(wanted: &[u8]) -> Option<&'static CStr> {
    let letters = |name: &[u8]| -> Vec<u8> {
        name.iter().filter(|letter| letter.is_ascii_alphanumeric()).map(u8::to_ascii_uppercase).collect()
    };
    let wanted = letters(wanted);
    let distance = |capability: &Capability| differences(&wanted, &letters(capability.short()));
    let nearest = Capability::all().min_by_key(distance)?;
    (distance(&nearest) <= 2).then(|| nearest.name())
}

/// How many letters have to be changed, added or removed to get from `one` to `other` (Levenshtein).
fn differences(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.iter().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (place, other) in row.iter_mut().skip(1).zip(other) {
            let best = (diagonal + usize::from(letter != other)).min(left + 1).min(*place + 1);
            (diagonal, left) = (*place, best);
            *place = best;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_and_without_prefix_in_any_case() {
        for (name, number) in [("CHOWN", 0), ("cap_net_admin", 12), ("Cap_Checkpoint_Restore", 40)] {
            assert_eq!(Capability::by_name(name).unwrap().number(), number, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let message = |name| Capability::by_name(name).unwrap_err().to_string();
        assert_eq!(message("netadmin"), "`netadmin` is no capability; `CAP_NET_ADMIN` is");
        assert_eq!(message("CAP_SYSADMIN"), "`CAP_SYSADMIN` is no capability; `CAP_SYS_ADMIN` is");
        assert_eq!(message("XYZ"), "`XYZ` is no capability");
        assert_eq!(message(""), "`` is no capability");
    }
}
