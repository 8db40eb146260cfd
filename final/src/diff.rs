//! What a container has changed: its own layer compared with those below.

use crate::container::Container;
use crate::engine::Engine;
use crate::tree::{kind, names};
use anyhow::{Context, Result};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One path that differs from the image: `A` added, `C` changed, `D` deleted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The path inside.
    pub path: PathBuf,
    /// Its letter.
    pub letter: char,
}

/// All that the container has changed, by path.
///
/// # Errors
/// When its layer cannot be read.
pub fn diff(engine: &Engine, container: &Container) -> Result<Vec<Change>> {
    let upper = engine.dirs().container(&container.record.id).join("diff");
    let opened = File::open(&upper).with_context(|| format!("open `{}`", upper.display()))?;
    let layers: Vec<&Path> = container.record.layers.iter().rev().map(PathBuf::as_path).collect();
    let mut changes = Vec::new();
    walk(opened.as_fd(), Path::new("/"), &layers, &mut changes)?;
    changes.sort();
    Ok(changes)
}

/// By descriptors: a container that runs may put a link in the place of a directory at any moment.
fn walk(folder: BorrowedFd<'_>, path: &Path, layers: &[&Path], changes: &mut Vec<Change>) -> Result<()> {
    let children = names(folder)?;
    if is_opaque(folder) {
        changes.extend(hidden(path, layers, &children).map(|path| Change { path, letter: 'D' }));
    }
    for name in children {
        let below = path.join(OsStr::from_bytes(name.to_bytes()));
        let Ok(stat) = fstatat(folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        let before = exists(layers, &below);
        if is_whiteout(&stat) {
            changes.extend(before.then_some(Change { path: below, letter: 'D' }));
            continue;
        }
        changes.push(Change { path: below.clone(), letter: if before { 'C' } else { 'A' } });
        if kind(&stat) == SFlag::S_IFDIR {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let opened = openat(folder, name.as_c_str(), flags, Mode::empty());
            if let Ok(opened) = opened {
                walk(opened.as_fd(), &below, layers, changes)?;
            }
        }
    }
    Ok(())
}

fn is_whiteout(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    let names = sys::xattr::list_open(folder).unwrap_or_default();
    names.iter().any(|name| name.ends_with(b".overlay.opaque"))
}

/// What the layers have in a directory that hides them.
fn hidden(path: &Path, layers: &[&Path], children: &[CString]) -> impl Iterator<Item = PathBuf> {
    let mut gone = std::collections::BTreeSet::new();
    let relative = path.strip_prefix("/").unwrap_or(path);
    for layer in layers {
        for entry in fs::read_dir(layer.join(relative)).into_iter().flatten().flatten() {
            let replaced = children.iter().any(|name| name.to_bytes() == entry.file_name().as_bytes());
            let below = path.join(entry.file_name());
            if !replaced && exists(layers, &below) {
                gone.insert(below);
            }
        }
    }
    gone.into_iter()
}

/// Whether the layers, the topmost first, show something at this path: a deletion or a file in its way hides what is below.
fn exists(layers: &[&Path], path: &Path) -> bool {
    let relative = path.strip_prefix("/").unwrap_or(path);
    for layer in layers {
        match look(layer, relative) {
            Look::Shown => return true,
            Look::Hidden => return false,
            Look::Below => {}
        }
    }
    false
}

enum Look {
    Shown,
    Hidden,
    /// This layer says nothing about it.
    Below,
}

fn look(layer: &Path, relative: &Path) -> Look {
    let mut place = layer.to_owned();
    let mut hides = false;
    let mut components = relative.components().peekable();
    while let Some(component) = components.next() {
        place.push(component);
        let Ok(data) = fs::symlink_metadata(&place) else {
            return if hides { Look::Hidden } else { Look::Below };
        };
        if data.file_type().is_char_device() && data.rdev() == 0 {
            return Look::Hidden;
        }
        if components.peek().is_none() {
            return Look::Shown;
        }
        if !data.is_dir() {
            return Look::Hidden;
        }
        hides |= File::open(&place).is_ok_and(|folder| is_opaque(folder.as_fd()));
    }
    Look::Shown
}
