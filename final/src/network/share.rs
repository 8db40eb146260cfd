//! Namespaces that are not the container's own: the host's, or another container's, by path in the specification.

use super::{Mode, Other};
use crate::container::{Container, Record, Status};
use crate::dirs::Dirs;
use crate::report::Refusal;
use anyhow::Result;
use oci_spec::runtime::{LinuxNamespaceType as Kind, Spec};

/// Writes into the specification whose namespaces they are: at each start, since a path holds a PID.
///
/// # Errors
/// [`Refusal`] for a container that does not run.
pub(crate) fn share(dirs: &Dirs, record: &mut Record) -> Result<()> {
    let networking = record.networking.clone();
    let network = match networking.mode {
        Mode::Container(id) => Other::Container(id),
        Mode::Host => Other::Host,
        Mode::None | Mode::Bridge | Mode::Pasta | Mode::Slirp4netns => Other::Own,
    };
    let uts = match (&network, networking.uts) {
        // Whoever has the network of another has its name too.
        (Other::Container(id), _) => Other::Container(id.clone()),
        (_, uts) => uts,
    };
    if uts != Other::Own {
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
        Other::Own => {}
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

fn pid_of(dirs: &Dirs, id: &str) -> Result<i32> {
    match Container::find(dirs, id)?.status {
        Status::Running(state) => Ok(state.host_pid),
        _ => {
            let what = format!("cannot join the namespaces of a non running container: {id}");
            Err(Refusal::new(what).help("start that container first").into())
        }
    }
}
