//! A container's folder below `--root`: its state, and the copy of its configuration.

use crate::cgroup;
use crate::report::Refusal;
use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use oci_spec::runtime::{Hooks, Spec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use step05_cgroups::Cgroup;

/// The version of the specification that we implement.
pub(super) const SPECIFICATION: &str = "1.3.0";

/// What is remembered of a container between two calls of the runtime.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) id: String,
    pub(super) oci_version: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) created: Timestamp,
    pub(super) owner: String,
    /// Its cgroup, from the root of the trees.
    pub(super) cgroup: Option<PathBuf>,
    /// What later commands need of the configuration: to read all of it again would cost more than they do.
    pub(super) hooks: Option<Hooks>,
    /// The first process; none while the container is being created.
    pub(super) process: Option<Process>,
}

/// A process that may be gone and its number somebody else's: the start time tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) host_pid: i32,
    /// Clock ticks since boot (proc_pid_stat(5), field 22).
    pub(super) start_time: u64,
}

/// The specification's states, and `paused`, which callers know from runc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The folder of one container.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) id: String,
    path: PathBuf,
}

impl Folder {
    /// Makes the folder of a new container: whoever makes it has the id.
    pub(super) fn create(root: &Path, id: &str) -> Result<Self> {
        check_id(id)?;
        fs::create_dir_all(root).with_context(|| format!("make `{}`", root.display()))?;
        let path = root.join(id);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!(Refusal::new(format!("container with id `{id}` already exists: file exists")).code(1))
            }
            made => made.with_context(|| format!("make `{}`", path.display()))?,
        }
        Ok(Self { id: id.to_owned(), path })
    }

    /// Finds the folder of a container.
    pub(super) fn find(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(id);
        if check_id(id).is_err() || !path.is_dir() {
            // containerd and Docker look for these words.
            bail!(Refusal::new(format!("container `{id}` does not exist")).help("`list` names those that do").code(1));
        }
        Ok(Self { id: id.to_owned(), path })
    }

    /// All containers below `root`.
    pub(super) fn all(root: &Path) -> Result<Vec<Self>> {
        let ids = crate::container::ids(root)?;
        Ok(ids.into_iter().map(|id| Self { path: root.join(&id), id }).filter(|one| one.path.is_dir()).collect())
    }

    pub(super) fn gate(&self) -> PathBuf {
        self.path.join("gate")
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// The configuration that the container was created with, whatever has become of the bundle.
    pub(super) fn spec(&self, saved: &Saved) -> Result<Spec> {
        let path = self.configuration();
        let text = fs::read(&path).with_context(|| format!("read `{}`", path.display()))?;
        let mut spec: Spec = serde_json::from_slice(&text).with_context(|| format!("parse `{}`", path.display()))?;
        let mut linux = spec.linux().clone().unwrap_or_default();
        linux.set_cgroups_path(saved.cgroup.clone());
        spec.set_linux(Some(linux));
        Ok(spec)
    }

    /// Writes the state as a whole.
    pub(super) fn save(&self, saved: &Saved) -> Result<()> {
        let (path, temporary) = (self.path.join("state.json"), self.path.join("state.new"));
        let written = fs::write(&temporary, serde_json::to_vec(saved)?).and_then(|()| fs::rename(&temporary, &path));
        written.with_context(|| format!("write `{}`", path.display()))
    }

    /// What is remembered; none when `create` was killed before it could write anything.
    pub(super) fn saved(&self) -> Option<Saved> {
        serde_json::from_slice(&fs::read(self.path.join("state.json")).ok()?).ok()
    }

    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("remove `{}`", self.path.display())),
        }
    }

    /// What the container is doing now.
    pub(super) fn status(&self, saved: &Saved) -> Status {
        match saved.process {
            None => Status::Creating,
            Some(process) if !process.is_alive() => Status::Stopped,
            Some(_) if self.gate().exists() => Status::Created,
            Some(_) if is_frozen(saved) => Status::Paused,
            Some(_) => Status::Running,
        }
    }

    /// The state document. Source: runtime.md, "State".
    pub(super) fn document(&self, saved: &Saved) -> Value {
        self.document_as(saved, self.status(saved).word())
    }

    /// The same with a status that is known better: while hooks run, what they are told is what the specification says.
    pub(super) fn document_as(&self, saved: &Saved, status: &str) -> Value {
        let pid = saved.process.filter(|_| status != "stopped").map_or(0, |process| process.host_pid);
        json!({
            "ociVersion": saved.oci_version,
            "id": saved.id,
            "pid": pid,
            "status": status,
            "bundle": saved.bundle,
            "rootfs": saved.rootfs,
            "created": saved.created.to_string(),
            "annotations": saved.annotations,
            "owner": saved.owner,
        })
    }

    /// What is remembered, or why there is nothing.
    pub(super) fn read(&self) -> Result<Saved> {
        let gone = || Refusal::new(format!("container `{}` is half-made: its `create` was ended", self.id));
        Ok(self.saved().ok_or_else(|| gone().help("`delete --force` removes what there is of it").code(1))?)
    }
}

impl Saved {
    /// Its cgroup, where it has one.
    pub(super) fn share(&self) -> Result<Option<Cgroup>> {
        self.cgroup.as_deref().map_or(Ok(None), cgroup::open_at)
    }

    /// Lets its processes go on: who is frozen does not take a signal.
    pub(super) fn thaw(&self) -> Result<()> {
        Ok(self.share()?.map_or(Ok(()), |cgroup| cgroup.thaw())?)
    }
}

impl Process {
    /// The process `pid`, which is there.
    pub(super) fn of(pid: Pid) -> Result<Self> {
        let start_time = sys::process::start_time(pid).with_context(|| format!("the start time of process {pid}"))?;
        Ok(Self { host_pid: pid.as_raw(), start_time })
    }

    /// Whether it is this very process, and not a zombie.
    pub(super) fn is_alive(self) -> bool {
        let pid = Pid::from_raw(self.host_pid);
        sys::process::start_time(pid).ok() == Some(self.start_time) && !is_zombie(pid)
    }

    /// Kills it, and waits until it is dead: a killed process still holds its cgroup for a moment.
    pub(super) fn end(self, saved: &Saved) -> Result<()> {
        let process = match sys::process::pidfd_open(Pid::from_raw(self.host_pid)) {
            Err(Errno::ESRCH) => return Ok(()),
            process => process.context("find the first process")?,
        };
        match self.signal(SIGKILL) {
            Err(error) if error.downcast_ref() == Some(&Errno::ESRCH) => return Ok(()),
            sent => sent?,
        }
        saved.thaw()?;
        let mut dead = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        let ended = poll(&mut dead, PollTimeout::try_from(Duration::from_secs(10)).unwrap_or(PollTimeout::MAX))?;
        ensure!(ended > 0, Refusal::new(format!("process {} does not end", self.host_pid)).code(1));
        Ok(())
    }

    /// Sends a signal to it alone.
    pub(super) fn signal(self, signal: i32) -> Result<()> {
        let pid = Pid::from_raw(self.host_pid);
        let process = sys::process::pidfd_open(pid).with_context(|| format!("find process {pid}"))?;
        // Asked after the descriptor is open: from then on the number cannot become somebody else's.
        if !self.is_alive() {
            return Err(Errno::ESRCH).with_context(|| format!("send signal {signal} to process {pid}"));
        }
        sys::process::pidfd_send(&process, signal).with_context(|| format!("send signal {signal} to process {pid}"))
    }
}

fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything, also parentheses.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}

fn is_frozen(saved: &Saved) -> bool {
    // Where the cgroups cannot be read, nobody has frozen it by us.
    saved.share().ok().flatten().is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false))
}

/// runc's rule: these become names of directories and of cgroups.
fn check_id(id: &str) -> Result<()> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || matches!(id, "." | "..") || id.len() > 1024 || !id.bytes().all(is_good) {
        let what = format!("invalid container id `{id}`");
        bail!(Refusal::new(what).help("letters, digits and `_+-.` are allowed").code(1));
    }
    Ok(())
}

/// The user that owns the container, for `list`.
pub(super) fn owner_of(folder: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let uid = File::open(folder).and_then(|file| file.metadata()).map_or(0, |metadata| metadata.uid());
    if uid == 0 { "root".to_owned() } else { format!("#{uid}") }
}
