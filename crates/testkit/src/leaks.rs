//! The leak check: what is on the fake host before a test and after it.

use crate::runner::find_program;
use crate::wait::DEADLINE;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// All that a container can leave behind, as lines: mounts, network links, processes, firewall rules, files in `/run`,
/// and cgroups below the test's own parent ([`crate::Host::cgroup_parent`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks around. The tests' own folder and processes that are on the way to their end (zombies) do not count.
    #[must_use]
    pub fn take() -> Self {
        let mut lines = BTreeSet::new();
        lines.extend(mounts());
        lines.extend(links());
        lines.extend(processes());
        lines.extend(rules());
        lines.extend(cgroups());
        walk(Path::new("/run"), &mut lines);
        Self(lines)
    }

    /// Compares with now, and waits for what the kernel is still freeing.
    ///
    /// # Panics
    /// When something stays that was not there before, or something is gone.
    pub fn assert_nothing_is_left(&self) {
        let begin = Instant::now();
        loop {
            let now = Self::take();
            if now == *self {
                return;
            }
            let left: Vec<_> = now.0.difference(&self.0).collect();
            let gone: Vec<_> = self.0.difference(&now.0).collect();
            assert!(begin.elapsed() < DEADLINE, "the test changed the host:\nleft behind: {left:#?}\ngone: {gone:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    table.lines().filter_map(|line| Some(format!("mount {}", line.split_once(' ')?.1))).collect()
}

fn links() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/net/dev").expect("the list of links");
    table.lines().skip(2).filter_map(|line| Some(format!("link {}", line.split_once(':')?.0.trim()))).collect()
}

fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        (state != 'Z')
            .then(|| format!("process {pid} {}", stat.split_once(' ').map_or("", |(_, rest)| rest_name(rest))))
    })
    .collect()
}

fn rest_name(stat: &str) -> &str {
    stat.rsplit_once(')').map_or("", |(name, _)| name.trim_start_matches('('))
}

fn rules() -> Vec<String> {
    let Some(nft) = find_program("nft") else {
        return Vec::new();
    };
    let ruleset = Command::new(nft).args(["list", "ruleset"]).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&ruleset).lines().map(|line| format!("rule {line}")).collect()
}

fn cgroups() -> Vec<String> {
    let parent = std::env::var(crate::cgroups::PARENT).unwrap_or_default();
    let below = if parent.is_empty() { Vec::new() } else { crate::cgroups::below(&parent) };
    below.iter().map(|folder| format!("cgroup {}", folder.display())).collect()
}

fn walk(folder: &Path, lines: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path == Path::new(crate::host::HOME) {
            continue;
        }
        lines.insert(format!("file {}", path.display()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, lines);
        }
    }
}
