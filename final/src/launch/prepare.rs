//! The host half: everything that can fail with a good message, and all the memory that the child half will need.

use super::Launch;
use crate::network::{Begun, Ready};
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use step01_chroot::Program;
use step02_pid_ns::{Hostname, Namespaces};
use step03_mount_overlay::{Mount, Mounts, Terminal};
use step06_capabilities::User;

/// Everything the child half uses, made before the clone.
#[derive(Debug)]
pub struct Prepared {
    pub(super) namespaces: Namespaces,
    /// A network namespace that is there already.
    pub(super) network: Option<Ready>,
    pub(super) terminal: Option<Terminal>,
    /// What becomes the program's 0, 1 and 2 where it gets no terminal; `None` is ours.
    pub(super) stdio: [Option<OwnedFd>; 3],
    pub(super) hostname: Option<Hostname>,
    pub(super) mounts: Mounts,
    pub(super) read_only: bool,
    pub(super) workdir: CString,
    pub(super) user: User,
    pub(super) may_set_groups: bool,
    pub(super) program: Program,
}

impl Prepared {
    /// Lays out what the specification says.
    ///
    /// # Errors
    /// What it asks for and cannot be had.
    pub fn new(launch: &Launch<'_>, network: Option<Begun>, stdio: [Option<OwnedFd>; 3]) -> Result<Self> {
        let spec = launch.spec;
        let process = spec.process().as_ref().context("the specification has no process")?;
        let mounts = mounts(spec);
        let terminal = process.terminal().unwrap_or(false).then(|| terminal(&mounts)).transpose()?;
        let own_devices = !launch.privilege.in_user_namespace;
        let workdir = process.cwd();
        let mut stdio = stdio;
        if terminal.is_none() && stdio[0].is_none() && !launch.interactive {
            stdio[0] = Some(no_input()?);
        }
        let network = network.map(Begun::ready).transpose()?;
        let made = if network.is_some() { Namespaces::NETWORK } else { Namespaces::NONE };
        Ok(Self {
            namespaces: namespaces(spec)? - made,
            network,
            stdio,
            hostname: spec.hostname().as_deref().map(Hostname::new).transpose()?,
            mounts: Mounts::prepare(&mounts, own_devices, terminal.as_ref(), workdir)?,
            terminal,
            read_only: spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
            workdir: CString::new(workdir.as_os_str().as_encoded_bytes()).context("the working directory")?,
            user: user_of(process),
            may_set_groups: launch.privilege.has_many_users,
            program: program(process)?,
        })
    }
}

fn program(process: &Process) -> Result<Program> {
    let command = process.args().clone().unwrap_or_default();
    Ok(Program::new(&command, process.env().as_deref().unwrap_or_default())?)
}

/// The user of a specification's process.
pub(crate) fn user_of(process: &Process) -> User {
    let user = process.user();
    User {
        uid: Uid::from_raw(user.uid()),
        gid: Gid::from_raw(user.gid()),
        groups: user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect(),
        home: String::new(),
    }
}

fn mounts(spec: &Spec) -> Vec<Mount> {
    let of_spec = |mount: &oci_spec::runtime::Mount| Mount {
        destination: mount.destination().clone(),
        fs_type: mount.typ().clone().unwrap_or_default(),
        source: mount.source().clone().unwrap_or_default(),
        options: mount.options().clone().unwrap_or_default(),
    };
    spec.mounts().iter().flatten().map(of_spec).collect()
}

fn terminal(mounts: &[Mount]) -> Result<Terminal> {
    let devpts = mounts.iter().find(|mount| mount.fs_type == "devpts");
    let devpts = devpts.context("a terminal needs a devpts among the mounts")?;
    Ok(Terminal::create(&devpts.options)?)
}

fn no_input() -> Result<OwnedFd> {
    open(c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).context("open `/dev/null`")
}

fn namespaces(spec: &Spec) -> Result<Namespaces> {
    let mut set = Namespaces::NONE;
    for namespace in spec.linux().iter().filter_map(|linux| linux.namespaces().as_ref()).flatten() {
        set |= match namespace.typ() {
            LinuxNamespaceType::Mount => Namespaces::MOUNT,
            LinuxNamespaceType::Pid => Namespaces::PID,
            LinuxNamespaceType::Ipc => Namespaces::IPC,
            LinuxNamespaceType::Uts => Namespaces::UTS,
            LinuxNamespaceType::Cgroup => Namespaces::CGROUP,
            LinuxNamespaceType::Network => Namespaces::NETWORK,
            other => anyhow::bail!("a namespace of the kind `{other}` is not supported"),
        };
    }
    Ok(set)
}
