//! Where a card meets a target: on the fake host.

use super::cards;
use crate::catalogue::Lab;
use crate::workspace::Workspace;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Host, Output};

/// The name of the body that plays a card.
pub const STAGE: &str = "attack";
pub(super) const CARD: &str = "LAB_CARD";
pub(super) const TARGET: &str = "LAB_TARGET";
pub(super) const PROGRAM: &str = "LAB_PROGRAM";

/// Whom an attack is run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Target {
    /// A plain process.
    Nothing,
    /// The program of a step.
    Step(u8),
    /// The engine.
    Tara,
    /// Other runtimes, with the configuration that they write themselves (`spec`).
    Crun,
    /// The same of runc.
    Runc,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("a plain process"),
            Self::Step(number) => write!(f, "step {number}"),
            Self::Tara => f.write_str("tara"),
            Self::Crun => f.write_str("crun"),
            Self::Runc => f.write_str("runc"),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let step = text.strip_prefix("step ").and_then(|number| number.parse().ok()).map(Self::Step);
        let others = [Self::Nothing, Self::Tara, Self::Crun, Self::Runc];
        step.or_else(|| others.into_iter().find(|target| target.to_string() == text)).ok_or(text)
    }
}

impl Target {
    pub(super) fn package(self, workspace: &Workspace) -> Result<Option<String>> {
        Ok(match self {
            Self::Step(number) => Some(Lab::load(workspace, number)?.package),
            Self::Tara => Some("tara".to_owned()),
            Self::Nothing | Self::Crun | Self::Runc => None,
        })
    }

    /// Why a card cannot be played against it here.
    pub(super) fn lacks(self, card: &str) -> Option<String> {
        let needs_root = !matches!(self, Self::Nothing | Self::Tara) || card == "make-a-disk";
        let program = match self {
            Self::Crun => Some(("crun", "crun")),
            Self::Runc => Some(("runc", "runc")),
            _ => None,
        };
        let runtime = program.is_some() && ["fork-bomb", "memory-hog", "layer-writes-outside"].contains(&card);
        let runtime = runtime.then(|| "a bare runtime has no limits and no images of its own".to_owned());
        let root = needs_root.then_some(testkit::Need::Root).and_then(|need| testkit::lacking(&need));
        root.or(runtime)
            .or_else(|| testkit::lacking(&program.map(|(name, package)| testkit::Need::Program(name, package))?))
    }
}

/// The fake host with a target on it.
pub(super) struct Ring<'h> {
    pub(super) host: &'h Host,
    pub(super) target: Target,
    program: PathBuf,
    root: PathBuf,
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
            Target::Step(_) => self.with(&["run", root]),
            Target::Tara => return self.run_tara(program),
            Target::Crun => return self.run_bundle("crun", program),
            Target::Runc => return self.run_bundle("runc", program),
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

    /// A runtime with the `config.json` that it writes itself.
    fn run_bundle(&self, runtime: &str, program: &[&str]) -> Output {
        let bundle = self.host.folder("bundle");
        let spec = self.host.run(self.host.command(find(runtime)).arg("spec").current_dir(&bundle));
        assert_eq!(spec.code, 0, "{}", spec.stderr);
        let path = bundle.join("config.json");
        let text = std::fs::read_to_string(&path).expect("the configuration of the runtime");
        let mut config: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = program.into();
        config["root"] = serde_json::json!({ "path": self.root, "readonly": false });
        std::fs::write(&path, config.to_string()).expect("the configuration");
        let mut command = self.host.command(find(runtime));
        command.arg("--root").arg(self.host.folder("runtime")).arg("run").arg("--bundle").arg(&bundle).arg("attacked");
        self.host.run(&mut command)
    }
}

fn find(program: &str) -> PathBuf {
    let folders = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin"];
    folders
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| program.into())
}

/// Plays the card that the environment names, and prints how it went.
pub(super) fn body(host: &Host) {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let card = cards::find(&variable(CARD)).expect("a card");
    let target = Target::try_from(variable(TARGET)).expect("a target");
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    let ring = Ring { host, target, program: variable(PROGRAM).into(), root };
    let result = match ring.obstacle(card.needs) {
        Some(why) => (None, why),
        None => (card.play)(&ring),
    };
    // The demo of step 4 keeps its folder of leases for the next run.
    let _other_targets_have_none = std::fs::remove_dir_all("/run/step04-net-bridge");
    // An engine keeps the parent of its cgroups.
    host.remove_cgroup_parent();
    println!("{}", serde_json::to_string(&result).expect("a verdict is plain"));
}
