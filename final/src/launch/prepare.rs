//! The host half: everything that can fail with a good message, and all the memory that the child half will need.

use super::Launch;
use super::attributes::Attributes;
use super::gate::{Barrier, Gated, Handover};
use super::privileges::{limits, masked, privileges, settings};
use crate::cgroup;
use crate::network::{Begun, Ready, open_namespace};
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceType, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, LinuxTimeOffset, Process, Spec,
};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use step01_chroot::Program;
use step02_pid_ns::user::open_new;
use step02_pid_ns::{Hostname, Namespaces, UserMap};
use step03_mount_overlay::{Device, DeviceFile, MappedMount, Mount, Mounts, Surroundings, Terminal};
use step05_cgroups::Cgroup;
use step06_capabilities::{Limits, MaskedPaths, Privileges, ProcSettings, User};

/// Source: linux/sched.h. The flags of nix leave it out.
const CLONE_NEWTIME: i32 = 0x80;

/// Everything the child half uses, made before the clone.
#[derive(Debug)]
pub struct Prepared {
    pub(super) namespaces: Namespaces,
    /// Namespaces that others have made, besides the network's; not the PID namespace, which only children enter.
    pub(super) joined: Vec<(OwnedFd, CloneFlags)>,
    /// The PID namespace of another container.
    pub(super) pids: Option<OwnedFd>,
    /// The users of a user namespace of its own.
    pub(super) user_map: Option<UserMap>,
    /// A time namespace of its own, and the lines of its offsets; the child makes it, because offsets are set from inside.
    pub(super) own_time: Option<Vec<u8>>,
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
    pub(super) uid: Uid,
    pub(super) program: Gated,
    pub(super) attributes: Attributes,
    pub(super) barrier: Option<Arc<Barrier>>,
    pub(super) listener: Option<Arc<Handover>>,
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
        let cgroup = cgroup::create(spec, launch.privilege, waits)?;
        let (places, mounts) = mounts(spec, cgroup.as_ref());
        let terminal = process.terminal().unwrap_or(false).then(|| terminal(&mounts, spec)).transpose()?;
        let user_map = user_map(spec)?;
        let surroundings = Surroundings {
            own_devices: !launch.privilege.in_user_namespace && user_map.is_none(),
            own_users: user_map.is_some(),
            root: launch.root_path,
            mapped: mapped_mounts(spec, &places, user_map.as_ref())?,
            made: launch.shared_memory.as_ref().map(|mount| (Path::new("/dev/shm"), mount.as_fd())),
        };
        let workdir = process.cwd();
        let mut stdio = stdio;
        if terminal.is_none() && stdio[0].is_none() && !launch.interactive {
            stdio[0] = Some(no_input()?);
        }
        let Others { network: of_another, joined, pids } = Others::open(spec)?;
        let network = network.map(Begun::ready).transpose()?.or(of_another.map(Ready::Namespace));
        let is_made = network.as_ref().is_some_and(Ready::is_made);
        let made = if is_made { Namespaces::NETWORK } else { Namespaces::NONE };
        let all = namespaces(spec)?;
        let may_set_groups = launch.privilege.has_many_users;
        // Rootless nobody has asked for any: those of the specification are for real root.
        let devices = if launch.privilege.in_user_namespace { Vec::new() } else { devices(spec)? };
        Ok(Self {
            // Made by clone3 a namespace of cgroups would be rooted where we are: the child makes it, when it is in its own.
            namespaces: all - made - Namespaces::CGROUP - Namespaces::TIME,
            own_time: all.contains(Namespaces::TIME).then(|| time_offsets(spec)),
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
            mounts: Mounts::prepare_in(&mounts, &surroundings, terminal.as_ref(), workdir)?
                .with_devices(&devices, &surroundings)?,
            user_map,
            terminal,
            read_only: spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
            workdir: CString::new(workdir.as_os_str().as_encoded_bytes()).context("the working directory")?,
            program: Gated { program: program(process)?, gate },
            uid: Uid::from_raw(process.user().uid()),
            attributes: Attributes::new(spec, process, launch.new_keyring)?,
            barrier: launch.barrier.clone(),
            listener: launch.listener.clone(),
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
            kind: match device.typ() {
                LinuxDeviceType::B => DeviceFile::Block,
                LinuxDeviceType::P => DeviceFile::Fifo,
                _ => DeviceFile::Character,
            },
            major: number(device.major())?,
            minor: number(device.minor())?,
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        })
    };
    let of_spec = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    of_spec.into_iter().flatten().map(device).collect()
}

/// What is mounted, and the place in the specification that each comes from: one of cgroups may become several.
fn mounts(spec: &Spec, cgroup: Option<&Cgroup>) -> (Vec<usize>, Vec<Mount>) {
    let of_spec = |mount: &oci_spec::runtime::Mount| Mount {
        destination: mount.destination().clone(),
        fs_type: mount.typ().clone().unwrap_or_default(),
        source: mount.source().clone().unwrap_or_default(),
        options: mount.options().clone().unwrap_or_default(),
    };
    // Without a namespace of cgroups the file system shows the host's, so the container's own folders are bound.
    let own = all_namespaces(spec).any(|namespace| namespace.typ() == LinuxNamespaceType::Cgroup);
    let here = |mount: Mount| match mount.fs_type.as_str() {
        "cgroup" | "cgroup2" if !mount.options.iter().any(|option| option == "bind" || option == "rbind") => {
            cgroup::mounts(&mount, cgroup, own)
        }
        _ => vec![mount],
    };
    let all = spec.mounts().iter().flatten().map(of_spec).enumerate();
    all.flat_map(|(place, mount)| here(mount).into_iter().map(move |mount| (place, mount))).unzip()
}

/// The terminal is made outside: its file system gets the numbers that the container's users have there.
fn terminal(mounts: &[Mount], spec: &Spec) -> Result<Terminal> {
    let devpts = mounts.iter().find(|mount| mount.fs_type == "devpts");
    let devpts = devpts.context("a terminal needs a devpts among the mounts")?;
    let linux = spec.linux().as_ref();
    let (uids, gids) =
        (linux.and_then(|linux| linux.uid_mappings().as_ref()), linux.and_then(|linux| linux.gid_mappings().as_ref()));
    if uids.is_none_or(Vec::is_empty) {
        return Ok(Terminal::create(&devpts.options)?);
    }
    let outside = |option: &String| match option.split_once('=') {
        Some(("uid", number)) => format!("uid={}", outside(uids, number.parse().unwrap_or(0))),
        Some(("gid", number)) => format!("gid={}", outside(gids, number.parse().unwrap_or(0))),
        _ => option.clone(),
    };
    let terminal = Terminal::create(&devpts.options.iter().map(outside).collect::<Vec<_>>())?;
    let root = Uid::from_raw(self::outside(uids, 0));
    nix::unistd::fchown(&terminal.device, Some(root), None).context("give the terminal to the container's root")?;
    Ok(terminal)
}

/// What a number of the container is outside of its user namespace; one that is not there is the kernel's `nobody`.
fn outside(mappings: Option<&Vec<LinuxIdMapping>>, number: u32) -> u32 {
    let of = |mapping: &LinuxIdMapping| {
        let offset = number.checked_sub(mapping.container_id())?;
        (offset < mapping.size()).then(|| mapping.host_id() + offset)
    };
    mappings.into_iter().flatten().find_map(of).unwrap_or(65534)
}

/// Who exists in a user namespace of the container's own.
fn user_map(spec: &Spec) -> Result<Option<UserMap>> {
    let is_new = |namespace: &LinuxNamespace| namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none();
    if !all_namespaces(spec).any(is_new) {
        return Ok(None);
    }
    let linux = spec.linux().as_ref().context("the specification has no part for Linux")?;
    Ok(Some(given(linux.uid_mappings().as_deref(), linux.gid_mappings().as_deref())))
}

fn given(uids: Option<&[LinuxIdMapping]>, gids: Option<&[LinuxIdMapping]>) -> UserMap {
    let lines = |list: Option<&[LinuxIdMapping]>| {
        let line = |mapping: &LinuxIdMapping| [mapping.container_id(), mapping.host_id(), mapping.size()];
        list.unwrap_or_default().iter().map(line).collect()
    };
    UserMap::Given { uids: lines(uids), gids: lines(gids) }
}

/// Mounts with `idmap`, each with a user namespace that says how: its own mappings, or the container's.
fn mapped_mounts(spec: &Spec, places: &[usize], of_container: Option<&UserMap>) -> Result<Vec<MappedMount>> {
    let mut mapped = Vec::new();
    for (place, mount) in spec.mounts().iter().flatten().enumerate() {
        let asked = mount.options().iter().flatten().any(|option| option == "idmap" || option == "ridmap");
        let own = mount.uid_mappings().as_ref().is_some_and(|list| !list.is_empty());
        let map =
            if own { Some(given(mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref())) } else { None };
        let Some(map) = map.as_ref().or(of_container.filter(|_| asked)) else {
            anyhow::ensure!(!asked, "mounts[{place}].uidMappings: `idmap` needs mappings, or a user namespace");
            continue;
        };
        let Some(index) = places.iter().position(|of| *of == place) else { continue };
        mapped.push(MappedMount { index, users: open_new(map)? });
    }
    Ok(mapped)
}

/// `linux.timeOffsets` as the kernel takes them. Source: time_namespaces(7), "/proc/PID/timens_offsets".
fn time_offsets(spec: &Spec) -> Vec<u8> {
    let offsets = spec.linux().as_ref().and_then(|linux| linux.time_offsets().as_ref());
    let line = |(clock, offset): (&String, &LinuxTimeOffset)| {
        format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0))
    };
    offsets.into_iter().flatten().map(line).collect::<String>().into_bytes()
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
            let Some(path) = namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty()) else { continue };
            let opened = open_namespace(path);
            let opened = opened.with_context(|| format!("open the namespace `{}`", path.display()))?;
            match namespace.typ() {
                LinuxNamespaceType::Network => others.network = Some(opened),
                LinuxNamespaceType::Pid => others.pids = Some(opened),
                LinuxNamespaceType::Ipc => others.joined.push((opened, CloneFlags::CLONE_NEWIPC)),
                LinuxNamespaceType::Uts => others.joined.push((opened, CloneFlags::CLONE_NEWUTS)),
                LinuxNamespaceType::Time => others.joined.push((opened, CloneFlags::from_bits_retain(CLONE_NEWTIME))),
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
            LinuxNamespaceType::User => Namespaces::USER,
            LinuxNamespaceType::Time => Namespaces::TIME,
            #[allow(unreachable_patterns, reason = "there may be more one day")]
            other => anyhow::bail!("a namespace of the kind `{other}` is not supported"),
        };
    }
    Ok(set)
}
