//! `create` and `run`: the same launch as `tara run`'s, with a gate before the program.

use super::bundle::Bundle;
use super::hooks::{Stage, barrier, run_hooks};
use super::state::{Folder, Process, Saved, owner_of};
use super::{console, gate};
use crate::cgroup;
use crate::launch::{Launch, Started, start};
use crate::report::Refusal;
use crate::rootless::Privilege;
use crate::spec::with_default_devices;
use anyhow::{Context, Result, ensure};
use clap::Args;
use jiff::Timestamp;
use nix::libc::SIGKILL;
use nix::unistd::Pid;
use oci_spec::runtime::{Process as SpecProcess, Spec};
use std::fs;
use std::path::{Path, PathBuf};
use step02_pid_ns::Running;
use step03_mount_overlay::RootDirectory;
use step05_cgroups::DEFAULT_PARENT;

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
        fs::write(folder.configuration(), serde_json::to_vec(&bundle.spec)?).context("keep the configuration")?;
        folder.save(&saved)?;
        let (spec, rootfs) = (bundle.spec, RootDirectory::prepare(&bundle.rootfs)?);
        let privilege = Privilege::acquire()?;
        let barrier = barrier(&spec)?;
        let mut launch = Launch {
            spec: &spec,
            root: &rootfs,
            network: None,
            init: false,
            interactive: true,
            privilege,
            gate: Some(gate::make(&folder.gate())?),
            barrier: barrier.clone(),
            extra_descriptors: self.preserve_fds,
            new_keyring: !self.no_new_keyring,
        };
        let prepared = launch.prepare(Default::default())?;
        if let (Some(socket), Some(terminal)) = (&self.console_socket, &prepared.terminal) {
            console::send(socket, terminal)?;
        }
        let Started { running, prepared, told } = start(&launch, prepared, |pid| {
            saved.process = Some(Process::of(pid)?);
            folder.save(&saved)?;
            let hooks = || run_before_pivot(&spec, folder, &saved, pid);
            barrier.map_or(Ok(()), |barrier| barrier.pass(pid, hooks))
        })?;
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

/// The hooks between the making of the namespaces and pivot_root. Source: config.md, "POSIX-platform Hooks".
fn run_before_pivot(spec: &Spec, folder: &Folder, saved: &Saved, pid: Pid) -> Result<()> {
    let state = folder.document_as(saved, "creating");
    for stage in [Stage::Prestart, Stage::CreateRuntime, Stage::CreateContainer] {
        run_hooks(spec, stage, &state, pid)?;
    }
    Ok(())
}

/// What the bundle leaves to us, and what it means relative to itself.
fn prepare_spec(bundle: &mut Bundle, id: &str, no_cgroup: bool) -> Result<()> {
    let spec = &mut bundle.spec;
    for mount in spec.mounts_mut().iter_mut().flatten() {
        let relative = mount.source().as_ref().filter(|source| source.is_relative() && is_bind(mount)).cloned();
        if let Some(source) = relative {
            mount.set_source(Some(bundle.path.join(source)));
        }
    }
    let mut linux = spec.linux().clone().unwrap_or_default();
    let path = linux.cgroups_path().clone().filter(|path| !path.as_os_str().is_empty());
    let path = path.unwrap_or_else(|| Path::new(DEFAULT_PARENT).join(id));
    linux.set_cgroups_path((!no_cgroup).then(|| Path::new("/").join(path)));
    // The devices that every container has can be opened, whatever the list says: config-linux.md, "Default Devices".
    let mut resources = linux.resources().clone().unwrap_or_default();
    resources.set_devices(Some(with_default_devices(resources.devices().clone())?));
    linux.set_resources(Some(resources));
    spec.set_linux(Some(linux));
    Ok(())
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
        process: None,
    }
}

/// Takes away what there is of a container that did not come to be.
pub(super) fn undo(folder: &Folder) -> Result<()> {
    if let Some(process) = folder.saved().and_then(|saved| saved.process) {
        let _gone_already = process.signal(SIGKILL);
    }
    if let Ok(spec) = folder.spec() {
        cgroup::end(&spec)?;
    }
    folder.remove()
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
