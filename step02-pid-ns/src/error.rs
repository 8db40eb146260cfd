//! What can go wrong, and what to do about it.

use crate::Namespaces;
use crate::report::Words;
use nix::errno::Errno;
use nix::sys::wait::WaitStatus;
use std::fs;
use sys::failure::describe;

/// Why a process in new namespaces does not run, or cannot be followed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum Error {
    #[error("there is no namespace called `{0}`")]
    UnknownNamespace(String),
    #[error("`{0}` is no host name")]
    Hostname(String),
    #[error("channel for the child's report: {}", describe(*.0))]
    Channel(Errno),
    #[error("new process in new namespaces ({namespaces}): {}", describe(*.errno))]
    Clone { namespaces: String, errno: Errno, obstacle: Option<&'static str> },
    #[error("user map through `{what}`: {error}")]
    UserMap { what: String, error: std::io::Error },
    /// A call of the child half failed.
    #[error("{}{}: {}", doing, quoted(.on), describe(*.errno))]
    ChildHalf { doing: String, on: String, errno: Errno },
    /// execve refused. `step01_chroot::Error::of_execute` explains it.
    #[error("{} `{on}`: {}", doing, describe(*.errno))]
    Execute { doing: String, on: String, errno: Errno },
    #[error("the process ended before it became the program{}", .0.map(ended).unwrap_or_default())]
    Died(Option<WaitStatus>),
    #[error("signals: {}", describe(*.0))]
    Signal(Errno),
    #[error("wait for the process: {}", describe(*.0))]
    Wait(Errno),
}

impl Error {
    pub(crate) fn clone(namespaces: Namespaces, errno: Errno) -> Self {
        let obstacle = obstacle(namespaces, errno);
        let names: Vec<_> = namespaces.names().collect();
        Self::Clone { namespaces: names.join(", "), errno, obstacle }
    }

    pub(crate) fn child_half((errno, doing, on): Words<'_>) -> Self {
        Self::ChildHalf { doing: text(doing), on: text(on), errno }
    }

    pub(crate) fn execute((errno, doing, on): Words<'_>) -> Self {
        Self::Execute { doing: text(doing), on: text(on), errno }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::UnknownNamespace(_) => Some("the names are pid, mnt, uts, ipc, net, cgroup, user, time"),
            Self::Hostname(_) => Some("use 1 to 63 letters, digits and dashes, for example `web-1`"),
            Self::Clone { obstacle, .. } => *obstacle,
            Self::UserMap { .. } => Some("check the line of this user in /etc/subuid and /etc/subgid (subuid(5))"),
            _ => None,
        }
    }
}

/// What on this machine forbids it, by the switch that does.
fn obstacle(namespaces: Namespaces, errno: Errno) -> Option<&'static str> {
    let switch = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let is = |path: &str, value: &str| switch(path).as_deref() == Some(value);
    match errno {
        Errno::EPERM if !namespaces.contains(Namespaces::USER) => {
            Some("new namespaces need root (CAP_SYS_ADMIN): use sudo, or a user namespace (`--user`)")
        }
        Errno::EPERM | Errno::EACCES if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") => Some(
            "AppArmor forbids user namespaces here: \
             sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run it as root",
        ),
        Errno::EPERM if is("/proc/sys/kernel/unprivileged_userns_clone", "0") => {
            Some("user namespaces are switched off here: sudo sysctl kernel.unprivileged_userns_clone=1")
        }
        Errno::ENOSPC | Errno::EUSERS | Errno::EPERM if is("/proc/sys/user/max_user_namespaces", "0") => {
            Some("user namespaces are switched off here: sudo sysctl user.max_user_namespaces=10000")
        }
        Errno::ENOSPC | Errno::EUSERS => Some("a limit in /proc/sys/user is reached, or namespaces are nested 32 deep"),
        Errno::EPERM => {
            Some("user namespaces are forbidden to this process (a chroot, or a seccomp filter of a container)")
        }
        Errno::ENOSYS => Some("clone3 needs Linux 5.3 or newer, and no seccomp filter that denies it"),
        Errno::EINVAL => Some("this kernel lacks one of these kinds of namespaces: see `ls /proc/self/ns`"),
        _ => None,
    }
}

pub(crate) fn ended(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!(": exit code {code}"),
        WaitStatus::Signaled(_, signal, _) => format!(": killed by {signal}"),
        _ => String::new(),
    }
}

fn quoted(on: &str) -> String {
    if on.is_empty() { String::new() } else { format!(" `{on}`") }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
