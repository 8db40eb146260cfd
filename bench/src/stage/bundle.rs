//! OCI bundles: the same container as `tara` makes, for the runtimes that others use.

use super::Stage;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use step06_capabilities::{Capabilities, Profile};

/// What a bundle holds besides the mounts, the masked paths and the capabilities that docker gives.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bundle {
    /// docker's filter of system calls.
    pub(crate) seccomp: bool,
    /// A list of devices and limits.
    pub(crate) limits: bool,
    /// A namespace of networks.
    pub(crate) network: bool,
    /// Whether the program stays until it is killed.
    pub(crate) pause: bool,
}

impl Bundle {
    /// Writes the folder `name` with its `config.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(self, stage: &Stage, name: &str) -> Result<PathBuf> {
        let folder = stage.folder(&format!("bundles/{name}"))?;
        let text = serde_json::to_string_pretty(&self.config(stage)?)?;
        fs::write(folder.join("config.json"), text).with_context(|| format!("write `{}`", folder.display()))?;
        Ok(folder)
    }

    fn config(self, stage: &Stage) -> Result<Value> {
        let capabilities: Vec<String> = DOCKER.iter().map(|name| format!("CAP_{name}")).collect();
        let arguments: &[&str] = if self.pause { &["/bin/program", "pause"] } else { &["/bin/program"] };
        let mut namespaces = vec!["mount", "pid", "uts", "ipc", "cgroup"];
        namespaces.extend(self.network.then_some("network"));
        let namespaces: Vec<Value> = namespaces.into_iter().map(|kind| json!({ "type": kind })).collect();
        let mut linux = json!({
            "namespaces": namespaces,
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        });
        if self.limits {
            linux["resources"] = json!({
                "devices": [{ "allow": false, "access": "rwm" }],
                "memory": { "limit": 268_435_456 }, "pids": { "limit": 512 }, "cpu": { "quota": 150_000, "period": 100_000 },
            });
        }
        if self.seccomp {
            linux["seccomp"] = serde_json::to_value(Profile::standard()?.plain(Capabilities::docker())?)?;
        }
        Ok(json!({
            "ociVersion": "1.0.2",
            "root": { "path": stage.rootfs, "readonly": false },
            "hostname": "bench",
            "process": {
                "terminal": false, "user": { "uid": 0, "gid": 0 }, "args": arguments, "cwd": "/",
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
                "noNewPrivileges": true,
            },
            "mounts": mounts(),
            "linux": linux,
        }))
    }
}

/// The names of docker's 14 capabilities. Source: docker's documentation, "Runtime privilege and Linux capabilities".
const DOCKER: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

fn mounts() -> Value {
    let mount = |at: &str, kind: &str, options: &[&str]| json!({ "destination": at, "type": kind, "source": kind, "options": options });
    json!([
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ])
}
