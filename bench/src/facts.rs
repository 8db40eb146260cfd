//! What the machine is: numbers of another one cannot be compared.

use crate::cgroup;
use nix::sys::statfs::statfs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Facts of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// `uname -r`.
    pub(crate) kernel: String,
    /// The processor's name.
    pub(crate) processor: String,
    /// How many the scheduler has.
    pub(crate) processors: usize,
    /// MiB.
    pub(crate) memory: u64,
    /// Whether this machine is a guest.
    pub(crate) virtualized: bool,
    /// What the kernel does about each weakness of the processor: `/sys/devices/system/cpu/vulnerabilities`.
    pub(crate) mitigations: BTreeMap<String, String>,
    /// `v2`, `v1`, `hybrid`.
    pub(crate) cgroups: String,
    /// The file systems of tara's ROOT and RUN.
    pub(crate) file_systems: BTreeMap<String, String>,
    /// Who was compared, in what version.
    pub(crate) versions: BTreeMap<String, String>,
}

impl Facts {
    /// Those of this machine. What cannot be found out stays empty.
    pub(crate) fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let of_processor = |key: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            processor: of_processor("model name"),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory: memory(),
            virtualized: of_processor("flags").split(' ').any(|flag| flag == "hypervisor"),
            mitigations: mitigations(),
            cgroups: mode().to_owned(),
            file_systems: BTreeMap::new(),
            versions: versions(),
        }
    }

    /// Adds the file system that `path` is on.
    pub(crate) fn file_system(&mut self, what: &str, path: &Path) {
        self.file_systems.insert(what.to_owned(), kind(path));
    }

    /// Lines for a terminal.
    pub(crate) fn lines(&self) -> String {
        let guest = if self.virtualized { ", itself a virtual machine" } else { "" };
        let systems: Vec<_> = self.file_systems.iter().map(|(what, kind)| format!("{what} on {kind}")).collect();
        format!(
            "Linux {}, {} x {}, {} MiB{guest}; cgroups {}; {}",
            self.kernel,
            self.processors,
            self.processor,
            self.memory,
            self.cgroups,
            systems.join(", ")
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn memory() -> u64 {
    let text = read("/proc/meminfo");
    let kib = text.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn mitigations() -> BTreeMap<String, String> {
    let entries = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten().flatten();
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(&entry.path().to_string_lossy())))
        .collect()
}

fn mode() -> &'static str {
    match (cgroup::is_unified(), Path::new("/sys/fs/cgroup/unified").exists()) {
        (true, _) => "v2",
        (false, true) => "hybrid (controllers on v1)",
        (false, false) => "v1",
    }
}

/// The names of a few numbers. Source: linux/magic.h.
fn kind(path: &Path) -> String {
    match statfs(path).map(|found| found.filesystem_type().0) {
        Ok(0x0102_1994) => "tmpfs".to_owned(),
        Ok(0xEF53) => "ext4".to_owned(),
        Ok(0x9123_683E) => "btrfs".to_owned(),
        Ok(0x5846_5342) => "xfs".to_owned(),
        Ok(0x794c_7630) => "overlay".to_owned(),
        Ok(other) => format!("{other:#x}"),
        Err(errno) => format!("unknown ({errno})"),
    }
}

/// The first line of what `--version` prints.
fn versions() -> BTreeMap<String, String> {
    let asked = [
        ("crun", "--version"),
        ("runc", "--version"),
        ("youki", "--version"),
        ("bwrap", "--version"),
        ("unshare", "--version"),
        ("podman", "--version"),
        ("dockerd", "--version"),
        ("lxc-execute", "--version"),
        ("systemd-nspawn", "--version"),
        ("qemu-system-x86_64", "--version"),
        ("linux.uml", "--version"),
        ("skopeo", "--version"),
        ("umoci", "--version"),
    ];
    let ask = |(program, word): (&str, &str)| {
        let output = Command::new(crate::subject::find(program)?).arg(word).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Some((program.to_owned(), text.lines().next()?.to_owned()))
    };
    asked.into_iter().filter_map(ask).collect()
}
