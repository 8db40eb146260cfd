//! The cgroup of a container: made before its process, removed with what lives of it.
//!
//! It is called after the id, below a parent. As long as it may be there, so is `RUN/containers/<id>`, and where the parent is not
//! the usual one that folder says so. So nothing has to be searched for: whoever removes the folder removes the cgroup first.

use crate::container::PAUSED;
use crate::report::Refusal;
use crate::rootless::Privilege;
use crate::spec::to_limits;
use anyhow::{Context, Result};
use nix::errno::Errno;
use oci_spec::runtime::Spec;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use step03_mount_overlay::Mount;
use step05_cgroups::{Cgroup, DEFAULT_PARENT, Error, Hierarchy, Limits, Parent, Version, reclaim};

/// In `RUN/containers/<id>`: the parent of its cgroup, where that is not [`DEFAULT_PARENT`].
const PARENT: &str = "cgroup-parent";

/// `linux.cgroupsPath` of the container `id`.
#[must_use]
pub fn path(parent: Option<&str>, id: &str) -> PathBuf {
    Path::new("/").join(parent.unwrap_or(DEFAULT_PARENT).trim_matches('/')).join(id)
}

/// Where the specification wants the cgroup.
pub(crate) fn wanted(spec: &Spec) -> Option<&Path> {
    spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref())
}

/// Parent and name; `None` for a container without a cgroup.
fn place(spec: &Spec) -> Result<Option<(&str, &str)>> {
    wanted(spec).map(parent_and_name).transpose()
}

fn parent_and_name(path: &Path) -> Result<(&str, &str)> {
    let path = path.to_str().context("the path of the cgroup")?;
    match path.rsplit_once('/') {
        Some(("", name)) => Ok(("/", name)),
        place => place.with_context(|| format!("`{path}` is no path of a cgroup below another")),
    }
}

/// Leaves word in `folder`, what lives of the container, where its cgroup will be. Before it is made.
///
/// # Errors
/// write(2).
pub fn remember(folder: &Path, spec: &Spec) -> Result<()> {
    match place(spec)? {
        Some((parent, _)) if parent != DEFAULT_PARENT => {
            let path = folder.join(PARENT);
            fs::write(&path, parent).with_context(|| format!("write `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes the cgroup that the specification asks for, with its limits. With `adopt` one that is there already and empty is taken as it
/// is: a caller of the runtime has made it. Host half.
///
/// # Errors
/// A limit that cannot be had.
pub fn create(spec: &Spec, privilege: Privilege, adopt: bool) -> Result<Option<Cgroup>> {
    let Some((parent, id)) = place(spec)? else { return Ok(None) };
    let limits = limits(spec, privilege)?;
    let parent = Parent::new(Hierarchy::find()?, Some(parent))?;
    match if adopt { Cgroup::create_or_adopt(&parent, id, &limits) } else { make(&parent, id, &limits) } {
        Ok(cgroup) => Ok(Some(cgroup)),
        Err(error) if only_devices(&limits) && is_not_ours(&error) => {
            let refusal = Refusal::new("a container without its list of devices could open every disk of this machine");
            let refusal = refusal.help("give us cgroups to write to; or go without: `--cgroups disabled`");
            Err(anyhow::Error::new(error).context(refusal))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whoever holds the lock of `id` may take what is called so already for a leftover: its supervisor died, and what it wrote down is gone.
fn make(parent: &Parent, id: &str, limits: &Limits) -> Result<Cgroup, Error> {
    match Cgroup::create(parent, id, limits) {
        Err(Error::Path { errno: Errno::EEXIST, .. }) => {
            Cgroup::open(parent, id)?.kill()?;
            reclaim(parent, id)?;
            Cgroup::create(parent, id, limits)
        }
        made => made,
    }
}

/// The limits of the specification. The list of devices is not for a user namespace: nobody there can make a device file, and the
/// kernel wants real root for the list.
fn limits(spec: &Spec, privilege: Privilege) -> Result<Limits> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let mut limits = resources.map_or_else(|| Ok(Limits::default()), to_limits)?;
    if privilege.in_user_namespace {
        limits.devices = None;
    }
    Ok(limits)
}

fn only_devices(limits: &Limits) -> bool {
    Limits { devices: None, ..limits.clone() }.is_empty()
}

fn is_not_ours(error: &Error) -> bool {
    matches!(error, Error::NoController { .. } | Error::NotDelegated { .. } | Error::ReadOnly { .. })
}

/// Opens the cgroup of a container that runs; `None` when it has none.
///
/// # Errors
/// When what is mounted cannot be found out.
pub fn open(spec: &Spec) -> Result<Option<Cgroup>> {
    wanted(spec).map_or(Ok(None), open_at)
}

/// The same by its path.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_at(path: &Path) -> Result<Option<Cgroup>> {
    let (parent, id) = parent_and_name(path)?;
    match Cgroup::open(&Parent::new(Hierarchy::find()?, Some(parent))?, id) {
        Ok(cgroup) => Ok(Some(cgroup)),
        Err(Error::Gone(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Ends all processes of a container's cgroup, and removes it. No cgroup is no error.
///
/// # Errors
/// Processes that stay in it.
pub(crate) fn end(path: &Path) -> Result<()> {
    let Some(mut cgroup) = open_at(path)? else { return Ok(()) };
    cgroup.kill()?;
    Ok(cgroup.remove()?)
}

/// Lets a container that is paused go on, so that it can end. `folder` is what lives of it.
///
/// # Errors
/// write(2).
pub fn thaw(folder: &Path, id: &str) -> Result<()> {
    if !folder.join(PAUSED).exists() {
        return Ok(());
    }
    let parent = fs::read_to_string(folder.join(PARENT)).unwrap_or_else(|_| DEFAULT_PARENT.to_owned());
    match Cgroup::open(&Parent::new(Hierarchy::find()?, Some(&parent))?, id) {
        Ok(cgroup) => Ok(cgroup.thaw()?),
        Err(Error::Gone(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the cgroup of the container `id`, of which `folder` is what lives. No cgroup is no error.
///
/// # Errors
/// Processes that stay in it.
pub fn remove(folder: &Path, id: &str) -> Result<()> {
    let parent = match fs::read_to_string(folder.join(PARENT)) {
        // It is written before the cgroup is made.
        Ok(parent) if parent.is_empty() => return Ok(()),
        Ok(parent) => parent,
        Err(error) if error.kind() == ErrorKind::NotFound && !folder.exists() => return Ok(()),
        Err(_) => DEFAULT_PARENT.to_owned(),
    };
    thaw(folder, id)?;
    let removed = Hierarchy::find().and_then(|found| reclaim(&Parent::new(found, Some(&parent))?, id));
    removed.with_context(|| format!("the cgroup of container {id}"))
}

/// What `cgroup` in the mounts of a specification means here: one tree for v2, a folder of trees for v1, and of these only the
/// ones where the container has a cgroup of its own: the others would show the host's.
///
/// Source: OCI runtime specification, config-linux.md, "cgroup ownership" and "Default Filesystems"; cgroup_namespaces(7).
#[must_use]
pub fn mounts(mount: &Mount, cgroup: Option<&Cgroup>, own_namespace: bool) -> Vec<Mount> {
    let trees = cgroup.map(Cgroup::trees).unwrap_or_default();
    if !own_namespace {
        return bound(mount, cgroup, trees);
    }
    let here = |fs_type: &str, destination: PathBuf, options: Vec<String>| Mount {
        destination,
        fs_type: fs_type.to_owned(),
        source: "cgroup".into(),
        options,
    };
    let v1: Vec<_> = trees.iter().filter(|(version, _)| *version == Version::V1).collect();
    if v1.is_empty() {
        let v2 = trees.first().map(|_| here("cgroup2", mount.destination.clone(), mount.options.clone()));
        return v2.into_iter().collect();
    }
    let read_only = mount.options.iter().any(|option| option == "ro");
    let writable: Vec<String> = mount.options.iter().filter(|option| *option != "ro").cloned().collect();
    let folder = [&writable[..], &["mode=755".to_owned(), "size=64k".to_owned()]].concat();
    let mut all = vec![here("tmpfs", mount.destination.clone(), folder)];
    for (_, controllers) in v1 {
        let data: Vec<String> = controllers.iter().map(|name| (*name).to_owned()).collect();
        all.push(here("cgroup", mount.destination.join(controllers.join(",")), [&mount.options[..], &data].concat()));
    }
    if read_only {
        all.push(read_only_again(mount));
    }
    all
}

/// The same for a container that shares the namespace of cgroups: its own folders, bound.
fn bound(mount: &Mount, cgroup: Option<&Cgroup>, trees: Vec<(Version, Vec<&'static str>)>) -> Vec<Mount> {
    let paths: Vec<_> = cgroup.iter().flat_map(|cgroup| cgroup.paths()).collect();
    let bind = |source: &Path, destination: PathBuf| Mount {
        destination,
        fs_type: "bind".to_owned(),
        source: source.to_owned(),
        options: [&["bind".to_owned()], &mount.options[..]].concat(),
    };
    let (v1, v2): (Vec<_>, Vec<_>) =
        trees.into_iter().zip(paths).partition(|((version, _), _)| *version == Version::V1);
    if v1.is_empty() {
        return v2.first().map(|(_, path)| bind(path, mount.destination.clone())).into_iter().collect();
    }
    let words = ["mode=755", "size=64k"].map(str::to_owned);
    let writable = mount.options.iter().filter(|option| *option != "ro").cloned();
    let mut all = vec![Mount {
        fs_type: "tmpfs".to_owned(),
        source: "cgroup".into(),
        options: writable.chain(words).collect(),
        ..mount.clone()
    }];
    all.extend(v1.into_iter().map(|((_, names), path)| bind(path, mount.destination.join(names.join(",")))));
    if mount.options.iter().any(|option| option == "ro") {
        all.push(read_only_again(mount));
    }
    all
}

/// The folder of trees, closed after all are in it.
fn read_only_again(mount: &Mount) -> Mount {
    let options = ["remount", "ro"].map(str::to_owned).to_vec();
    Mount { fs_type: "bind".to_owned(), source: "cgroup".into(), destination: mount.destination.clone(), options }
}
