//! What the tests of the engine share: an engine on the fake host, with an image of busybox and the probe.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test program uses some of it, and fails by panicking"
)]

pub mod docker;
pub mod registry;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use step05_cgroups::{Hierarchy, Parent};
use testkit::{Facts, Host, Output};

pub const TARA: &str = env!("CARGO_BIN_EXE_tara");

/// `tara` on directories of the fake host.
pub struct Engine<'h> {
    pub host: &'h Host,
}

impl<'h> Engine<'h> {
    /// An engine with no image.
    pub fn new(host: &'h Host) -> Self {
        Self { host }
    }

    /// An engine with the image `box`: busybox and the probe.
    pub fn with_box(host: &'h Host) -> Self {
        let engine = Self::new(host);
        let root = host.busybox_root("box");
        host.add_probe(&root);
        engine.tara(&["import", root.to_str().unwrap(), "box"]).ok();
        engine
    }

    pub fn root(&self) -> PathBuf {
        self.host.path("tara-root")
    }

    pub fn run_root(&self) -> PathBuf {
        self.host.path("tara-run")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(TARA);
        command.arg("--root").arg(self.root()).arg("--run-root").arg(self.run_root());
        // The one thing that a test makes on the real host: below a parent that is the test's alone.
        match arguments.split_first() {
            Some((verb @ (&"run" | &"create"), rest)) => {
                command.arg(verb).arg("--cgroup-parent").arg(self.host.cgroup_parent());
                if in_the_machine() && !rest.iter().any(|word| word.starts_with("--net")) {
                    command.args(["--network", "none"]);
                }
                command.args(rest)
            }
            _ => command.args(arguments),
        };
        command
    }

    pub fn tara(&self, arguments: &[&str]) -> Output {
        self.host.run(&mut self.command(arguments))
    }

    /// `run --rm` with options before the image `box`, and a program.
    pub fn run(&self, options: &[&str], program: &[&str]) -> Output {
        self.tara(&[&["run", "--rm"], options, &["box"], program].concat())
    }

    pub fn shell(&self, options: &[&str], script: &str) -> Output {
        self.run(options, &["sh", "-c", script])
    }

    pub fn facts(&self, options: &[&str]) -> Facts {
        self.run(options, &["probe", "facts"]).facts()
    }

    /// The entries of a folder of the engine; none when it is not there.
    pub fn entries(&self, folder: PathBuf) -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Nothing of any container is on the disk, and `system check` finds nothing.
    pub fn assert_clean(&self) {
        for folder in [self.root().join("containers"), self.root().join("names"), self.run_root().join("containers")] {
            assert_eq!(self.entries(folder.clone()), Vec::<String>::new(), "{}", folder.display());
        }
        self.assert_consistent();
    }

    pub fn assert_consistent(&self) {
        assert_eq!(self.tara(&["system", "check"]).ok(), "nothing is left behind\n");
    }
}

/// The default bridge and the parent of the cgroups stay between containers; the host has to be as it was before.
impl Drop for Engine<'_> {
    fn drop(&mut self) {
        if self.run_root().join("networks").exists() && !std::thread::panicking() {
            self.tara(&["network", "prune", "-f"]).ok();
        }
        remove_parent(self.host);
    }
}

/// Its kernel cannot translate addresses (Debian builds it without `nft_nat`): no bridge there.
fn in_the_machine() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("User Mode Linux"))
}

/// The directories of the test's cgroups, in every tree.
pub fn cgroups(host: &Host) -> Vec<PathBuf> {
    let found = Hierarchy::find().unwrap();
    let parent = host.cgroup_parent();
    let places = found.trees().iter().map(|tree| tree.mount_point.join(parent.trim_start_matches('/')));
    places.filter(|place| place.is_dir()).collect()
}

/// The parent of the cgroups outlives its containers, and what `--rm` threw away is removed in the background.
pub fn remove_parent(host: &Host) {
    let begin = Instant::now();
    while !cgroups(host).is_empty() && begin.elapsed() < Duration::from_secs(2) {
        let parent = Hierarchy::find().and_then(|found| Parent::new(found, Some(&host.cgroup_parent())));
        let _what_stays_the_leak_check_names = parent.and_then(|parent| parent.remove());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The first line of standard error and the exit code.
pub fn error(output: &Output) -> (i32, &str) {
    (output.code, output.stderr.lines().next().unwrap_or_default())
}
