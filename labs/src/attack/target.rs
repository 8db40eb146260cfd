//! Whom an attack is run against.

use crate::catalogue::Lab;
use crate::workspace::Workspace;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;
use testkit::Need;

/// A plain process, the program of a step, or an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Target {
    /// A plain process.
    Nothing,
    /// The program of a step.
    Step(u8),
    /// The engine.
    Tara,
    /// Docker, with a daemon of the fake host's own.
    Docker,
    /// Podman with the runtime of its choice.
    Podman,
    /// A runtime, with the configuration that it writes itself (`spec`).
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
            Self::Docker => f.write_str("docker"),
            Self::Podman => f.write_str("podman"),
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
        let others = Self::ENGINES.into_iter().chain([Self::Nothing]);
        step.or_else(|| others.into_iter().find(|target| target.to_string() == text)).ok_or(text)
    }
}

impl Target {
    /// The engines that all cards can be played against.
    pub const ENGINES: [Self; 5] = [Self::Tara, Self::Docker, Self::Podman, Self::Crun, Self::Runc];

    /// In one word, as names of tests and of variables are.
    pub(super) fn word(self) -> String {
        self.to_string().replace(' ', "_")
    }

    pub(super) fn package(self, workspace: &Workspace) -> Result<Option<String>> {
        Ok(match self {
            Self::Step(number) => Some(Lab::load(workspace, number)?.package),
            Self::Tara => Some("tara".to_owned()),
            _ => None,
        })
    }

    /// Whether it is a runtime alone, without limits and images of its own.
    pub(super) fn is_bare(self) -> bool {
        matches!(self, Self::Crun | Self::Runc)
    }

    /// Why a card cannot be played against it at all.
    pub(super) fn lacks(self, card: &str) -> Option<String> {
        if self.is_bare() && ["fork-bomb", "memory-hog", "layer-writes-outside"].contains(&card) {
            return Some("a bare runtime is told its limits and its files by an engine".to_owned());
        }
        let programs: &[(&str, &str)] = match self {
            Self::Docker => &[("dockerd", "docker.io"), ("docker", "docker.io"), ("containerd", "containerd")],
            Self::Podman => &[("podman", "podman")],
            Self::Crun => &[("crun", "crun")],
            Self::Runc => &[("runc", "runc")],
            _ => &[],
        };
        programs.iter().find_map(|(name, package)| testkit::lacking(&Need::Program(name, package)))
    }

    /// Why a card cannot be played against it in the bubble.
    pub(super) fn lacks_here(self, card: &str) -> Option<String> {
        let needs_root = !matches!(self, Self::Nothing | Self::Tara) || card == "make-a-disk";
        testkit::lacks_sandbox().or_else(|| needs_root.then_some(Need::Root).and_then(|need| testkit::lacking(&need)))
    }

    /// Why not in the lab machine: it is small.
    pub(super) fn lacks_machine(self) -> Option<String> {
        let too_large = || "the lab machine is too small for a daemon".to_owned();
        (self == Self::Docker).then(too_large).or_else(|| testkit::lacking(&testkit::machine::KERNEL))
    }
}
