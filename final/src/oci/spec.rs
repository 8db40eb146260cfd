//! `spec`: a configuration to begin with.

use super::state::SPECIFICATION;
use crate::report::Refusal;
use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::unistd::{getegid, geteuid};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// Write a `config.json` to begin with: a shell in new namespaces.
#[derive(Debug, Args)]
pub(super) struct Spec {
    /// The folder that gets it.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// For an ordinary user: with a user namespace.
    #[arg(long)]
    rootless: bool,
}

impl Spec {
    pub(super) fn run(&self) -> Result<u8> {
        let path = self.bundle.join("config.json");
        let there = || Refusal::new(format!("`{}` exists", path.display())).help("remove it first").code(1);
        ensure!(!path.exists(), there());
        let document = if self.rootless { rootless(document()) } else { document() };
        fs::write(&path, format!("{document:#}\n")).with_context(|| format!("write `{}`", path.display()))?;
        Ok(0)
    }
}

fn document() -> Value {
    let namespaces = of_types(&["pid", "network", "ipc", "uts", "mount", "cgroup"]);
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    json!({
        "ociVersion": SPECIFICATION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": [path, "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "tara",
        "mounts": mounts(),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn of_types(types: &[&str]) -> Value {
    types.iter().map(|kind| json!({ "type": kind })).collect()
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    let closed = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&closed[..], more].concat();
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        mount("/dev/shm", "tmpfs", "shm", &with(&["mode=1777", "size=65536k"])),
        mount("/dev/mqueue", "mqueue", "mqueue", &closed),
        mount("/sys", "sysfs", "sysfs", &with(&["ro"])),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &with(&["relatime", "ro"])),
    ])
}

/// What an ordinary user may have: no network devices of the host's, no group besides his own, no limits.
fn rootless(mut document: Value) -> Value {
    let one = |own: u32| json!([{ "containerID": 0, "hostID": own, "size": 1 }]);
    let linux = &mut document["linux"];
    linux["resources"] = json!({});
    linux["uidMappings"] = one(geteuid().as_raw());
    linux["gidMappings"] = one(getegid().as_raw());
    linux["namespaces"] = of_types(&["pid", "ipc", "uts", "mount", "cgroup", "user"]);
    let Some(mounts) = document["mounts"].as_array_mut() else { return document };
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    for mount in mounts {
        if mount["destination"] == "/dev/pts" {
            mount["options"] = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
        }
        if mount["destination"] == "/sys" {
            *mount = json!({
                "destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
            });
        }
    }
    document
}
