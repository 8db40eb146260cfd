//! What can go wrong, and what to do about it.

use nix::errno::Errno;
use std::ffi::CStr;
use std::path::PathBuf;
use sys::failure::describe;

/// Why privileges cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum Error {
    #[error("user `{0}` is not in the image's /etc/passwd")]
    NoSuchUser(String),
    #[error("group `{0}` is not in the image's /etc/group")]
    NoSuchGroup(String),
    #[error("`{0}` is no user: neither a name nor a decimal number below 2147483648")]
    Malformed(String),
    #[error("the image's {file}: {why}")]
    Unreadable { file: &'static str, why: String },

    #[error("`{name}` is no capability{}", .nearest.map(instead).unwrap_or_default())]
    Capability { name: String, nearest: Option<&'static CStr> },
    #[error("the running kernel does not have `{}`", .0.to_string_lossy())]
    NotInKernel(&'static CStr),
    #[error("/proc/sys/kernel/cap_last_cap: {0}")]
    LastCapability(String),

    #[error("seccomp profile{}: {}", .file.as_ref().map(|file| format!(" `{}`", file.display())).unwrap_or_default(), .why)]
    Profile { file: Option<PathBuf>, why: String },
    #[error("seccomp profile: a filter of {0} instructions, and the kernel takes 4096")]
    TooLarge(usize),
    #[error("seccomp: there is no table of this processor's system calls here")]
    NoTable,

    #[error("`{0}` is no path below `/`")]
    Path(PathBuf),
    #[error("`{0}` is no limit")]
    Limit(String),
    #[error("`{0}` is no setting")]
    Sysctl(String),
    #[error("the setting `{0}` is the whole machine's: no namespace has one of its own")]
    NotNamespaced(String),
    #[error("the setting `{key}` is the {namespace} namespace's, and the container shares the host's")]
    SharedNamespace { key: String, namespace: &'static str },
    #[error("`{0}` is no OOM score adjustment")]
    OomScore(i64),
    #[error("{doing}: {}", describe(*.errno))]
    System { doing: &'static str, errno: Errno },
}

fn instead(name: &CStr) -> String {
    format!("; `{}` is", name.to_string_lossy())
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoSuchUser(_) | Self::NoSuchGroup(_) => {
                "name one that is, or give its number: a number needs no entry"
            }
            Self::Malformed(_) => "write USER, UID, USER:GROUP or UID:GID, for example `1000:1000`",
            Self::Unreadable { .. } => "the image is broken or hostile; `-u` with numbers alone does not repair it",
            Self::Capability { .. } => "the names are in capabilities(7), with or without `CAP_`; `ALL` is all of them",
            Self::NotInKernel(_) => "leave it out; a newer kernel has it",
            Self::LastCapability(_) | Self::System { .. } => "is /proc mounted? See proc(5)",
            Self::Profile { .. } | Self::TooLarge(_) => {
                "the format is that of docker's default.json; `seccomp=unconfined` goes without a filter"
            }
            Self::NoTable => "x86-64 and 64-bit Arm have one; `seccomp=unconfined` goes without a filter",
            Self::Path(_) => "write the path as the container sees it, for example `/proc/kcore`",
            Self::Limit(_) => "write NAME=SOFT[:HARD], for example `nofile=1024:4096`; -1 or `unlimited` is no limit",
            Self::Sysctl(_) => "write NAME=VALUE, for example `net.ipv4.ip_forward=1`",
            Self::NotNamespaced(_) => {
                "net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm* and kernel.domainname can be set for a container"
            }
            Self::SharedNamespace { .. } => "set it on the host, or give the container a namespace of its own",
            Self::OomScore(_) => "it goes from -1000 to 1000",
        }
    }
}
