//! Throwing a container away after its exit status is out.
//!
//! To remove a directory costs ext4 0.1 ms and more, and a container has seven: that is a quarter of the whole start and end
//! of a small program. So what is thrown away (`--rm`) is only renamed, and a process of its own removes it while the exit
//! status is on its way. The lock goes along with the folder: what is in the trash and locked is being removed.

use crate::cgroup;
use crate::container::{Lock, ids, is_locked};
use crate::dirs::Dirs;
use crate::reclaim::{gone, names_of};
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::setsid;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Throws away all that belongs to the container `id`, whose lock the caller holds.
///
/// # Errors
/// rename(2). What is in the trash already, `system reclaim` removes.
pub fn throw_away(dirs: &Dirs, id: &str, lock: Lock) -> Result<()> {
    let folder = dirs.container(id);
    for name in names_of(dirs, id) {
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
    match sys::clone::fork(|| in_the_background(dirs, id)) {
        // The lock is the background process's too. To drop it would unlock it for both; our end closes with us.
        Ok(_background) => std::mem::forget(lock),
        // With more than one thread there is no fork.
        Err(_) => remove(dirs, id)?,
    }
    Ok(())
}

/// The background process: nobody's output, nobody's session.
fn in_the_background(dirs: &Dirs, id: &str) -> u8 {
    if let Ok(nothing) = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
        for number in 0..=2 {
            let _stays_open_then = sys::fd::dup_onto(&nothing, number);
        }
    }
    let _leads_one_already = setsid();
    u8::from(remove(dirs, id).is_err())
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
