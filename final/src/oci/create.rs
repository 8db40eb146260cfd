//! `create` and `run`: the same launch as `tara run`'s, with a gate before the program.

use super::bundle::Bundle;
use super::hooks::{Stage, barrier, run_hooks};
use super::state::{Folder, Process, SPECIFICATION, Saved, owner_of};
use super::{console, gate, net_devices};
use crate::cgroup;
use crate::launch::{Handover, Launch, Started, set_console_size, start};
use crate::network::Begun;
use crate::report::Refusal;
use crate::rootless::Privilege;
use crate::spec::with_default_devices;
use anyhow::{Context, Result, ensure};
use clap::Args;
use jiff::Timestamp;
use nix::libc::SIGKILL;
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxNamespaceType, Process as SpecProcess, Spec};
use serde_json::json;
use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use step02_pid_ns::Running;
use step03_mount_overlay::RootDirectory;
use step05_cgroups::DEFAULT_PARENT;
use step06_capabilities::User;

/// Make a container from a bundle; its program waits for `start`.
#[derive(Debug, Clone, Args)]
pub(super) struct Create {
    /// The bundle [default: the working directory].
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Another configuration than the bundle's `config.json`.
    #[arg(short = 'f', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A unix socket that gets the master of the program's terminal.
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// A unix socket that gets the descriptor of the first process.
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// A file that gets the number of the first process.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// How many descriptors after 0, 1 and 2 the program gets too.
    #[arg(long, value_name = "N", default_value = "0")]
    preserve_fds: u32,
    /// Not supported: a root that is not pivoted into can be left.
    #[arg(long)]
    no_pivot: bool,
    /// Keep the caller's keyring of the session.
    #[arg(long)]
    no_new_keyring: bool,
    /// The container's id.
    id: String,
}

/// A container whose program waits, and its first process.
pub(super) struct Created {
    pub(super) folder: Folder,
    pub(super) saved: Saved,
    pub(super) spec: Spec,
    pub(super) running: Running,
    /// The master of the terminal, for whoever stays.
    pub(super) terminal: Option<step03_mount_overlay::Terminal>,
}

impl Create {
    pub(super) fn run(&self, root: &Path, no_cgroup: bool) -> Result<u8> {
        self.create(root, no_cgroup, false).map(|_| 0)
    }

    /// Makes the container; `attended` when somebody stays to show its terminal.
    pub(super) fn create(&self, root: &Path, no_cgroup: bool, attended: bool) -> Result<Created> {
        ensure!(!self.no_pivot, Refusal::new("`--no-pivot` is not supported: its root can be left").code(1));
        let mut bundle = Bundle::read(&self.bundle, self.config.as_deref())?;
        console::check(&bundle.spec, self.console_socket.as_deref(), attended)?;
        prepare_spec(&mut bundle, &self.id, no_cgroup)?;
        let folder = Folder::create(root, &self.id)?;
        match self.fill(&folder, bundle) {
            Ok(created) => Ok(created),
            Err(error) => {
                // What failed first is what the caller has to know.
                let _what_stays = undo(&folder);
                Err(error)
            }
        }
    }

    fn fill(&self, folder: &Folder, bundle: Bundle) -> Result<Created> {
        let mut saved = saved(folder, &bundle);
        fs::write(folder.configuration(), &bundle.text).context("keep the configuration")?;
        folder.save(&saved)?;
        let privilege = Privilege::acquire()?;
        let network = begin_network(&bundle.spec)?;
        let (spec, rootfs) = (bundle.spec, RootDirectory::prepare(&bundle.rootfs)?);
        let barrier = barrier(spec.hooks().as_ref())?;
        let listener = listener_path(&spec).map(|_| Handover::new().map(Arc::new)).transpose()?;
        let mut launch = Launch {
            shared_memory: None,
            spec: &spec,
            root: &rootfs,
            root_path: Some(&bundle.rootfs),
            network,
            init: false,
            interactive: true,
            privilege,
            gate: Some(gate::make(&folder.gate())?),
            barrier: barrier.clone(),
            listener: listener.clone(),
            extra_descriptors: self.preserve_fds + listen_fds().unwrap_or(0),
            new_keyring: !self.no_new_keyring,
        };
        let prepared = launch.prepare(Default::default()).map_err(|error| name_the_field_of(error, &spec))?;
        if let (Some(terminal), Some(process)) = (&prepared.terminal, spec.process()) {
            set_console_size(terminal.master(), process);
        }
        if let (Some(socket), Some(terminal)) = (&self.console_socket, &prepared.terminal) {
            console::send(socket, terminal)?;
        }
        let Started { running, prepared, told, .. } = start(&launch, prepared, |pid| {
            saved.process = Some(Process::of(pid)?);
            folder.save(&saved)?;
            let hooks = || run_before_pivot(folder, &saved, pid);
            net_devices::give(&spec, pid)?;
            barrier.map_or(Ok(()), |barrier| barrier.pass(pid, hooks))?;
            listener.as_ref().map_or(Ok(()), |listener| listen(&spec, listener, folder, &saved, pid))
        })
        .map_err(|error| name_the_field_of(error, &spec))?;
        told?;
        self.tell(&running)?;
        Ok(Created { folder: folder.clone(), saved, terminal: prepared.into_terminal(), running, spec })
    }

    fn tell(&self, running: &Running) -> Result<()> {
        if let Some(socket) = &self.pidfd_socket {
            console::send_descriptor(socket, running, "pidfd")?;
        }
        self.pid_file.as_deref().map_or(Ok(()), |file| write_pid(file, running.host_pid()))
    }
}

/// A new network namespace, made while the rest is prepared; not where it has to belong to a user namespace that is not there yet, nor
/// where devices are given to the process, which is in it from the beginning only when the clone has made it.
fn begin_network(spec: &Spec) -> Result<Option<Begun>> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let has = |kind, new: bool| {
        let mut all = namespaces.into_iter().flatten().filter(|namespace| namespace.typ() == kind);
        all.any(|namespace| !new || namespace.path().is_none())
    };
    let gets_devices = spec.linux().as_ref().is_some_and(|linux| linux.net_devices().is_some());
    let begins = has(LinuxNamespaceType::Network, true) && !has(LinuxNamespaceType::User, false) && !gets_devices;
    begins.then(Begun::loopback).transpose()
}

fn listener_path(spec: &Spec) -> Option<&Path> {
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    seccomp.and_then(|seccomp| seccomp.listener_path().as_deref()).filter(|path| !path.as_os_str().is_empty())
}

/// Hands the descriptor of the filter to whoever listens. Source: config-linux.md, "The Container Process State".
fn listen(spec: &Spec, listener: &Handover, folder: &Folder, saved: &Saved, pid: Pid) -> Result<()> {
    let Some(path) = listener_path(spec) else { return Ok(()) };
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().clone()).unwrap_or_default();
    let document = json!({
        "ociVersion": SPECIFICATION,
        "fds": ["seccompFd"],
        "pid": pid.as_raw(),
        "metadata": metadata,
        "state": folder.document_as(saved, "creating"),
    });
    listener.pass(pid, |filter| console::send_descriptor(path, filter, &document.to_string()))
}

/// The hooks between the making of the namespaces and pivot_root. Source: config.md, "POSIX-platform Hooks".
fn run_before_pivot(folder: &Folder, saved: &Saved, pid: Pid) -> Result<()> {
    let state = folder.document_as(saved, "creating");
    for stage in [Stage::Prestart, Stage::CreateRuntime, Stage::CreateContainer] {
        run_hooks(saved.hooks.as_ref(), stage, &state, pid)?;
    }
    Ok(())
}

/// What the bundle leaves to us, and what it means relative to itself.
fn prepare_spec(bundle: &mut Bundle, id: &str, no_cgroup: bool) -> Result<()> {
    let spec = &mut bundle.spec;
    for mount in spec.mounts_mut().iter_mut().flatten() {
        mount.set_destination(without_dots(mount.destination()));
        let relative = mount.source().as_ref().filter(|source| source.is_relative() && is_bind(mount)).cloned();
        if let Some(source) = relative {
            mount.set_source(Some(bundle.path.join(source)));
        }
    }
    let mut linux = spec.linux().clone().unwrap_or_default();
    let path = linux.cgroups_path().clone().filter(|path| !path.as_os_str().is_empty());
    let path = path.unwrap_or_else(|| Path::new(DEFAULT_PARENT).join(id));
    linux.set_cgroups_path((!no_cgroup).then(|| Path::new("/").join(path)));
    if let Some(process) = spec.process_mut() {
        environment(process, &bundle.rootfs)?;
    }
    // The devices that every container has can be opened, whatever the list says: config-linux.md, "Default Devices".
    let mut resources = linux.resources().clone().unwrap_or_default();
    resources.set_devices(Some(with_default_devices(resources.devices().clone())?));
    linux.set_resources(Some(resources));
    spec.set_linux(Some(linux));
    Ok(())
}

/// What runc adds: the home of the user, for programs that cannot do without; the descriptors that systemd hands on.
fn environment(process: &mut SpecProcess, rootfs: &Path) -> Result<()> {
    let mut env = process.env().clone().unwrap_or_default();
    let has = |env: &[String], name: &str| env.iter().any(|entry| entry.split('=').next() == Some(name));
    if !has(&env, "HOME") {
        let root = sys::fd::open_path(&CString::new(rootfs.as_os_str().as_encoded_bytes())?)?;
        // A /etc/passwd that cannot be read names nobody.
        let user = User::lookup(root.as_fd(), &process.user().uid().to_string());
        env.push(format!("HOME={}", user.map_or_else(|_| "/".to_owned(), |user| user.home)));
    }
    if let (Some(count), false) = (listen_fds(), has(&env, "LISTEN_FDS")) {
        env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
    }
    process.set_env(Some(env));
    Ok(())
}

/// How many descriptors were handed to this process. Source: sd_listen_fds(3).
pub(super) fn listen_fds() -> Option<u32> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let ours = number("LISTEN_PID").is_none_or(|pid| pid == std::process::id());
    number("LISTEN_FDS").filter(|_| ours)
}

/// A path in which `..` has been taken: at the root it stays there.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

fn is_bind(mount: &oci_spec::runtime::Mount) -> bool {
    let words = mount.options().iter().flatten().any(|word| word == "bind" || word == "rbind");
    words || mount.typ().as_deref() == Some("bind")
}

fn saved(folder: &Folder, bundle: &Bundle) -> Saved {
    Saved {
        id: folder.id.clone(),
        oci_version: bundle.spec.version().clone(),
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        annotations: bundle.spec.annotations().clone().unwrap_or_default().into_iter().collect(),
        created: Timestamp::now(),
        owner: owner_of(&bundle.path),
        cgroup: cgroup::wanted(&bundle.spec).map(Path::to_owned),
        hooks: bundle.spec.hooks().clone(),
        process: None,
    }
}

/// Takes away what there is of a container that did not come to be.
pub(super) fn undo(folder: &Folder) -> Result<()> {
    if let Some(saved) = folder.saved() {
        let _gone_already = saved.process.map(|process| process.signal(SIGKILL));
        saved.cgroup.as_deref().map_or(Ok(()), cgroup::end)?;
    }
    folder.remove()
}

/// Says with a complaint about docker's word for a limit, or another thing of the configuration, what its field is called.
pub(super) fn name_the_field(error: impl Into<anyhow::Error>) -> anyhow::Error {
    name_the_field_of(error.into(), &Spec::default())
}

/// The same, and whose mount it is.
fn name_the_field_of(error: anyhow::Error, spec: &Spec) -> anyhow::Error {
    let field = None
        .or_else(|| error.downcast_ref().and_then(field_of_limit).map(str::to_owned))
        .or_else(|| error.downcast_ref().and_then(field_of_privilege).map(str::to_owned))
        .or_else(|| error.downcast_ref().and_then(|error| field_of_child(error, spec)))
        .or_else(|| error.downcast_ref().and_then(|error| field_of_mount(error, spec)));
    match field {
        // The kernel's own words stay the last: callers look for them.
        Some(field) => {
            let text = crate::report::text(&error);
            let text = text.trim().trim_start_matches("error: ");
            Refusal::new(format!("config.json: {field}: {text}")).code(1).into()
        }
        None => error,
    }
}

fn field_of_privilege(error: &step06_capabilities::Error) -> Option<&'static str> {
    use step06_capabilities::Error::{
        Capability, NotInKernel, NotNamespaced, OomScore, Profile, SharedNamespace, Sysctl, TooLarge,
    };
    Some(match error {
        Sysctl(_) | NotNamespaced(_) | SharedNamespace { .. } => "linux.sysctl",
        Capability { .. } | NotInKernel(_) => "process.capabilities",
        OomScore(_) => "process.oomScoreAdj",
        Profile { .. } | TooLarge(_) => "linux.seccomp",
        step06_capabilities::Error::Limit(_) => "process.rlimits",
        _ => return None,
    })
}

/// What the child did when it failed, and on what, says which field wanted it.
fn field_of_child(error: &step02_pid_ns::Error, spec: &Spec) -> Option<String> {
    let step02_pid_ns::Error::ChildHalf { doing, on, .. } = error else { return None };
    match doing.as_str() {
        "change into the working directory" | "stay inside with the working directory" => {
            return Some("process.cwd".to_owned());
        }
        "make a keyring" => return None,
        "write the setting" | "set" if on.starts_with("/proc/self/oom") => {
            return Some("process.oomScoreAdj".to_owned());
        }
        _ => {}
    }
    if spec.process().as_ref().is_some_and(|process| Path::new(on) == process.cwd()) {
        return Some("process.cwd".to_owned());
    }
    mount_of(spec, Path::new(on))
        .or_else(|| {
            let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
            let index = devices.into_iter().flatten().position(|device| device.path() == Path::new(on));
            index.map(|index| format!("linux.devices[{index}]"))
        })
        .or_else(|| option_of(spec, on).filter(|_| doing == "set the mount option"))
}

fn field_of_mount(error: &step03_mount_overlay::Error, spec: &Spec) -> Option<String> {
    use step03_mount_overlay::Error::{Destination, Option as Word, Path as At};
    match error {
        At { path, .. } | Destination(path) => mount_of(spec, path),
        Word(word) => option_of(spec, word),
        _ => None,
    }
}

/// The mount that has `path` as its place, on the way to its place, or as its source.
fn mount_of(spec: &Spec, path: &Path) -> Option<String> {
    let mounts = || spec.mounts().iter().flatten();
    let by_source = mounts().position(|mount| mount.source().as_deref() == Some(path) && is_bind(mount));
    // The last one: whoever failed came after those that did not.
    let by_place =
        || mounts().enumerate().filter(|(_, mount)| mount.destination() == path).map(|(index, _)| index).last();
    match by_source {
        Some(index) => Some(format!("mounts[{index}].source")),
        None => by_place().map(|index| format!("mounts[{index}]")),
    }
}

fn option_of(spec: &Spec, word: &str) -> Option<String> {
    let has = |mount: &oci_spec::runtime::Mount| {
        mount.options().iter().flatten().any(|option| option.split('=').next() == Some(word))
    };
    let index = spec.mounts().iter().flatten().position(has)?;
    Some(format!("mounts[{index}].options"))
}

/// The field of the limit that an error of step 5 is about.
fn field_of_limit(error: &step05_cgroups::Error) -> Option<&'static str> {
    use step05_cgroups::Error::{
        InternalProcesses, Limit, Name, NoController, NoFile, NotDelegated, NotGiven, Occupied, OtherVersion, ReadOnly,
        Set,
    };
    Some(match error {
        NoController { flag, .. }
        | NotGiven { flag, .. }
        | NotDelegated { flag, .. }
        | ReadOnly { flag, .. }
        | InternalProcesses { flag, .. }
        | NoFile { flag, .. }
        | Limit { flag, .. }
        | OtherVersion { flag } => match *flag {
            "--memory" => "linux.resources.memory.limit",
            "--memory-swap" => "linux.resources.memory.swap",
            "--memory-reservation" => "linux.resources.memory.reservation",
            "--cpus" => "linux.resources.cpu.quota",
            "--cpu-shares" => "linux.resources.cpu.shares",
            "--cpuset-cpus" => "linux.resources.cpu.cpus",
            "--cpuset-mems" => "linux.resources.cpu.mems",
            "--pids-limit" => "linux.resources.pids.limit",
            "--device-read-bps" => "linux.resources.blockIO.throttleReadBpsDevice",
            "--device-write-bps" => "linux.resources.blockIO.throttleWriteBpsDevice",
            "--device-read-iops" => "linux.resources.blockIO.throttleReadIOPSDevice",
            "--device-write-iops" => "linux.resources.blockIO.throttleWriteIOPSDevice",
            "--blkio-weight" => "linux.resources.blockIO.weight",
            "--device" => "linux.resources.devices",
            of_oci => of_oci,
        },
        Occupied(_) | Name(_) => "linux.cgroupsPath",
        Set(_) => "linux.resources.cpu",
        _ => return None,
    })
}

/// Writes a number for others to read: as a whole, because they may look at any moment.
pub(super) fn write_pid(file: &Path, pid: Pid) -> Result<()> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".new");
    let written = fs::write(&temporary, pid.to_string()).and_then(|()| fs::rename(&temporary, file));
    written.with_context(|| format!("write the pid file `{}`", file.display()))
}

/// Whether the process wants a terminal.
pub(super) fn has_terminal(spec: &Spec) -> bool {
    spec.process().as_ref().and_then(SpecProcess::terminal).unwrap_or(false)
}
