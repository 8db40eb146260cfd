//! Which devices may be opened and made: docker's list, and v1's way to say it.

use crate::Error;
use std::fmt;
use std::str::FromStr;

/// One line of a list of devices; a later line wins over an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// Which kind of device file.
    pub kind: DeviceKind,
    /// The major number; `None` is any.
    pub major: Option<u32>,
    /// The minor number; `None` is any.
    pub minor: Option<u32>,
    /// What may be done.
    pub access: Access,
}

/// Character or block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Both.
    Any,
    /// `c`.
    Character,
    /// `b`.
    Block,
}

/// A set of read, write and mknod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// `r`.
    pub read: bool,
    /// `w`.
    pub write: bool,
    /// `m`: make the device file.
    pub mknod: bool,
}

impl Access {
    /// `rwm`.
    pub const ALL: Self = Self { read: true, write: true, mknod: true };
    const MKNOD: Self = Self { read: false, write: false, mknod: true };
}

impl DeviceRule {
    /// Whether it decides about every device and every access.
    pub(crate) fn is_about_everything(&self) -> bool {
        self.kind == DeviceKind::Any && self.major.is_none() && self.minor.is_none() && self.access == Access::ALL
    }

    const fn allow(major: Option<u32>, minor: Option<u32>, access: Access) -> Self {
        Self { allow: true, kind: DeviceKind::Character, major, minor, access }
    }
}

/// docker's list: any device file may be made, and those of a terminal and the harmless ones may be used. Sources: OCI runtime
/// specification, config-linux.md, "Default Devices"; moby, oci/defaults.go.
#[must_use]
pub fn default_devices() -> Vec<DeviceRule> {
    let mut rules = vec![DeviceRule { kind: DeviceKind::Block, ..DeviceRule::allow(None, None, Access::MKNOD) }];
    rules.push(DeviceRule::allow(None, None, Access::MKNOD));
    // null, zero, full, random, urandom; tty, console, ptmx; the terminals of any devpts.
    let numbers = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    rules.extend(numbers.map(|(major, minor)| DeviceRule::allow(Some(major), Some(minor), Access::ALL)));
    rules.push(DeviceRule::allow(Some(136), None, Access::ALL));
    rules
}

impl FromStr for DeviceRule {
    type Err = Error;

    /// `c 1:3 rwm`, `b *:* m`, `a`: as `--device-cgroup-rule`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::DeviceRule(text.to_owned());
        let mut words = text.split_ascii_whitespace();
        let kind = match words.next() {
            Some("a") => DeviceKind::Any,
            Some("c") => DeviceKind::Character,
            Some("b") => DeviceKind::Block,
            _ => return Err(wrong()),
        };
        let (major, minor) = words.next().unwrap_or("*:*").split_once(':').ok_or_else(wrong)?;
        let number = |text: &str| match text {
            "*" => Ok(None),
            number => number.parse().map(Some).map_err(|_| wrong()),
        };
        let letters = words.next().unwrap_or("rwm");
        if letters.is_empty() || letters.chars().any(|letter| !"rwm".contains(letter)) || words.next().is_some() {
            return Err(wrong());
        }
        let has = |letter| letters.contains(letter);
        let access = Access { read: has('r'), write: has('w'), mknod: has('m') };
        Ok(Self { allow: true, kind, major: number(major)?, minor: number(minor)?, access })
    }
}

impl fmt::Display for DeviceRule {
    /// As `devices.allow` and `devices.deny` take it. Source: Documentation/admin-guide/cgroup-v1/devices.rst.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DeviceKind::Any => "a ",
            DeviceKind::Character => "c ",
            DeviceKind::Block => "b ",
        })?;
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        write!(f, "{}:{} ", number(self.major), number(self.minor))?;
        let Access { read, write, mknod } = self.access;
        let letters = [(read, "r"), (write, "w"), (mknod, "m")];
        letters.into_iter().filter(|(set, _)| *set).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written_as_the_kernel_has_them() {
        for text in ["c 1:3 rwm", "b *:* m", "a *:* rwm", "c 136:* rw"] {
            assert_eq!(text.parse::<DeviceRule>().unwrap().to_string(), text);
        }
        assert_eq!("a".parse::<DeviceRule>().unwrap().to_string(), "a *:* rwm");
        for bad in ["", "d 1:3 r", "c 1 r", "c 1:x r", "c 1:3 x", "c 1:3 r w"] {
            assert!(bad.parse::<DeviceRule>().is_err(), "{bad}");
        }
    }
}
