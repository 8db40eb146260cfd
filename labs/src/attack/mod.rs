//! Attack cards: what a container of each step cannot stop, and what it can.
//!
//! A card is run on a fake host with an engine on it: a step's program, `tara`, or another engine. What is attacked (a file, a
//! process, a server, a disk) is the fake host's. Where the card or its target needs more than this host gives, the same is done
//! in the lab machine. Payloads are bounded: the fork bomb has 150 processes, the hog 96 MiB.

mod cards;
mod engines;
mod ring;
mod target;

pub use target::Target;

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use testkit::Test;

/// What a daemon of another engine may take.
const LIMIT: Duration = Duration::from_secs(90);

/// A card to be played.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// The card.
    pub card: &'static str,
    /// Against whom.
    pub target: Target,
    /// Whether it has to work there.
    pub works: bool,
}

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
    /// Whether it was in the lab machine.
    pub in_machine: bool,
}

/// The attacks of lab `number`.
#[must_use]
pub fn of_lab(number: u8) -> Vec<Attack> {
    use Target::{Nothing, Step, Tara};
    let list: &[(&str, Target, bool)] = match number {
        1 => &[("read-a-file", Nothing, true), ("read-a-file", Step(1), false), ("double-chroot", Step(1), true)],
        2 => &[("kill-a-process", Step(1), true), ("kill-a-process", Step(2), false), ("double-chroot", Step(2), true)],
        3 => &[("double-chroot", Step(2), true), ("double-chroot", Step(3), false), ("reach-loopback", Step(3), true)],
        4 => &[("reach-loopback", Step(3), true), ("reach-loopback", Step(4), false), ("fork-bomb", Step(4), true)],
        5 => &[
            ("fork-bomb", Step(4), true),
            ("fork-bomb", Step(5), false),
            ("memory-hog", Step(4), true),
            ("memory-hog", Step(5), false),
            ("make-a-disk", Step(3), true),
            ("make-a-disk", Step(5), false),
            ("write-a-sysctl", Step(5), true),
        ],
        6 => &[
            ("write-a-sysctl", Step(5), true),
            ("write-a-sysctl", Step(6), false),
            ("layer-writes-outside", Step(6), true),
        ],
        7 => &[("layer-writes-outside", Step(6), true), ("layer-writes-outside", Tara, false)],
        _ => return against(Tara),
    };
    let attack = |(card, target, works): &(&'static str, Target, bool)| Attack { card, target: *target, works: *works };
    list.iter().map(attack).collect()
}

/// All cards against an engine, which has to stop them.
#[must_use]
pub fn against(target: Target) -> Vec<Attack> {
    cards::ALL.iter().map(|card| Attack { card: card.name, target, works: false }).collect()
}

/// The programs of the targets, built.
#[derive(Debug, Default)]
pub struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Builds the programs that `attacks` need.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn build(workspace: &Workspace, attacks: &[Attack]) -> Result<Self> {
        let mut programs = BTreeMap::new();
        for target in attacks.iter().map(|attack| attack.target) {
            if !programs.contains_key(&target.word())
                && let Some(package) = target.package(workspace)?
            {
                programs.insert(target.word(), crate::kit::program(workspace, &package)?);
            }
        }
        Ok(Self(programs))
    }

    fn environment(&self) -> Vec<(String, String)> {
        let variable =
            |(word, path): (&String, &PathBuf)| (format!("{}{word}", ring::PROGRAM), path.display().to_string());
        self.0.iter().map(variable).chain([("RUST_BACKTRACE".to_owned(), "0".to_owned())]).collect()
    }
}

/// Plays cards, each on a fake host of its own; those that this host cannot take, in one lab machine.
///
/// # Errors
/// For a card that there is none of.
pub fn play(attacks: &[Attack], programs: &Programs) -> Result<Vec<Verdict>> {
    let mut verdicts = attacks.iter().map(|attack| here(attack, programs)).collect::<Result<Vec<_>>>()?;
    let left: Vec<&Attack> = attacks
        .iter()
        .zip(&verdicts)
        .filter(|(attack, verdict)| {
            verdict.works.is_none()
                && attack.target.lacks(attack.card).is_none()
                && attack.target.lacks_machine().is_none()
        })
        .map(|(attack, _)| attack)
        .collect();
    let found = in_machine(&left, programs);
    for (attack, verdict) in attacks.iter().zip(&mut verdicts) {
        if let Some((works, seen)) = found.get(&name(attack)) {
            verdict.in_machine = works.is_some();
            (verdict.works, verdict.seen) = (*works, seen.clone());
        }
    }
    Ok(verdicts)
}

fn here(attack: &Attack, programs: &Programs) -> Result<Verdict> {
    let Attack { card, target, .. } = *attack;
    let says = cards::find(card).with_context(|| format!("there is no card `{card}`"))?.says.to_owned();
    let missing =
        target.lacks(card).or_else(|| target.lacks_here(card)).or_else(|| testkit::lacking(&testkit::BUSYBOX));
    let (works, seen) = match missing {
        Some(why) => (None, why),
        None => {
            let environment = programs.environment();
            let environment: Vec<(&str, String)> =
                environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let (ended, said) = testkit::run_in_fake_host(&name(attack), &environment, LIMIT);
            understood(ended, &said)
        }
    };
    Ok(Verdict { card: card.to_owned(), says, target, works, seen, in_machine: false })
}

type Seen = (Option<bool>, String);

/// The line that the body printed last; else why there is none.
fn understood(ended: Result<(), String>, said: &str) -> Seen {
    let result = said.lines().rev().find_map(|line| serde_json::from_str::<Seen>(line).ok());
    match (ended, result) {
        (Ok(()), Some(seen)) => seen,
        (ended, _) => {
            let why = ended.err().unwrap_or_else(|| "it said nothing".to_owned());
            let panic = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
            let words = panic.or_else(|| said.lines().rev().find(|line| !line.trim().is_empty())).unwrap_or_default();
            (None, format!("{why}: {}", words.trim()))
        }
    }
}

/// In one machine, because each boot takes seconds.
fn in_machine(attacks: &[&Attack], programs: &Programs) -> BTreeMap<String, Seen> {
    let names: BTreeSet<String> = attacks.iter().map(|attack| name(attack)).collect();
    if names.is_empty() {
        return BTreeMap::new();
    }
    let tests: Vec<(&str, Duration)> = names.iter().map(|name| (name.as_str(), LIMIT)).collect();
    let ended = testkit::run_in_machine(&tests, &programs.environment());
    let seen = |(name, result): (String, Result<String, String>)| match result {
        Ok(said) => (name, understood(Ok(()), &said)),
        Err(why) => (name, understood(Err("in the lab machine".to_owned()), &why)),
    };
    ended.into_iter().map(seen).collect()
}

/// The name of the body that plays it: `fork-bomb@step_5`.
fn name(attack: &Attack) -> String {
    format!("{}@{}", attack.card, attack.target.word())
}

/// Whether this process was started as a part of a fake host, and is done.
#[must_use]
pub fn stage() -> Option<ExitCode> {
    let is_probe = std::env::args_os().next().is_some_and(|name| name == "probe");
    (is_probe || std::env::var_os("TESTKIT_STAGE").is_some()).then(|| {
        let targets = || (1..=7).map(Target::Step).chain(Target::ENGINES).chain([Target::Nothing]);
        let all = cards::ALL.iter().flat_map(|card| targets().map(|target| (card.name, target)));
        let tests: Vec<Test> = all
            .map(|(card, target)| Test {
                name: name(&Attack { card, target, works: false }).leak(),
                needs: &[testkit::Need::Time(LIMIT)],
                body: ring::body,
            })
            .collect();
        testkit::main(&tests)
    })
}
