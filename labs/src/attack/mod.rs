//! Attack cards: what a container of each step cannot stop, and what it can.
//!
//! A card is run on a fake host with an engine on it: a step's program, `tara`, or another engine. What is attacked (a file, a
//! process, a server, a disk) is the fake host's. Payloads are bounded: the fork bomb has 150 processes, the hog 96 MiB.

mod cards;
mod ring;

pub use ring::{STAGE, Target};

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How an attack on one target went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// The card.
    pub card: String,
    /// What the attack is.
    pub says: String,
    /// Whom it was run against.
    pub target: Target,
    /// Whether it got what it wanted; `None` when it could not be run.
    pub works: Option<bool>,
    /// What was seen.
    pub seen: String,
}

/// The attacks of lab `number`: name, target, and whether it has to work there.
#[must_use]
pub fn of_lab(number: u8) -> Vec<(&'static str, Target, bool)> {
    use Target::{Nothing, Step, Tara};
    match number {
        1 => vec![("read-a-file", Nothing, true), ("read-a-file", Step(1), false), ("double-chroot", Step(1), true)],
        2 => vec![
            ("kill-a-process", Step(1), true),
            ("kill-a-process", Step(2), false),
            ("double-chroot", Step(2), true),
        ],
        3 => {
            vec![("double-chroot", Step(2), true), ("double-chroot", Step(3), false), ("reach-loopback", Step(3), true)]
        }
        4 => vec![("reach-loopback", Step(3), true), ("reach-loopback", Step(4), false), ("fork-bomb", Step(4), true)],
        5 => vec![
            ("fork-bomb", Step(4), true),
            ("fork-bomb", Step(5), false),
            ("memory-hog", Step(4), true),
            ("memory-hog", Step(5), false),
            ("make-a-disk", Step(4), true),
            ("make-a-disk", Step(5), false),
            ("write-a-sysctl", Step(5), true),
        ],
        6 => vec![
            ("write-a-sysctl", Step(5), true),
            ("write-a-sysctl", Step(6), false),
            ("layer-writes-outside", Step(6), true),
        ],
        7 => vec![("layer-writes-outside", Step(6), true), ("layer-writes-outside", Tara, false)],
        _ => cards::ALL.iter().map(|card| (card.name, Tara, false)).collect(),
    }
}

/// The names of all cards.
pub fn names() -> impl Iterator<Item = &'static str> {
    cards::ALL.iter().map(|card| card.name)
}

/// The programs of the targets, built.
#[derive(Debug, Default)]
pub struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Builds the programs that `targets` need.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn build(workspace: &Workspace, targets: &[Target]) -> Result<Self> {
        let mut programs = BTreeMap::new();
        for target in targets {
            if let Some(package) = target.package(workspace)? {
                programs.insert(target.to_string(), crate::kit::program(workspace, &package)?);
            }
        }
        Ok(Self(programs))
    }
}

/// Runs one card against one target, in a fake host.
///
/// # Errors
/// When the result is not understood.
pub fn run(card: &str, target: Target, programs: &Programs) -> Result<Verdict> {
    let says = cards::find(card).with_context(|| format!("there is no card `{card}`"))?.says;
    let verdict = |works, seen: String| Verdict { card: card.to_owned(), says: says.to_owned(), target, works, seen };
    if let Some(why) =
        testkit::lacks_sandbox().or_else(|| target.lacks(card)).or_else(|| testkit::lacking(&testkit::BUSYBOX))
    {
        return Ok(verdict(None, why));
    }
    let program = programs.0.get(&target.to_string()).map(|path| path.display().to_string()).unwrap_or_default();
    let no_trace = ("RUST_BACKTRACE", "0".to_owned());
    let environment =
        [no_trace, (ring::CARD, card.to_owned()), (ring::TARGET, target.to_string()), (ring::PROGRAM, program)];
    let (ended, said) = testkit::run_in_fake_host(STAGE, &environment, Duration::from_secs(60));
    let result = said.lines().rev().find_map(|line| serde_json::from_str::<(Option<bool>, String)>(line).ok());
    Ok(match (ended, result) {
        (Ok(()), Some((works, seen))) => verdict(works, seen),
        (ended, _) => verdict(None, format!("{ended:?}: {}", said.trim())),
    })
}

/// Whether this process was started as a part of a fake host, and is done.
#[must_use]
pub fn stage() -> Option<ExitCode> {
    let is_probe = std::env::args_os().next().is_some_and(|name| name == "probe");
    (is_probe || std::env::var_os("TESTKIT_STAGE").is_some())
        .then(|| testkit::main(&[testkit::Test { name: STAGE, needs: &[], body: ring::body }]))
}
