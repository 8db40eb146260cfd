//! The one table: docker's words, and the files that they become in cgroup v1 and v2.
//!
//! Sources: docker's reference, "Runtime constraints on resources"; OCI runtime specification, config-linux.md, "Control
//! groups"; Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/*.

use crate::hierarchy::{Controller, Version};
use crate::limits::Limits;
use crate::values::{
    cpuset_cpus, cpuset_mems, memory, memory_and_swap, period, pids, quota, quota_and_period, rates, reservation,
    shares, swap_alone, weight,
};
use std::fmt::Write;

/// One of docker's words.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// The flag.
    pub flag: &'static str,
    /// The controller that keeps the limit, by its name in v1.
    pub controller: Controller,
    /// Which files, in the order they are written: v1.
    pub v1: &'static [File],
    /// The same in v2.
    pub v2: &'static [File],
}

/// A file of a cgroup, and what is written to it.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// An example, for the table.
    pub example: &'static str,
    /// What the limits make of it; each element is one write.
    values: fn(&Limits) -> Vec<String>,
}

const fn file(name: &'static str, example: &'static str, values: fn(&Limits) -> Vec<String>) -> File {
    File { name, example, values }
}

// ANCHOR: table
/// All the words, in the order in which they are written: memory before memory and swap together.
pub const WORDS: [Word; 12] = [
    Word {
        flag: "--memory",
        controller: Controller::Memory,
        v1: &[file("memory.limit_in_bytes", "67108864", memory)],
        v2: &[file("memory.max", "67108864", memory)],
    },
    Word {
        flag: "--memory-swap",
        controller: Controller::Memory,
        v1: &[file("memory.memsw.limit_in_bytes", "memory and swap", memory_and_swap)],
        v2: &[file("memory.swap.max", "swap alone", swap_alone)],
    },
    Word {
        flag: "--memory-reservation",
        controller: Controller::Memory,
        v1: &[file("memory.soft_limit_in_bytes", "33554432", reservation)],
        v2: &[file("memory.low", "33554432", reservation)],
    },
    Word {
        flag: "--cpus",
        controller: Controller::Cpu,
        v1: &[file("cpu.cfs_period_us", "100000", period), file("cpu.cfs_quota_us", "50000", quota)],
        v2: &[file("cpu.max", "50000 100000", quota_and_period)],
    },
    Word {
        flag: "--cpu-shares",
        controller: Controller::Cpu,
        v1: &[file("cpu.shares", "1024", shares)],
        v2: &[file("cpu.weight", "1 + (shares - 2) × 9999 / 262142", weight)],
    },
    Word {
        flag: "--cpuset-cpus",
        controller: Controller::Cpuset,
        v1: &[file("cpuset.cpus", "0-2,5", cpuset_cpus)],
        v2: &[file("cpuset.cpus", "0-2,5", cpuset_cpus)],
    },
    Word {
        flag: "--cpuset-mems",
        controller: Controller::Cpuset,
        v1: &[file("cpuset.mems", "0", cpuset_mems)],
        v2: &[file("cpuset.mems", "0", cpuset_mems)],
    },
    Word {
        flag: "--pids-limit",
        controller: Controller::Pids,
        v1: &[file("pids.max", "20", pids)],
        v2: &[file("pids.max", "20", pids)],
    },
    Word {
        flag: "--device-read-bps",
        controller: Controller::Blkio,
        v1: &[file("blkio.throttle.read_bps_device", "8:0 1048576", |l| rates(&l.device_read_bps, ""))],
        v2: &[file("io.max", "8:0 rbps=1048576", |l| rates(&l.device_read_bps, "rbps="))],
    },
    Word {
        flag: "--device-write-bps",
        controller: Controller::Blkio,
        v1: &[file("blkio.throttle.write_bps_device", "8:0 1048576", |l| rates(&l.device_write_bps, ""))],
        v2: &[file("io.max", "8:0 wbps=1048576", |l| rates(&l.device_write_bps, "wbps="))],
    },
    Word {
        flag: "--device-read-iops",
        controller: Controller::Blkio,
        v1: &[file("blkio.throttle.read_iops_device", "8:0 1000", |l| rates(&l.device_read_iops, ""))],
        v2: &[file("io.max", "8:0 riops=1000", |l| rates(&l.device_read_iops, "riops="))],
    },
    Word {
        flag: "--device-write-iops",
        controller: Controller::Blkio,
        v1: &[file("blkio.throttle.write_iops_device", "8:0 1000", |l| rates(&l.device_write_iops, ""))],
        v2: &[file("io.max", "8:0 wiops=1000", |l| rates(&l.device_write_iops, "wiops="))],
    },
];
// ANCHOR_END: table

/// The flag of the device list, which is no file of its own: docker has `--device` and `--device-cgroup-rule`.
pub(crate) const DEVICES: &str = "--device";

/// One write: a limit in the kernel's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) flag: &'static str,
    pub(crate) file: &'static str,
    pub(crate) value: String,
    /// Whether the user asked for it: a default that the kernel cannot keep is left out.
    pub(crate) asked: bool,
}

impl Word {
    fn files(&self, version: Version) -> &'static [File] {
        match version {
            Version::V1 => self.v1,
            Version::V2 => self.v2,
        }
    }

    /// The writes for this word.
    pub(crate) fn settings(&self, limits: &Limits, version: Version) -> Vec<Setting> {
        let asked = self.flag != "--memory-swap" || limits.memory_swap.is_some();
        let setting = |file: &'static str| move |value| Setting { flag: self.flag, file, value, asked };
        let files = self.files(version).iter();
        files.flat_map(|file| (file.values)(limits).into_iter().map(setting(file.name))).collect()
    }
}

/// Which controllers these limits need, and the flag that says so first.
pub(crate) fn needed(limits: &Limits) -> Vec<(Controller, &'static str)> {
    let mut needed: Vec<(Controller, &'static str)> = Vec::new();
    let words = WORDS.iter().filter(|word| !word.settings(limits, Version::V1).is_empty());
    let devices = limits.devices.is_some().then_some((Controller::Devices, DEVICES));
    let files = limits.files.iter().map(|file| (file.controller, file.flag));
    for (controller, flag) in words.map(|word| (word.controller, word.flag)).chain(devices).chain(files) {
        if needed.iter().all(|(known, _)| *known != controller) {
            needed.push((controller, flag));
        }
    }
    needed
}

/// The table for the book and the help: GitHub's markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| docker | controller | cgroup v1 | cgroup v2 |\n|---|---|---|---|\n".to_owned();
    let cell = |files: &[File]| {
        let files: Vec<_> = files.iter().map(|file| format!("`{}` ({})", file.name, file.example)).collect();
        files.join(", ")
    };
    for word in &WORDS {
        let Word { flag, controller, v1, v2 } = word;
        let name = match controller.v2_name() {
            Some(v2) if v2 != controller.v1_name() => format!("{}, v2: {v2}", controller.v1_name()),
            _ => controller.v1_name().to_owned(),
        };
        let _never_fails = writeln!(text, "| `{flag}` | {name} | {} | {} |", cell(v1), cell(v2));
    }
    let devices = "`devices.deny` (a), `devices.allow` (c 1:3 rwm) | an eBPF program, `BPF_CGROUP_DEVICE`";
    let _never_fails = writeln!(text, "| `{DEVICES}` | devices, v2: none | {devices} |");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{Bytes, Maximum};
    use crate::limits::DeviceRate;

    fn written(limits: &Limits, version: Version) -> Vec<String> {
        let settings = WORDS.iter().flat_map(|word| word.settings(limits, version));
        settings.map(|setting| format!("{}={}", setting.file, setting.value)).collect()
    }

    fn limits() -> Limits {
        Limits {
            memory: Some(Bytes(64 << 20)),
            cpus: ".5".parse().ok(),
            cpu_shares: Some(1024),
            pids: Some(Maximum::Unlimited),
            device_write_bps: vec![DeviceRate { device: (8, 0), rate: 1000 }],
            ..Limits::default()
        }
    }

    #[test]
    fn words_become_the_files_of_v1() {
        let expected = [
            "memory.limit_in_bytes=67108864",
            "memory.memsw.limit_in_bytes=134217728",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "cpu.shares=1024",
            "pids.max=max",
            "blkio.throttle.write_bps_device=8:0 1000",
        ];
        assert_eq!(written(&limits(), Version::V1), expected);
    }

    #[test]
    fn words_become_the_files_of_v2() {
        let expected = [
            "memory.max=67108864",
            "memory.swap.max=67108864",
            "cpu.max=50000 100000",
            "cpu.weight=39",
            "pids.max=max",
            "io.max=8:0 wbps=1000",
        ];
        assert_eq!(written(&limits(), Version::V2), expected);
    }

    #[test]
    fn swap_is_counted_as_each_version_does() {
        let with = |swap| Limits { memory_swap: Some(swap), ..limits() };
        let of = |swap, version| written(&with(swap), version).swap_remove(1);
        let equal = Maximum::Of(Bytes(64 << 20));
        assert_eq!(of(equal, Version::V1), "memory.memsw.limit_in_bytes=67108864");
        assert_eq!(of(equal, Version::V2), "memory.swap.max=0");
        assert_eq!(of(Maximum::Unlimited, Version::V1), "memory.memsw.limit_in_bytes=-1");
        assert_eq!(of(Maximum::Unlimited, Version::V2), "memory.swap.max=max");
    }

    #[test]
    fn only_the_needed_controllers_are_named() {
        assert_eq!(needed(&Limits::default()), []);
        let flags: Vec<_> = needed(&limits()).into_iter().map(|(_, flag)| flag).collect();
        assert_eq!(flags, ["--memory", "--cpus", "--pids-limit", "--device-write-bps"]);
    }

    #[test]
    fn the_documented_table_is_the_codes() {
        let documented = include_str!("../words.md");
        assert_eq!(
            documented,
            markdown(),
            "write it anew: cargo run -p step05-cgroups -- words > step05-cgroups/words.md"
        );
    }
}
