//! What a container may use, in docker's words and typed.

use crate::bytes::{Bytes, Maximum};
use crate::hierarchy::{Controller, Version};
use crate::{DeviceRule, Error};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::str::FromStr;

/// The limits of one container; what is `None` or empty is not limited. The table of [`crate::words`] says which files
/// each becomes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// `--memory`: what its processes and its page cache may hold.
    pub memory: Option<Bytes>,
    /// `--memory-swap`: memory and swap together. Not given but `memory` is: twice that, where the kernel counts swap.
    pub memory_swap: Option<Maximum<Bytes>>,
    /// `--memory-reservation`: what it is left with when the machine runs short.
    pub memory_reservation: Option<Bytes>,
    /// `--cpus`: processor time in each period.
    pub cpus: Option<Cpus>,
    /// `--cpu-shares`: its part when processors are contended; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// `--cpuset-cpus`: the processors it may run on (`0-2,5`).
    pub cpuset_cpus: Option<Set>,
    /// `--cpuset-mems`: the memory nodes it may allocate from.
    pub cpuset_mems: Option<Set>,
    /// `--pids-limit`: how many processes and threads.
    pub pids: Option<Maximum<u64>>,
    /// `--device-read-bps`: bytes a second.
    pub device_read_bps: Vec<DeviceRate>,
    /// `--device-write-bps`.
    pub device_write_bps: Vec<DeviceRate>,
    /// `--device-read-iops`: operations a second.
    pub device_read_iops: Vec<DeviceRate>,
    /// `--device-write-iops`.
    pub device_write_iops: Vec<DeviceRate>,
    /// Which devices may be opened and made; `None`: all. [`crate::default_devices`] is docker's list.
    pub devices: Option<Vec<DeviceRule>>,
    /// What docker has no word for.
    pub files: Vec<RawFile>,
}

/// A file of a cgroup and what is written to it, as the kernel has them: for callers that know more words than docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFile {
    /// What asks for it, for messages.
    pub flag: &'static str,
    /// Whose file it is.
    pub controller: Controller,
    /// Name and value in v1; `None` where v1 has no such thing.
    pub v1: Option<(String, String)>,
    /// The same in v2.
    pub v2: Option<(String, String)>,
}

impl RawFile {
    pub(crate) fn on(&self, version: Version) -> Option<&(String, String)> {
        match version {
            Version::V1 => self.v1.as_ref(),
            Version::V2 => self.v2.as_ref(),
        }
    }
}

/// Processor time: `quota_us` in each `period_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus {
    /// Microseconds of processor time in a period; more than `period_us` is more than one processor.
    pub quota_us: u64,
    /// The period, 1,000 to 1,000,000 microseconds.
    pub period_us: u64,
}

impl FromStr for Cpus {
    type Err = Error;

    /// `.5`, `2`, `1.25`: that many processors, in periods of 100 ms as docker's.
    // ANCHOR: cpus
    fn from_str(text: &str) -> Result<Self, Error> {
        const PERIOD_US: u64 = 100_000;
        // The kernel counts in microseconds and wants 1 ms at least: in a period of 100 ms that is 0.01 of a processor.
        let wrong = || Error::Cpus(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() < 1 + usize::from(text.contains('.')) || !digits(whole) || !digits(fraction) {
            return Err(wrong());
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
        let fraction: u64 = format!("{fraction:0<5.5}").parse().map_err(|_| wrong())?;
        let quota_us = whole.checked_mul(PERIOD_US).and_then(|us| us.checked_add(fraction)).ok_or_else(wrong)?;
        if quota_us < 1000 { Err(wrong()) } else { Ok(Self { quota_us, period_us: PERIOD_US }) }
    }
    // ANCHOR_END: cpus
}

/// A list of numbers and ranges, as cpuset files have it: `0-2,5`. Source: cpuset(7), "List format".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set(String);

impl Set {
    /// The list.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Set {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            first.parse::<u32>().ok()?.le(&last.parse::<u32>().ok()?).then_some(())
        };
        let good = text.split(',').all(|part| range(part).is_some());
        if good { Ok(Self(text.to_owned())) } else { Err(Error::Set(text.to_owned())) }
    }
}

/// A limit on the traffic with one block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRate {
    /// Major and minor number of the whole disk.
    pub device: (u64, u64),
    /// Bytes or operations a second.
    pub rate: u64,
}

impl FromStr for DeviceRate {
    type Err = Error;

    /// `/dev/sda:1mb`, `/dev/sda:1000`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::DeviceRate(text.to_owned());
        let (path, rate) = text.rsplit_once(':').ok_or_else(wrong)?;
        let rate = rate.parse::<Bytes>().map_err(|_| wrong())?.0;
        let meta = std::fs::metadata(path).map_err(|_| Error::NoBlockDevice(path.to_owned()))?;
        if !meta.file_type().is_block_device() {
            return Err(Error::NoBlockDevice(path.to_owned()));
        }
        let device = (nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev()));
        Ok(Self { device, rate })
    }
}

/// docker's smallest `--memory`: less does not hold the processes that start a container.
const LEAST_MEMORY: Bytes = Bytes(6 << 20);

impl Limits {
    /// Whether anything is limited at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what does not depend on the machine.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub fn check(&self) -> Result<(), Error> {
        let conflict = |why: &'static str| Err(Error::Conflict(why));
        match (self.memory, self.memory_swap) {
            (Some(memory), _) if memory < LEAST_MEMORY => return conflict("`--memory` is at least 6m"),
            (None, Some(Maximum::Of(_))) => return conflict("`--memory-swap` needs `--memory`"),
            (Some(memory), Some(Maximum::Of(total))) if total < memory => {
                return conflict("`--memory-swap` is memory and swap together, so at least `--memory`");
            }
            _ => {}
        }
        match (self.memory, self.memory_reservation, self.cpu_shares) {
            (Some(memory), Some(reserved), _) if reserved > memory => {
                conflict("`--memory-reservation` is at most `--memory`")
            }
            (_, _, Some(0 | 1)) => conflict("`--cpu-shares` is at least 2"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_become_a_quota() {
        let quota = |text: &str| text.parse::<Cpus>().map(|cpus| cpus.quota_us).ok();
        assert_eq!(
            [".5", "0.5", "2", "1.25", "0.01", "1."].map(quota).map(Option::unwrap),
            [50_000, 50_000, 200_000, 125_000, 1_000, 100_000]
        );
        for bad in ["", ".", "0", "0.001", "-1", "1.2.3", "half", "99999999999999999999"] {
            assert_eq!(quota(bad), None, "{bad}");
        }
    }

    #[test]
    fn sets_are_lists_of_ranges() {
        for good in ["0", "0-2,5", "0,1,2"] {
            assert!(good.parse::<Set>().is_ok(), "{good}");
        }
        for bad in ["", "a", "2-1", "1,", "1-", "-1", "1\n2", "0 1"] {
            assert!(bad.parse::<Set>().is_err(), "{bad}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let limits = |memory: &str, swap: Option<&str>| Limits {
            memory: (!memory.is_empty()).then(|| memory.parse().unwrap()),
            memory_swap: swap.map(|swap| swap.parse().unwrap()),
            ..Limits::default()
        };
        assert!(limits("64m", Some("128m")).check().is_ok() && limits("64m", Some("-1")).check().is_ok());
        assert!(limits("", Some("128m")).check().is_err());
        assert!(limits("64m", Some("32m")).check().is_err());
        assert!(limits("5m", None).check().is_err());
    }

    #[test]
    fn a_rate_names_a_block_device() {
        assert!(matches!("/dev/null:1mb".parse::<DeviceRate>(), Err(Error::NoBlockDevice(_))));
        assert!(matches!("/no/such:1mb".parse::<DeviceRate>(), Err(Error::NoBlockDevice(_))));
        assert!(matches!("/dev/sda".parse::<DeviceRate>(), Err(Error::DeviceRate(_))));
    }
}
