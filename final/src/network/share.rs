//! Namespaces that are not the container's own: the host's, or another container's, by path in the specification.

use super::{Mode as NetworkMode, Other};
use crate::container::{Container, Record, Status};
use crate::dirs::Dirs;
use crate::report::Refusal;
use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use oci_spec::runtime::{LinuxNamespaceType as Kind, Spec};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use sys::fd::open_in_root;
use sys::mount::clone_tree;

/// Writes into the specification whose namespaces they are: at each start, since a path holds a PID.
///
/// # Errors
/// [`Refusal`] for a container that does not run.
pub(crate) fn share(dirs: &Dirs, record: &mut Record) -> Result<()> {
    let networking = record.networking.clone();
    let network = match networking.mode {
        NetworkMode::Container(id) => Other::Container(id),
        NetworkMode::Host => Other::Host,
        NetworkMode::None | NetworkMode::Bridge | NetworkMode::Pasta | NetworkMode::Slirp4netns => Other::Own,
    };
    let uts = match (&network, networking.uts) {
        // Whoever has the network of another has its name too.
        (Other::Container(id), _) => Other::Container(id.clone()),
        (_, uts) => uts,
    };
    if !uts.is_own() {
        // It is not ours to set.
        record.spec.set_hostname(None);
    }
    let kinds = [(Kind::Network, network), (Kind::Uts, uts), (Kind::Pid, networking.pid), (Kind::Ipc, networking.ipc)];
    kinds.into_iter().try_for_each(|(kind, whose)| set(dirs, &mut record.spec, kind, &whose))
}

fn set(dirs: &Dirs, spec: &mut Spec, kind: Kind, whose: &Other) -> Result<()> {
    let namespaces = spec.linux_mut().as_mut().and_then(|linux| linux.namespaces_mut().as_mut());
    let Some(namespaces) = namespaces else { return Ok(()) };
    match whose {
        Other::Own | Other::Shareable => {}
        Other::Host => namespaces.retain(|namespace| namespace.typ() != kind),
        Other::Container(id) => {
            let name = match kind {
                Kind::Network => "net",
                Kind::Pid => "pid",
                Kind::Uts => "uts",
                _ => "ipc",
            };
            let path = format!("/proc/{}/ns/{name}", pid_of(dirs, id)?);
            for namespace in namespaces.iter_mut().filter(|namespace| namespace.typ() == kind) {
                namespace.set_path(Some(path.clone().into()));
            }
        }
    }
    Ok(())
}

/// The `/dev/shm` of the container whose shared memory this one has: POSIX shared memory is files there.
///
/// # Errors
/// [`Refusal`] for a container that does not run, or does not share its memory.
pub(crate) fn shared_memory(dirs: &Dirs, record: &Record) -> Result<Option<OwnedFd>> {
    let Other::Container(id) = &record.networking.ipc else { return Ok(None) };
    let owner = Container::find(dirs, id)?;
    if owner.record.networking.ipc != Other::Shareable {
        let refusal = Refusal::new(format!("can't join IPC of container {id}: non-shareable IPC"));
        bail!(refusal.help("start that container with `--ipc shareable`"));
    }
    let pid = pid_of(dirs, id)?;
    let namespace = File::open(format!("/proc/{pid}/ns/mnt")).context("open its mount namespace")?;
    // A copy of a mount is made by who is in its table of mounts: a thread that goes there, and ends there.
    let copied = std::thread::scope(|scope| scope.spawn(|| copy_of_shm(&namespace)).join());
    let copied = copied.unwrap_or_else(|_| Err(anyhow!("the thread panicked")));
    copied.map(Some).with_context(|| format!("the shared memory of container {id}"))
}

fn copy_of_shm(namespace: &File) -> Result<OwnedFd> {
    unshare(CloneFlags::CLONE_FS).context("have a root of our own")?;
    setns(namespace, CloneFlags::CLONE_NEWNS).context("enter its mount namespace")?;
    let root = File::open("/").context("open its root")?;
    // Its root is not to be trusted: a link there would lead us elsewhere.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let shm = open_in_root(root.as_fd(), c"/dev/shm", flags, Mode::empty()).context("open its /dev/shm")?;
    clone_tree(shm.as_fd(), c"", false).context("copy the mount of its /dev/shm")
}

fn pid_of(dirs: &Dirs, id: &str) -> Result<i32> {
    match Container::find(dirs, id)?.status {
        Status::Running(state) => Ok(state.host_pid),
        _ => {
            let what = format!("cannot join the namespaces of a non running container: {id}");
            Err(Refusal::new(what).help("start that container first").into())
        }
    }
}
