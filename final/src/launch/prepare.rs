//! The host half: everything that can fail with a good message, and all the memory that the child half will need.

use super::Launch;
use super::attributes::Attributes;
use super::gate::{Barrier, Gated};
use super::privileges::{limits, masked, privileges, settings};
use crate::cgroup;
use crate::network::{Begun, Ready, open_namespace};
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, LinuxNamespace, LinuxNamespaceType, Process, Spec};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use step01_chroot::Program;
use step02_pid_ns::{Hostname, Namespaces};
use step03_mount_overlay::{Device, Mount, Mounts, Terminal};
use step05_cgroups::Cgroup;
use step06_capabilities::{Limits, MaskedPaths, Privileges, ProcSettings, User};

/// Everything the child half uses, made before the clone.
#[derive(Debug)]
pub struct Prepared {
    pub(super) namespaces: Namespaces,
    /// Namespaces that others have made, besides the network's; not the PID namespace, which only children enter.
    pub(super) joined: Vec<(OwnedFd, CloneFlags)>,
    /// The PID namespace of another container.
    pub(super) pids: Option<OwnedFd>,
    /// A network namespace that is there already.
    pub(super) network: Option<Ready>,
    pub(crate) terminal: Option<Terminal>,
    /// What becomes the program's 0, 1 and 2 where it gets no terminal; `None` is ours.
    pub(super) stdio: [Option<OwnedFd>; 3],
    pub(super) hostname: Option<Hostname>,
    pub(super) mounts: Mounts,
    pub(super) read_only: bool,
    pub(super) workdir: CString,
    /// Its share of the machine; `None` where it has none of its own.
    pub(super) cgroup: Option<Cgroup>,
    /// Whether the cgroups are the root of what it sees of them.
    pub(super) own_cgroups: bool,
    pub(super) settings: ProcSettings,
    pub(super) masked: MaskedPaths,
    pub(super) limits: Limits,
    pub(super) privileges: Privileges,
    pub(super) program: Gated,
    pub(super) attributes: Attributes,
    pub(super) barrier: Option<Arc<Barrier>>,
    /// Whether it ends with this process.
    pub(super) dies_with_parent: bool,
}

impl Prepared {
    /// Lays out what the specification says.
    ///
    /// # Errors
    /// What it asks for and cannot be had.
    pub fn new(launch: &mut Launch<'_>, stdio: [Option<OwnedFd>; 3]) -> Result<Self> {
        let (network, gate) = (launch.network.take(), launch.gate.take());
        let waits = gate.is_some();
        let spec = launch.spec;
        let process = spec.process().as_ref().context("the specification has no process")?;
        let cgroup = cgroup::create(spec, launch.privilege)?;
        let mounts = mounts(spec, cgroup.as_ref());
        let terminal = process.terminal().unwrap_or(false).then(|| terminal(&mounts)).transpose()?;
        let own_devices = !launch.privilege.in_user_namespace;
        let workdir = process.cwd();
        let mut stdio = stdio;
        if terminal.is_none() && stdio[0].is_none() && !launch.interactive {
            stdio[0] = Some(no_input()?);
        }
        let Others { network: of_another, joined, pids } = Others::open(spec)?;
        let network = network.map(Begun::ready).transpose()?.or(of_another.map(Ready::Namespace));
        let made = if network.is_some() { Namespaces::NETWORK } else { Namespaces::NONE };
        let all = namespaces(spec)?;
        let may_set_groups = launch.privilege.has_many_users;
        let devices = if own_devices { devices(spec)? } else { Vec::new() };
        Ok(Self {
            // Made by clone3 a namespace of cgroups would be rooted where we are: the child makes it, when it is in its own.
            namespaces: all - made - Namespaces::CGROUP,
            own_cgroups: all.contains(Namespaces::CGROUP),
            settings: settings(spec, process)?,
            masked: masked(spec)?,
            limits: limits(process)?,
            privileges: privileges(spec, process, user_of(process), may_set_groups)?,
            cgroup,
            joined,
            pids,
            network,
            stdio,
            hostname: spec.hostname().as_deref().map(Hostname::new).transpose()?,
            mounts: Mounts::prepare(&mounts, own_devices, terminal.as_ref(), workdir)?.with_devices(&devices)?,
            terminal,
            read_only: spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
            workdir: CString::new(workdir.as_os_str().as_encoded_bytes()).context("the working directory")?,
            program: Gated { program: program(process)?, gate },
            attributes: Attributes::new(spec, process, launch.new_keyring)?,
            barrier: launch.barrier.clone(),
            dies_with_parent: !waits,
        })
    }

    /// What is left of it for whoever shows the program's terminal.
    pub(crate) fn into_terminal(self) -> Option<Terminal> {
        self.terminal
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

/// Those of the specification that not every container has.
fn devices(spec: &Spec) -> Result<Vec<Device>> {
    let device = |device: &LinuxDevice| {
        let number = |number: i64| u64::try_from(number).context("the number of a device");
        Ok(Device {
            path: device.path().clone(),
            block: device.typ() == LinuxDeviceType::B,
            major: number(device.major())?,
            minor: number(device.minor())?,
            mode: device.file_mode().unwrap_or(0o666),
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        })
    };
    let of_spec = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    of_spec.into_iter().flatten().map(device).collect()
}

fn mounts(spec: &Spec, cgroup: Option<&Cgroup>) -> Vec<Mount> {
    let of_spec = |mount: &oci_spec::runtime::Mount| Mount {
        destination: mount.destination().clone(),
        fs_type: mount.typ().clone().unwrap_or_default(),
        source: mount.source().clone().unwrap_or_default(),
        options: mount.options().clone().unwrap_or_default(),
    };
    let here = |mount: Mount| if mount.fs_type == "cgroup" { cgroup::mounts(&mount, cgroup) } else { vec![mount] };
    spec.mounts().iter().flatten().map(of_spec).flat_map(here).collect()
}

fn terminal(mounts: &[Mount]) -> Result<Terminal> {
    let devpts = mounts.iter().find(|mount| mount.fs_type == "devpts");
    let devpts = devpts.context("a terminal needs a devpts among the mounts")?;
    Ok(Terminal::create(&devpts.options)?)
}

fn no_input() -> Result<OwnedFd> {
    open(c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).context("open `/dev/null`")
}

fn all_namespaces(spec: &Spec) -> impl Iterator<Item = &LinuxNamespace> {
    spec.linux().iter().filter_map(|linux| linux.namespaces().as_ref()).flatten()
}

/// Namespaces that the specification names by path. Source: OCI runtime specification, config-linux.md, "Namespaces".
#[derive(Default)]
struct Others {
    network: Option<OwnedFd>,
    joined: Vec<(OwnedFd, CloneFlags)>,
    pids: Option<OwnedFd>,
}

impl Others {
    fn open(spec: &Spec) -> Result<Self> {
        let mut others = Self::default();
        for namespace in all_namespaces(spec) {
            let Some(path) = namespace.path() else { continue };
            let opened = open_namespace(path);
            let opened = opened.with_context(|| format!("open the namespace `{}`", path.display()))?;
            match namespace.typ() {
                LinuxNamespaceType::Network => others.network = Some(opened),
                LinuxNamespaceType::Pid => others.pids = Some(opened),
                LinuxNamespaceType::Ipc => others.joined.push((opened, CloneFlags::CLONE_NEWIPC)),
                LinuxNamespaceType::Uts => others.joined.push((opened, CloneFlags::CLONE_NEWUTS)),
                LinuxNamespaceType::Cgroup => others.joined.push((opened, CloneFlags::CLONE_NEWCGROUP)),
                other => anyhow::bail!("to join a namespace of the kind `{other}` is not supported"),
            }
        }
        Ok(others)
    }
}

fn namespaces(spec: &Spec) -> Result<Namespaces> {
    let mut set = Namespaces::NONE;
    for namespace in all_namespaces(spec).filter(|namespace| namespace.path().is_none()) {
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
