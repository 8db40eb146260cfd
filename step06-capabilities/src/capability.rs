//! The parts of root's power, by name. Source: capabilities(7).

use crate::Error;
use std::ffi::CStr;
use std::fs;
use std::ops::{BitAnd, BitOr, Sub};

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

/// A set of capabilities; bit `n` is number `n`, as in `/proc/self/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities(u64);

impl Capabilities {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// What docker leaves to root: enough for packages to be installed and servers to give up the rest by themselves.
    /// Source: docker's reference, "Runtime privilege and Linux capabilities".
    // ANCHOR: docker
    #[must_use]
    pub fn docker() -> Self {
        const FILES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD"];
        const USERS: [&str; 4] = ["SETUID", "SETGID", "SETPCAP", "SETFCAP"];
        const OTHERS: [&str; 5] = ["KILL", "SYS_CHROOT", "NET_BIND_SERVICE", "NET_RAW", "AUDIT_WRITE"];
        let names = FILES.iter().chain(&USERS).chain(&OTHERS);
        names.filter_map(|name| Capability::by_name(name).ok()).collect()
    }
    // ANCHOR_END: docker

    /// All that the running kernel has. Source: capabilities(7), `/proc/sys/kernel/cap_last_cap`.
    ///
    /// # Errors
    /// [`Error::LastCapability`] when /proc does not say.
    pub fn of_kernel() -> Result<Self, Error> {
        let file = fs::read_to_string("/proc/sys/kernel/cap_last_cap").map_err(|error| error.to_string());
        let last = file.and_then(|text| text.trim().parse::<u8>().map_err(|error| error.to_string()));
        match last.map_err(Error::LastCapability)? {
            last @ 0..=63 => Ok(Self(u64::MAX >> (63 - last))),
            last => Err(Error::LastCapability(format!("{last} does not fit into 64 bits"))),
        }
    }

    /// Docker's `--cap-add` and `--cap-drop`. Names are as in [`Capability::by_name`], or `ALL`.
    ///
    /// The order on the command line does not count. `add` ALL wins: all but those dropped by name. With `drop` ALL the set is
    /// `add`. Else what is dropped goes first, and what is added comes after, so a name in both is added.
    ///
    /// # Errors
    /// [`Error::Capability`]; also for one that `kernel` does not have.
    // ANCHOR: tweak
    pub fn tweak<S: AsRef<str>>(self, add: &[S], drop: &[S], kernel: Self) -> Result<Self, Error> {
        let (add, drop) = (Named::parse(add, kernel)?, Named::parse(drop, kernel)?);
        Ok(match (add.all, drop.all) {
            (true, _) => kernel - drop.named,
            (false, true) => add.named,
            (false, false) => (self - drop.named) | add.named,
        })
    }
    // ANCHOR_END: tweak

    /// Whether `capability` is among them.
    #[must_use]
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & 1 << capability.0 != 0
    }

    /// One after the other, by number; also those that this source has no name for. No allocation.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..64).map(Capability).filter(move |capability| self.contains(*capability))
    }

    /// The mask, as the kernel takes it.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// A list from the command line.
struct Named {
    all: bool,
    named: Capabilities,
}

impl Named {
    fn parse<S: AsRef<str>>(names: &[S], kernel: Capabilities) -> Result<Self, Error> {
        let is_all = |name: &&S| without_prefix(name.as_ref()).eq_ignore_ascii_case(b"ALL");
        let by_name = |name: &S| match Capability::by_name(name.as_ref())? {
            known if kernel.contains(known) => Ok(known),
            newer => Err(Error::NotInKernel(newer.name())),
        };
        let named = names.iter().filter(|name| !is_all(name)).map(by_name).collect::<Result<_, _>>()?;
        Ok(Self { all: names.iter().any(|name| is_all(&name)), named })
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(list: I) -> Self {
        Self(list.into_iter().fold(0, |bits, capability| bits | 1 << capability.0))
    }
}

impl BitOr for Capabilities {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Capabilities {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KERNEL: Capabilities = Capabilities(0x1ff_ffff_ffff);

    fn tweak(add: &[&str], drop: &[&str]) -> u64 {
        Capabilities::docker().tweak(add, drop, KERNEL).unwrap().bits()
    }

    #[test]
    fn the_default_is_dockers() {
        assert_eq!(Capabilities::docker().bits(), 0xa804_25fb);
    }

    #[test]
    fn add_and_drop_are_dockers() {
        assert_eq!(tweak(&[], &[]), 0xa804_25fb);
        assert_eq!(tweak(&["CHOWN"], &["ALL"]), 1);
        assert_eq!(tweak(&["all"], &["cap_chown"]), 0x1ff_ffff_fffe);
        assert_eq!(tweak(&["ALL"], &["ALL"]), 0x1ff_ffff_ffff);
        assert_eq!(tweak(&["Net_Admin"], &["MKNOD", "CAP_NET_RAW"]), 0xa004_15fb);
        assert_eq!(tweak(&["MKNOD"], &["MKNOD"]), 0xa804_25fb);
        assert_eq!(tweak(&["CAP_ALL"], &[]), 0x1ff_ffff_ffff);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let message = |name| Capability::by_name(name).unwrap_err().to_string();
        assert_eq!(message("netadmin"), "`netadmin` is no capability; `CAP_NET_ADMIN` is");
        assert_eq!(message("CAP_SYSADMIN"), "`CAP_SYSADMIN` is no capability; `CAP_SYS_ADMIN` is");
        assert_eq!(message("PTRCE"), "`PTRCE` is no capability");
        assert_eq!(message(""), "`` is no capability");
        let old_kernel = Capabilities(0x3f_ffff_ffff);
        let error = Capabilities::NONE.tweak(&["BPF"], &[], old_kernel).unwrap_err();
        assert_eq!(error.to_string(), "the running kernel does not have `CAP_BPF`");
    }

    #[test]
    fn the_running_kernel_says_what_it_has() {
        let all = Capabilities::of_kernel().unwrap();
        assert_eq!(all & Capabilities::docker(), Capabilities::docker());
    }
}
