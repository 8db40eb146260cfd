//! Removing all that belongs to a container, whatever is left of it.
//!
//! Everything is named after the id, so there is no journal: normal exit, a failed start, `rm` and `system reclaim` after
//! a crash all do this. It may be done again, and what is already gone is no error.

use crate::cgroup;
use crate::container::{Lock, Record, ids};
use crate::dirs::Dirs;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Removes what stays and what lives of the container `id`, whose lock the caller holds if there is one.
///
/// # Errors
/// All that could not be removed, in one error; everything else is gone.
pub fn reclaim(dirs: &Dirs, id: &str, lock: Option<Lock>) -> Result<()> {
    let names = names_of(dirs, id);
    let mut failures = Vec::new();
    let mut note = |what: String, result: io::Result<()>| {
        if let Err(error) = result.or_else(gone) {
            failures.push(format!("{what}: {error}"));
        }
    };
    // What lives of it last, and under its lock: until there a second reclaim finds what to do.
    let lives = dirs.live(id);
    note("its share of the machine".to_owned(), cgroup::remove(&lives, id).map_err(io::Error::other));
    for name in names {
        note(format!("the name `{name}`"), fs::remove_file(dirs.names().join(name)));
    }
    // Links, addresses, published ports; where nobody ever had a network there is nothing to ask.
    note("its networks".to_owned(), crate::network::forget(dirs, id).map_err(io::Error::other));
    let stays = dirs.container(id);
    note(format!("`{}`", stays.display()), remove_folder(&stays));
    note(format!("`{}`", lives.display()), remove_folder(&lives));
    drop(lock);
    if !failures.is_empty() {
        bail!("remove the container {id}: {}", failures.join("; "));
    }
    Ok(())
}

/// The same, and the volumes without a name that nobody else mounts.
///
/// # Errors
/// As [`reclaim`]; the container is gone even when a volume is not.
pub fn reclaim_with_volumes(dirs: &Dirs, id: &str, lock: Option<Lock>) -> Result<()> {
    let released = crate::volumes::release(dirs, id, true);
    reclaim(dirs, id, lock).and(released)
}

/// Ends what lives of a container that has ended, and keeps the record.
///
/// # Errors
/// unlink(2), rmdir(2).
pub fn put_to_rest(dirs: &Dirs, id: &str, lock: Lock) -> Result<()> {
    let lives = dirs.live(id);
    cgroup::remove(&lives, id)?;
    let removed = remove_folder(&lives).or_else(gone);
    drop(lock);
    removed.with_context(|| format!("remove `{}`", lives.display()))
}

/// Removes a folder of a container, though somebody may just be leaving word in it (`stop`, `wait`, `update`).
fn remove_folder(path: &Path) -> io::Result<()> {
    loop {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            removed => return removed,
        }
    }
}

/// Already gone is as good as removed.
pub(crate) fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The names that lead to `id`: the record's, and without a record all that the folder of names has.
pub(crate) fn names_of(dirs: &Dirs, id: &str) -> Vec<String> {
    let candidates = match Record::read(dirs, id) {
        Some(record) => vec![record.name],
        None => ids(&dirs.names()).unwrap_or_default(),
    };
    candidates.into_iter().filter(|name| leads_to(dirs, name, id)).collect()
}

/// Whether `name` is the container's.
pub(crate) fn leads_to(dirs: &Dirs, name: &str, id: &str) -> bool {
    fs::read_link(dirs.names().join(name)).is_ok_and(|target| target.as_os_str() == id)
}
