//! The mounts every container has.

use crate::mounts::Mount;

/// What the place is like where the mounts are made.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// In a user namespace some file systems cannot be made.
    pub in_user_namespace: bool,
    /// Whether group 5 (`tty`) exists inside: in a map of a single user it does not.
    pub has_tty_group: bool,
    /// Whether the network namespace is new: a new sysfs shows, and needs, one's own.
    pub own_network: bool,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: u64,
}

impl Default for Setting {
    /// As real root, with a network of one's own and docker's 64 MiB of shared memory.
    fn default() -> Self {
        Self { in_user_namespace: false, has_tty_group: true, own_network: true, shm_size: 64 << 20 }
    }
}

/// `/proc`, `/dev` and what is in it, `/sys`, as docker has them, in this order.
///
/// Source: OCI runtime specification, config-linux.md, "Default Filesystems".
#[must_use]
pub fn defaults(setting: &Setting) -> Vec<Mount> {
    // A user namespace may mount sysfs only over a network namespace of its own; the host's is bound instead.
    let sys = if setting.in_user_namespace && !setting.own_network {
        mount("/sys", "bind", "/sys", "rbind,nosuid,noexec,nodev,ro")
    } else {
        mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro")
    };
    let group = if setting.has_tty_group { ",gid=5" } else { "" };
    vec![
        mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "devpts", &format!("nosuid,noexec,ptmxmode=0666,mode=0620{group}")),
        sys,
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/dev/shm", "tmpfs", "shm", &format!("nosuid,noexec,nodev,mode=1777,size={}", setting.shm_size)),
    ]
}

fn mount(destination: &str, fs_type: &str, source: &str, options: &str) -> Mount {
    Mount {
        destination: destination.into(),
        fs_type: fs_type.to_owned(),
        source: source.into(),
        options: options.split(',').map(str::to_owned).collect(),
    }
}
