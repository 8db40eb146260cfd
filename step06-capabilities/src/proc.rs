//! What is set by writing to /proc: `--sysctl` and `--oom-score-adj`.
//!
//! Never through the container's own /proc, which an image may have replaced by links (CVE-2025-52881): the child makes a procfs
//! that is mounted nowhere, and writes through its descriptor.

use crate::Error;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::write;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use sys::mount::{FsContext, attr};
use sys::{Errno, Failure, Whilst, fd};

/// Settings that are ready for the child.
#[derive(Debug, Default)]
pub struct ProcSettings(Vec<Setting>);

#[derive(Debug)]
struct Setting {
    /// Below /proc.
    path: CString,
    value: CString,
}

/// Which namespaces the container has to itself: a setting of a shared one would be the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnNamespaces {
    /// System V and POSIX messages, semaphores, shared memory.
    pub ipc: bool,
    /// The network.
    pub network: bool,
    /// Host name and domain name.
    pub uts: bool,
}

impl ProcSettings {
    /// Adds `NAME=VALUE`, docker's `--sysctl`. `/` may separate the name as well as `.` (sysctl(8)).
    ///
    /// # Errors
    /// [`Error::Sysctl`]; [`Error::NotNamespaced`] for what would change the whole machine; [`Error::SharedNamespace`].
    pub fn sysctl(&mut self, text: &str, own: OwnNamespaces) -> Result<(), Error> {
        let refused = || Error::Sysctl(text.to_owned());
        let (name, value) = text.split_once('=').ok_or_else(refused)?;
        let path = path_of(name.trim()).ok_or_else(refused)?;
        let (namespace, is_own) = namespace_of(&path, own).ok_or_else(|| Error::NotNamespaced(name.to_owned()))?;
        if !is_own {
            return Err(Error::SharedNamespace { key: name.to_owned(), namespace });
        }
        self.add(format!("sys/{path}"), value.trim()).ok_or_else(refused)
    }

    /// Sets how likely the kernel ends the container's processes when memory is short: -1000 (never) to 1000.
    ///
    /// # Errors
    /// [`Error::OomScore`].
    pub fn oom_score_adj(&mut self, value: i64) -> Result<(), Error> {
        let in_range = (-1000..=1000).contains(&value).then_some(()).ok_or(Error::OomScore(value));
        in_range
            .and_then(|()| self.add("self/oom_score_adj".to_owned(), &value.to_string()).ok_or(Error::OomScore(value)))
    }

    fn add(&mut self, path: String, value: &str) -> Option<()> {
        self.0.push(Setting { path: CString::new(path).ok()?, value: CString::new(value).ok()? });
        Some(())
    }

    /// Writes them. Child half, in the container's namespaces, before the root changes and while it is still root.
    ///
    /// # Errors
    /// The setting that the kernel refused: EINVAL for the value, ENOENT where it does not exist, EACCES or EPERM for
    /// lowering the OOM score without CAP_SYS_RESOURCE.
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn enter(&self) -> Result<(), Failure<'_>> {
        if self.0.is_empty() {
            return Ok(());
        }
        // /proc/sys shows the namespaces of whoever opens it, so the child has to do it.
        let context = FsContext::open(c"proc").whilst("open a file system for", c"/proc")?;
        let private = attr::NOSUID | attr::NODEV | attr::NOEXEC;
        let proc = context.mount(private).whilst("make the file system for", c"/proc")?;
        for setting in &self.0 {
            setting.write(proc.as_fd()).whilst("write the setting", &setting.path)?;
        }
        Ok(())
    }
}

impl Setting {
    fn write(&self, proc: BorrowedFd<'_>) -> nix::Result<()> {
        let file = fd::open_beneath(proc, &self.path, OFlag::O_WRONLY, Mode::empty())?;
        let value = self.value.to_bytes();
        // The kernel takes the value of one write as a whole.
        if write(&file, value)? == value.len() { Ok(()) } else { Err(Errno::EIO) }
    }
}

/// `net.ipv4.conf.eth0/1.forwarding` and `net/ipv4/conf/eth0.1/forwarding` are the same: the first separator is the separator.
fn path_of(name: &str) -> Option<String> {
    let exchange = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = match name.find(['.', '/']).map(|index| name.as_bytes().get(index)) {
        Some(Some(b'.')) => name.chars().map(exchange).collect(),
        _ => name.to_owned(),
    };
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    (path.contains('/') && path.split('/').all(plain)).then_some(path)
}

/// The namespace that holds a setting, and whether it is our own. Source: OCI runtime specification, config-linux.md, "Sysctl";
/// ipc_namespaces(7), network_namespaces(7), uts_namespaces(7).
fn namespace_of(path: &str, own: OwnNamespaces) -> Option<(&'static str, bool)> {
    const OF_IPC: [&str; 8] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    match path {
        "kernel/domainname" => Some(("UTS", own.uts)),
        path if path.starts_with("net/") => Some(("network", own.network)),
        path if path.starts_with("fs/mqueue/") || OF_IPC.contains(&path) => Some(("IPC", own.ipc)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OWN: OwnNamespaces = OwnNamespaces { ipc: true, network: true, uts: true };

    #[test]
    fn only_settings_of_own_namespaces_are_taken() {
        let mut settings = ProcSettings::default();
        for good in
            ["net.ipv4.ip_forward=1", "net/ipv4/conf/eth0.1/forwarding=1", "kernel.sem=1 2 3 4", "fs.mqueue.msg_max=9"]
        {
            settings.sysctl(good, OWN).unwrap();
        }
        let paths: Vec<_> = settings.0.iter().map(|setting| setting.path.to_str().unwrap()).collect();
        assert_eq!(paths[..2], ["sys/net/ipv4/ip_forward", "sys/net/ipv4/conf/eth0.1/forwarding"]);
        for bad in ["kernel.core_pattern=x", "kernel.hostname=x", "vm.swappiness=1", "kernel.shm=1", "fs.mqueue=1"] {
            assert!(matches!(settings.sysctl(bad, OWN), Err(Error::NotNamespaced(_))), "{bad}");
        }
        for bad in ["net.ipv4.ip_forward", "net=1", "net/../kernel/sysrq=1", "net..x=1", "=1", "net.a\0b=1"] {
            assert!(matches!(settings.sysctl(bad, OWN), Err(Error::Sysctl(_))), "{bad}");
        }
    }

    #[test]
    fn a_setting_of_a_shared_namespace_is_refused() {
        let shared = OwnNamespaces { network: false, ..OWN };
        let error = ProcSettings::default().sysctl("net.ipv4.ip_forward=1", shared).unwrap_err();
        assert!(error.to_string().contains("the network namespace's"), "{error}");
    }

    #[test]
    fn the_oom_score_has_bounds() {
        assert!(ProcSettings::default().oom_score_adj(-1000).is_ok());
        assert!(matches!(ProcSettings::default().oom_score_adj(1001), Err(Error::OomScore(1001))));
    }
}
