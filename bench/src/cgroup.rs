//! The bench's cgroups. They are the one thing that its namespaces do not take away when it ends.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use step05_cgroups::{Hierarchy, Tree};
use testkit::remove_cgroup;

/// The parent of what `tara` makes.
pub(crate) const TARA: &str = "/tara-bench";
/// The parent of what the floor makes.
const FLOOR: &str = "tara-bench-floor";
/// The parent of what the other runtimes make.
pub(crate) const PEERS: &str = "/tara-bench-peers";

const ROOT: &str = "/sys/fs/cgroup";

/// Whether one tree has all the controllers (cgroup v2).
pub(crate) fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// The roots of all trees.
fn trees() -> Vec<PathBuf> {
    if is_unified() {
        return vec![ROOT.into()];
    }
    let entries = fs::read_dir(ROOT).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Our own cgroups: some take a parent that they are told for one below these (`lxc-execute`).
fn own() -> Vec<PathBuf> {
    let hierarchy = Hierarchy::find().unwrap_or_default();
    let own = |tree: &Tree| tree.own.as_ref().map(|own| tree.mount_point.join(own.strip_prefix("/").unwrap_or(own)));
    hierarchy.trees().iter().filter_map(own).collect()
}

/// Makes the floor's parent, with the controllers that it limits.
///
/// # Errors
/// When a directory cannot be made.
pub(crate) fn make_floor() -> Result<()> {
    for tree in trees() {
        let folder = tree.join(FLOOR);
        if !folder.exists() {
            fs::create_dir(&folder).with_context(|| format!("make the cgroup `{}`", folder.display()))?;
        }
        if is_unified() {
            for at in [&tree, &folder] {
                fs::write(at.join("cgroup.subtree_control"), "+memory +pids +cpu")
                    .with_context(|| format!("hand on the controllers of `{}`", at.display()))?;
            }
        }
    }
    Ok(())
}

/// What other engines make at the root, whatever they are told.
const OF_ENGINES: [&str; 2] = ["libpod_parent", "docker"];

/// Those of other engines that are there.
pub(crate) fn of_engines() -> Vec<PathBuf> {
    let all = trees().into_iter().flat_map(|tree| OF_ENGINES.map(|name| tree.join(name)));
    all.filter(|folder| folder.exists()).collect()
}

/// Removes those of other engines that were not there `before`; what has processes stays.
pub(crate) fn remove_of_engines(before: &[PathBuf]) {
    of_engines().iter().filter(|folder| !before.contains(folder)).for_each(|folder| _ = remove_cgroup(folder));
}

/// Removes all of them. The processes in them are dead, or die now, so it is tried for a while.
pub(crate) fn remove_all() {
    let begin = Instant::now();
    let ours = |tree: PathBuf| [TARA, FLOOR, PEERS].map(|name| tree.join(name.trim_start_matches('/')));
    let mut left: Vec<PathBuf> = trees().into_iter().chain(own()).flat_map(ours).collect();
    loop {
        left.retain(|folder| !remove_cgroup(folder));
        if left.is_empty() {
            return;
        }
        if begin.elapsed() > Duration::from_secs(5) {
            left.iter().for_each(|folder| eprintln!("bench: the cgroup `{}` stays", folder.display()));
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
