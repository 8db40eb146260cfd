//! Sets of capabilities, and docker's words for changing them.

use crate::{Capability, Error};
use std::fs;
use std::ops::{BitAnd, BitOr, Sub};

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
        // ANCHOR: task1_tweak
        let (add, drop) = (Named::parse(add, kernel)?, Named::parse(drop, kernel)?);
        Ok(match (add.all, drop.all) {
            (true, _) => kernel - drop.named,
            (false, true) => add.named,
            (false, false) => (self - drop.named) | add.named,
        })
        // ANCHOR_END: task1_tweak
    }
    // ANCHOR_END: tweak

    /// Whether `capability` is among them.
    #[must_use]
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & 1 << capability.number() != 0
    }

    /// One after the other, by number; also those that this source has no name for. No allocation.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..64).map(Capability::from_number).filter(move |capability| self.contains(*capability))
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
        let is_all = |name: &&S| name.as_ref().trim().eq_ignore_ascii_case("ALL");
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
        Self(list.into_iter().fold(0, |bits, capability| bits | 1 << capability.number()))
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
        assert!(Capabilities::NONE.tweak(&["CAP_ALL"], &[], KERNEL).is_err());
    }

    #[test]
    fn the_running_kernel_says_what_it_has() {
        let all = Capabilities::of_kernel().unwrap();
        assert_eq!(all & Capabilities::docker(), Capabilities::docker());
        let old_kernel = Capabilities(0x3f_ffff_ffff);
        let error = Capabilities::NONE.tweak(&["BPF"], &[], old_kernel).unwrap_err();
        assert_eq!(error.to_string(), "the running kernel does not have `CAP_BPF`");
    }
}
