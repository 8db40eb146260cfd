//! v2: a controller works in a cgroup only when the parent's `cgroup.subtree_control` names it, all the way up.
//!
//! Source: Documentation/admin-guide/cgroup-v2.rst, "Enabling and Disabling", "No Internal Process Constraint".

use crate::hierarchy::{Controller, Tree};
use crate::parent::{Wish, make};
use crate::{Error, files};
use nix::errno::Errno;
use std::path::Path;

const CONTROL: &str = "cgroup.subtree_control";

/// Makes the cgroups on the way from `base` down `path`, and enables the wished controllers for the children of each.
// ANCHOR: enable
pub(crate) fn enable(tree: &Tree, base: &Path, path: &Path, wishes: &[Wish]) -> Result<(), Error> {
    let wishes: Vec<Wish> = wishes.iter().copied().filter(|(controller, _)| controller.v2_name().is_some()).collect();
    // Usually the parent is there from the container before, and one read says so.
    if let Some(enabled) = files::read(&base.join(path).join(CONTROL))?
        && missing(&enabled, &wishes).is_empty()
    {
        return Ok(());
    }
    let mut directory = base.to_owned();
    enable_below(tree, &directory, &wishes)?;
    for part in path.components() {
        directory.push(part);
        match make(&directory) {
            Err(Error::Path { errno: Errno::EEXIST, .. }) => {}
            result => result?,
        }
        enable_below(tree, &directory, &wishes)?;
    }
    Ok(())
}

/// Enables them one by one: written together, one that cannot be had would take the others with it.
fn enable_below(tree: &Tree, directory: &Path, wishes: &[Wish]) -> Result<(), Error> {
    // ANCHOR: task2_enable
    let control = directory.join(CONTROL);
    let missing = missing(&files::read(&control)?.unwrap_or_default(), wishes);
    let occupied = !missing.is_empty() && is_occupied(directory) && !step_aside(tree, directory);
    for (controller, flag) in missing {
        let command = format!("+{}", controller.v2_name().unwrap_or_default());
        let result = if occupied { Err(Errno::EBUSY) } else { files::write(&control, &command) };
        // What only statistics want may be missing.
        if let (Err(errno), Some(flag)) = (result, flag) {
            return Err(refusal(flag, controller, directory, errno));
        }
    }
    Ok(())
    // ANCHOR_END: task2_enable
}
// ANCHOR_END: enable

/// Whether a cgroup other than the root, which may, has processes itself. The kernel says so with EBUSY for `memory` and `io` only; with
/// `cpu` and `pids` it makes threads of the children (cgroup-v2.rst, "Threads"), where no process may be.
fn is_occupied(directory: &Path) -> bool {
    let processes = || std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    directory.join("cgroup.type").exists() && !processes().is_empty()
}

fn missing(enabled: &str, wishes: &[Wish]) -> Vec<Wish> {
    let is_there =
        |controller: Controller| enabled.split_ascii_whitespace().any(|name| Some(name) == controller.v2_name());
    wishes.iter().copied().filter(|(controller, _)| !is_there(*controller)).collect()
}

/// When the only process of a cgroup that was delegated to us is we ourselves, we move into a leaf, and the cgroup is free
/// for controllers. Nothing that is not ours is moved.
// ANCHOR: aside
fn step_aside(tree: &Tree, directory: &Path) -> bool {
    let is_own = tree.own.as_ref().is_some_and(|own| tree.mount_point.join(own) == directory);
    let myself = nix::unistd::getpid().as_raw().to_string();
    let only_us = || std::fs::read_to_string(directory.join("cgroup.procs")).is_ok_and(|pids| pids.trim() == myself);
    let leaf = directory.join("engine");
    is_own && only_us() && make(&leaf).is_ok() && files::write(&leaf.join("cgroup.procs"), "0").is_ok()
}
// ANCHOR_END: aside

fn refusal(flag: &'static str, controller: Controller, directory: &Path, errno: Errno) -> Error {
    let (controller, at) = (controller.v2_name().unwrap_or_default(), directory.to_owned());
    match errno {
        Errno::EBUSY | Errno::EOPNOTSUPP => Error::InternalProcesses { flag, controller, at },
        // The file knows no such controller: the cgroup above does not pass it on.
        Errno::ENOENT | Errno::EINVAL => Error::NotGiven { flag, controller, at },
        Errno::EACCES | Errno::EPERM | Errno::EROFS => Error::NotDelegated { flag, at },
        errno => Error::Limit { flag, value: format!("+{controller}"), path: directory.join(CONTROL), errno },
    }
}
