//! Throwing a container away after its exit status is out.
//!
//! To remove a directory costs ext4 0.1 ms and more, and a container has seven: that is a quarter of the whole start and end
//! of a small program. So what is thrown away (`--rm`) is only renamed, and a process of its own removes it while the exit
//! status is on its way. The lock goes along with the folder: what is in the trash and locked is being removed.

use crate::cgroup;
use crate::container::{Lock, Record, ids, is_locked};
use crate::dirs::Dirs;
use crate::reclaim::{gone, leads_to, names_of};
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::setsid;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A container that is thrown away: gone for everybody, and still to be removed. That happens when this is dropped, or when the
/// process ends with [`Thrown::leave`]. What neither does, `system reclaim` finds.
#[derive(Debug)]
#[must_use = "to drop it is to remove it now"]
pub struct Thrown {
    dirs: Dirs,
    id: String,
    /// Its mount namespace, with the mounts, and its network namespace.
    namespaces: Vec<OwnedFd>,
    /// Until nothing is left of it.
    _lock: Lock,
}

impl Thrown {
    /// The same, and what is in the namespaces that are held.
    pub(crate) fn with(mut self, namespaces: Vec<OwnedFd>) -> Self {
        self.namespaces = namespaces;
        self
    }

    /// Ends this process with `code`, and leaves the work to its heir.
    pub fn leave(self, code: u8) -> ! {
        sys::clone::exit_leaving(code, || {
            into_the_background();
            drop(self);
        })
    }
}

impl Drop for Thrown {
    fn drop(&mut self) {
        // What is mounted from it first.
        self.namespaces.clear();
        let _is_found_in_the_trash = remove(&self.dirs, &self.id);
    }
}

/// Throws away all that belongs to the container of `record`, whose lock the caller holds.
///
/// # Errors
/// rename(2). What is in the trash already, `system reclaim` removes.
pub(crate) fn throw_away(dirs: &Dirs, record: &Record, lock: Lock) -> Result<Thrown> {
    let (id, folder) = (&record.id, dirs.container(&record.id));
    // Somebody may have renamed it. What is on disk says how, and takes three times as long to read as the renames below.
    let names = if leads_to(dirs, &record.name, id) { vec![record.name.clone()] } else { names_of(dirs, id) };
    for name in names {
        let link = dirs.names().join(&name);
        // Into the folder that is thrown away: to remove a link costs ext4 eight times what a rename does.
        let gone_with_it = fs::rename(&link, folder.join("name")).or_else(|_| fs::remove_file(&link)).or_else(gone);
        gone_with_it.with_context(|| format!("remove the name `{name}`"))?;
    }
    // The folder with the lock last: until then the container is one that ends.
    let moves = [(folder, dirs.root.join(TRASH)), (dirs.live(id), dirs.run.join(TRASH))];
    for (folder, trash) in moves {
        let renamed = match fs::rename(&folder, trash.join(id)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&trash).and_then(|()| fs::rename(&folder, trash.join(id)))
            }
            renamed => renamed,
        };
        renamed.with_context(|| format!("throw away `{}`", folder.display()))?;
    }
    Ok(Thrown { dirs: dirs.clone(), id: id.clone(), namespaces: Vec::new(), _lock: lock })
}

/// Nobody's output, nobody's session.
fn into_the_background() {
    if let Ok(nothing) = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
        for number in 0..=2 {
            let _stays_open_then = sys::fd::dup_onto(&nothing, number);
        }
    }
    let _leads_one_already = setsid();
}

const TRASH: &str = "trash";

fn remove(dirs: &Dirs, id: &str) -> Result<()> {
    cgroup::remove(&dirs.run.join(TRASH).join(id), id)?;
    // The folder with the lock last.
    for trash in [&dirs.root, &dirs.run].map(|dir| dir.join(TRASH).join(id)) {
        fs::remove_dir_all(&trash).or_else(gone).with_context(|| format!("remove `{}`", trash.display()))?;
    }
    Ok(())
}

/// Removes what is called `id` in the trash, and the cgroup that nobody has removed.
///
/// # Errors
/// rmdir(2).
pub(crate) fn finish(dirs: &Dirs, path: &Path) -> Result<()> {
    let id = path.file_name().and_then(|name| name.to_str()).context("the trash")?;
    remove(dirs, id)
}

/// What lies in the trash with nobody to remove it.
///
/// # Errors
/// When the trash cannot be read.
pub fn forgotten(dirs: &Dirs) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for trash in [&dirs.root, &dirs.run].map(|dir| dir.join(TRASH)) {
        let dead = ids(&trash)?.into_iter().filter(|id| is_locked(&dirs.run.join(TRASH).join(id)) != Some(true));
        found.extend(dead.map(|id| trash.join(id)));
    }
    Ok(found)
}
