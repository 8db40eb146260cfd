//! Where a card meets a target: on the fake host.

use super::cards;
use super::engines::{self, Engine};
use super::target::Target;
use std::path::PathBuf;
use std::process::Command;
use testkit::{Host, Output};

/// Begins the names of the variables with the targets' programs.
pub(super) const PROGRAM: &str = "LAB_PROGRAM_";

/// The fake host with a target on it.
pub(super) struct Ring<'h> {
    pub(super) host: &'h Host,
    pub(super) target: Target,
    program: PathBuf,
    root: PathBuf,
    engine: Engine,
}

impl Ring<'_> {
    /// Runs `program` in a container of the target, with its limits on.
    pub(super) fn run(&self, program: &[&str]) -> Output {
        let root = self.root.to_str().unwrap_or_default();
        let parent = self.host.cgroup_parent();
        let mut command = match self.target {
            Target::Nothing => {
                let mut command = self.host.command(self.root.join("bin").join(program[0]));
                // Its applets go by the name that they are called by.
                command.args(&program[1..]);
                return self.host.run(&mut command);
            }
            Target::Step(1) => self.with(&[root]),
            Target::Step(5) => self.with(&["run", "--cgroup-parent", &parent, "--pids-limit", "60", "-m", "32m", root]),
            Target::Step(6) => self.with(&["run", "--cap-drop", "MKNOD", root]),
            // Its kernel has no NAT; the cards ask for a network namespace, not for a way out.
            Target::Step(4) if in_machine() => self.with(&["run", "--network", "none", root]),
            Target::Step(_) => self.with(&["run", root]),
            Target::Tara => return self.run_tara(program),
            Target::Docker => return self.engine.docker(self.host, &parent, program),
            Target::Podman => return engines::podman(self.host, &parent, root, program),
            Target::Crun | Target::Runc => {
                return engines::bundle(self.host, &self.target.to_string(), &self.root, program);
            }
        };
        self.host.run(command.args(program))
    }

    /// Why the target cannot be attacked: it does not run here, or this build lacks what the card is about.
    fn obstacle(&self, needs: &str) -> Option<String> {
        if self.target == Target::Nothing {
            return None;
        }
        if self.target == Target::Tara && !needs.is_empty() && !self.tara(&["run", "--help"]).stdout.contains(needs) {
            return Some(format!("this `tara` has no {needs}"));
        }
        let harmless = self.run(&["true"]);
        (harmless.code != 0)
            .then(|| format!("it does not run here: {}", harmless.stderr.lines().next().unwrap_or_default()))
    }

    fn with(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(&self.program);
        command.args(arguments);
        command
    }

    /// `tara` with directories of the fake host.
    pub(super) fn tara(&self, arguments: &[&str]) -> Output {
        let mut command = self.with(&[]);
        command.arg("--root").arg(self.host.path("tara-root")).arg("--run-root").arg(self.host.path("tara-run"));
        self.host.run(command.args(arguments))
    }

    fn run_tara(&self, program: &[&str]) -> Output {
        let imported = self.tara(&["import", self.root.to_str().unwrap_or_default(), "box"]);
        assert_eq!(imported.code, 0, "{}", imported.stderr);
        let parent = self.host.cgroup_parent();
        let mut options = vec!["run", "--rm"];
        // Where the engine has them.
        let help = self.tara(&["run", "--help"]).stdout;
        for (option, value) in
            [("--network", "none"), ("--pids-limit", "60"), ("--memory", "32m"), ("--cgroup-parent", parent.as_str())]
        {
            if help.contains(option) {
                options.extend([option, value]);
            }
        }
        options.push("box");
        self.tara(&[&options, program].concat())
    }

    /// The engine's answer to the archive of an image, and to its first run.
    pub(super) fn load(&self, archive: &str, image: &str) -> String {
        let (loaded, ran) = match self.target {
            Target::Docker => (
                self.engine.ask(self.host, &["load", "-i", archive]),
                self.engine.ask(self.host, &["run", "--rm", image, "/x"]),
            ),
            Target::Podman => (
                engines::ask_podman(self.host, &["load", "-i", archive]),
                engines::ask_podman(self.host, &["run", "--rm", image, "/x"]),
            ),
            _ => (self.tara(&["load", "-i", archive]), self.tara(&["run", "--rm", "--network", "none", image, "/x"])),
        };
        format!("{}{}", loaded.stderr, ran.stderr)
    }
}

fn in_machine() -> bool {
    std::fs::read_to_string("/proc/cmdline").is_ok_and(|words| words.contains("rootfstype=hostfs"))
}

/// Plays the card that the name of the body says, and prints how it went.
pub(super) fn body(host: &Host) {
    let name = host.test_name();
    let (card, target) = name.split_once('@').expect("a card and a target");
    let program = std::env::var_os(format!("{PROGRAM}{target}")).map(PathBuf::from).unwrap_or_default();
    let card = cards::find(card).expect("a card");
    let target = Target::try_from(target.replace("step_", "step ").replace("a_plain_process", "a plain process"))
        .expect("a target");
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    let engine = if target == Target::Docker { Engine::start(host, &root) } else { Engine::none() };
    let ring = Ring { host, target, program, root, engine };
    let result = match ring.obstacle(card.needs) {
        Some(why) => (None, why),
        None => (card.play)(&ring),
    };
    println!("{}", serde_json::to_string(&result).expect("a verdict is plain"));
    drop(ring);
    // The demo of step 4 keeps its folder of leases for the next run.
    let _other_targets_have_none = std::fs::remove_dir_all("/run/step04-net-bridge");
    // An engine keeps the parent of its cgroups.
    host.remove_cgroup_parent();
    if matches!(target, Target::Docker | Target::Podman) {
        // What those keep on their host, rules and mounts, goes with it.
        testkit::end_without_leak_check();
    }
}
