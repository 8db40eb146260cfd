//! The mounts every container has.

use crate::mounts::{Kind, Mount};
use sys::mount::attr::{NODEV, NOEXEC, NOSUID, RDONLY, STRICTATIME};

/// What the place is like where the mounts are made.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// In a user namespace: no device can be made, so the host's are bound.
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
        Self {
            in_user_namespace: false,
            has_tty_group: true,
            own_network: true,
            shm_size: 64 << 20,
        }
    }
}

/// `/proc`, `/dev` and what is in it, `/sys`, as docker has them, in this order.
///
/// `devpts` is the file system for `/dev/pts` where the host half has made one already (for a terminal).
/// Source: OCI runtime specification, config-linux.md, "Default Filesystems".
#[must_use]
pub fn defaults(setting: &Setting, devpts: Option<Kind>) -> Vec<Mount> {
    let mut mounts = vec![
        file_system("proc", "/proc", NOSUID | NODEV | NOEXEC, &[]),
        file_system(
            "tmpfs",
            "/dev",
            NOSUID | STRICTATIME,
            &[("mode", "755"), ("size", "65536k")],
        ),
        at("/dev", Kind::DeviceLinks, 0),
        at(
            "/dev/pts",
            devpts.unwrap_or_else(|| devpts_kind(setting)),
            NOSUID | NOEXEC,
        ),
        sys(setting),
        file_system("mqueue", "/dev/mqueue", NOSUID | NODEV | NOEXEC, &[]),
        file_system(
            "tmpfs",
            "/dev/shm",
            NOSUID | NODEV | NOEXEC,
            &[("mode", "1777"), ("size", &setting.shm_size.to_string())],
        ),
    ];
    if setting.in_user_namespace {
        let bound = ["null", "zero", "full", "random", "urandom", "tty"].map(|name| format!("/dev/{name}"));
        mounts.extend(bound.iter().map(|path| at(path, Kind::Bind { source: path.into() }, 0)));
    } else {
        mounts.insert(3, at("/dev", Kind::Devices, 0));
    }
    mounts
}

/// The options of a terminal file system of one's own. Source: Documentation/filesystems/devpts.rst.
#[must_use]
pub fn devpts_options(setting: &Setting) -> Vec<(String, Option<String>)> {
    let mut options = vec![("ptmxmode", Some("0666")), ("mode", Some("0620"))];
    if setting.has_tty_group {
        options.push(("gid", Some("5")));
    }
    let owned = |text: &str| text.to_owned();
    options
        .into_iter()
        .map(|(key, value)| (owned(key), value.map(owned)))
        .collect()
}

fn devpts_kind(setting: &Setting) -> Kind {
    Kind::FileSystem {
        fs_type: "devpts",
        options: devpts_options(setting),
    }
}

fn sys(setting: &Setting) -> Mount {
    let harmless = NOSUID | NODEV | NOEXEC | RDONLY;
    // A user namespace may mount sysfs only over a network namespace of its own; the host's is bound instead.
    if setting.in_user_namespace && !setting.own_network {
        return at("/sys", Kind::Bind { source: "/sys".into() }, harmless);
    }
    file_system("sysfs", "/sys", harmless, &[])
}

fn file_system(fs_type: &'static str, path: &str, attributes: u64, options: &[(&str, &str)]) -> Mount {
    let options = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())))
        .collect();
    at(path, Kind::FileSystem { fs_type, options }, attributes)
}

fn at(path: &str, kind: Kind, attributes: u64) -> Mount {
    Mount {
        kind,
        destination: path.into(),
        attributes,
    }
}
