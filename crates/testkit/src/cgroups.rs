//! Cgroups are no namespace's own: a test makes them on the real host, below a parent that is the test's alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The variable that carries the parent's name from the runner to the test.
pub(crate) const PARENT: &str = "TESTKIT_CGROUP";

/// A name that no other test of this machine has: the processes of tests count from 1 each, and so does each PID namespace.
pub(crate) fn new_parent() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}{}-{}", prefix(), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What the names of this PID namespace begin with: whether a runner of another one lives cannot be seen from here.
fn prefix() -> String {
    use std::os::unix::fs::MetadataExt;
    let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino());
    format!("tara-test-{namespace:x}-")
}

/// Removes the cgroups of runners that were killed before they could.
pub fn sweep_stale() -> Vec<PathBuf> {
    let (mut removed, prefix) = (Vec::new(), prefix());
    for entry in mount_points().iter().flat_map(fs::read_dir).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(&prefix).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            sweep(&name);
            removed.push(entry.path());
        }
    }
    removed
}

/// The directories of `parent` and below it, in every tree that is mounted.
pub(crate) fn below(parent: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in mount_points() {
        collect(&root.join(parent), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    if !folder.is_dir() {
        return;
    }
    found.push(folder.to_owned());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
}

fn mount_points() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    table.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// Removes what a test that failed or took too long left: its processes are gone with its PID namespace.
pub(crate) fn sweep(parent: &str) {
    if parent.is_empty() {
        return;
    }
    let begin = Instant::now();
    let mut left: Vec<PathBuf> = mount_points().iter().map(|root| root.join(parent)).collect();
    loop {
        left.retain(|folder| !remove_cgroup(folder));
        if left.is_empty() || begin.elapsed() > Duration::from_secs(2) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Removes a cgroup's directory and those below it, where no process is left. True when all are gone.
pub fn remove_cgroup(folder: &Path) -> bool {
    let mut all = Vec::new();
    collect(folder, &mut all);
    for folder in all.iter().rev() {
        // Who is frozen, in v1, does not take the SIGKILL that ended the rest.
        let _no_freezer = fs::write(folder.join("freezer.state"), "THAWED");
        let _busy_for_a_moment = fs::remove_dir(folder);
    }
    !folder.exists()
}
