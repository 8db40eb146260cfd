//! A container and its volumes: which, made where missing, marked as used, filled on first use.

use super::fill::fill;
use super::{MountPoint, Source, Volume, VolumeRecord, VolumeRequest, Volumes, lock};
use crate::container::{Container, new_id};
use crate::dirs::Dirs;
use crate::report::Refusal;
use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::fcntl::FlockArg;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use step03_mount_overlay::Mount;

/// What a container asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// `-v` and `--mount`.
    pub volumes: &'w [VolumeRequest],
    /// `--volumes-from CONTAINER[:ro]`.
    pub volumes_from: &'w [String],
    /// The paths that the image wants to be volumes.
    pub of_image: &'w [String],
    /// What else is mounted: it takes the place of the image's.
    pub mounts: &'w [Mount],
}

/// Everything that is mounted into the container `id` besides what every container has. `root` is its file system, from which new volumes are
/// filled.
///
/// # Errors
/// What cannot be made; what was made for this container alone is gone again after [`release`].
pub fn attach(dirs: &Dirs, id: &str, wanted: Wanted<'_>, root: BorrowedFd<'_>) -> Result<Vec<MountPoint>> {
    let mut points: Vec<MountPoint> = wanted.mounts.iter().map(MountPoint::of).collect();
    for request in wanted.volumes {
        points.push(one(dirs, id, request, root)?);
    }
    for reference in wanted.volumes_from {
        let shared = of_container(dirs, id, reference)?;
        points.extend(missing(shared, &points));
    }
    let of_image = wanted.of_image.iter().filter(|path| Path::new(path).is_absolute()).collect::<BTreeSet<_>>();
    for path in of_image {
        let destination: PathBuf = Path::new(path).components().collect();
        if !points.iter().any(|point| point.destination == destination) {
            let request = VolumeRequest { source: Source::Anonymous, destination, options: Vec::new() };
            points.push(one(dirs, id, &request, root)?);
        }
    }
    Ok(points)
}

fn missing(shared: Vec<MountPoint>, points: &[MountPoint]) -> Vec<MountPoint> {
    let is_new = |point: &MountPoint| !points.iter().any(|other| other.destination == point.destination);
    shared.into_iter().filter(is_new).collect()
}

fn one(dirs: &Dirs, id: &str, request: &VolumeRequest, root: BorrowedFd<'_>) -> Result<MountPoint> {
    let volume = match &request.source {
        Source::Named(name) => take(dirs, id, name, false)?,
        Source::Anonymous => take(dirs, id, &new_id()?, true)?,
    };
    if !request.has("nocopy") && volume.record.options.is_empty() {
        fill(&volume, id, root, &request.destination)
            .with_context(|| format!("cannot fill the volume `{}` from the image", volume.name))?;
    }
    let propagation = request.options.iter().find(|word| word.ends_with("slave") || word.ends_with("shared"));
    Ok(MountPoint {
        kind: "volume".to_owned(),
        source: volume.source()?,
        name: Some(volume.name),
        destination: request.destination.clone(),
        driver: Some("local".to_owned()),
        mode: request.options.join(","),
        writable: !request.has("ro"),
        propagation: propagation.cloned().unwrap_or_default(),
    })
}

/// The volume, made where it is not there, with the mark of the container.
fn take(dirs: &Dirs, id: &str, name: &str, anonymous: bool) -> Result<Volume> {
    let volumes = Volumes::new(dirs);
    let new = VolumeRecord { created: Timestamp::now(), labels: BTreeMap::new(), options: BTreeMap::new(), anonymous };
    loop {
        let volume = volumes.ensure(name, &new)?;
        match mark(&volume, id) {
            Ok(()) => return Ok(volume),
            // Removed at this very moment: a new one.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("use the volume `{name}`")),
        }
    }
}

fn mark(volume: &Volume, id: &str) -> std::io::Result<()> {
    let _not_removed_meanwhile = lock(&volume.folder, FlockArg::LockShared)?;
    fs::write(volume.folder.join("users").join(id), "")
}

/// The volumes and binds of another container, which this one shares.
fn of_container(dirs: &Dirs, id: &str, reference: &str) -> Result<Vec<MountPoint>> {
    let (name, mode) = reference.split_once(':').unwrap_or((reference, ""));
    if !["", "ro", "rw", "z", "Z"].contains(&mode) {
        return Err(Refusal::new(format!("`--volumes-from {reference}`: `{mode}` is unknown"))
            .help("write ro or rw")
            .into());
    }
    let none = || Refusal::new(format!("no such container: `{name}`")).help("`tara ps -a` lists the containers");
    let other = Container::find(dirs, name).map_err(|_| none())?;
    let mut points = other.record.mounts;
    points.retain(|point| point.kind == "volume" || point.kind == "bind");
    for point in &mut points {
        if let Some(name) = &point.name {
            let volume = Volumes::new(dirs).find(name)?;
            mark(&volume, id).with_context(|| format!("use the volume `{name}`"))?;
        }
        if mode == "ro" && point.writable {
            point.writable = false;
            let words = point.mode.split(',').filter(|word| !["", "rw"].contains(word));
            point.mode = words.chain(["ro"]).collect::<Vec<_>>().join(",");
        }
    }
    Ok(points)
}

/// Takes the marks of the container `id` back; `anonymous` volumes that nobody else mounts are removed.
///
/// # Errors
/// The first volume that could not be removed.
pub fn release(dirs: &Dirs, id: &str, anonymous: bool) -> Result<()> {
    let volumes = Volumes::new(dirs);
    for volume in volumes.all()? {
        match fs::remove_file(volume.folder.join("users").join(id)) {
            Ok(()) if anonymous && volume.record.anonymous && volumes.users(&volume).is_empty() => {
                volumes.remove(&volume.name)?;
            }
            _ => {}
        }
    }
    Ok(())
}
