//! Runs a lab's checks on a crate that was built: the step's own tests, each in a fake host or in the lab machine.

use crate::catalogue::{Check, Lab, Task};
use crate::kit::{Built, Kit};
use crate::starter;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::{CHECKS, Check as Ended, SECONDS, WHERE};

/// Where checks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the bubble what can run there, the rest in the lab machine.
    #[default]
    Auto,
    /// New namespaces on this kernel that play the host: as root with root's rights, else with a user namespace.
    Bubble,
    /// A kernel of its own (User-Mode Linux): without root, with cgroup v2.
    Machine,
    /// The bubble as this machine's root: everything but the kernel is a stand-in.
    Host,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The task, 0 for what concerns all.
    pub task: u8,
    /// The check's name.
    pub id: String,
    /// What it is worth.
    pub points: u32,
    /// Whether it passed; `None` when it could not run here.
    pub passed: Option<bool>,
    /// What is wrong in general when it fails.
    pub says: String,
    /// What was expected, where the test compared two values.
    pub expected: Option<String>,
    /// What was there instead.
    pub observed: Option<String>,
    /// The test's own words, or why it could not run.
    pub message: String,
    /// Where it ran.
    pub place: Place,
    /// How long it took.
    pub milliseconds: u64,
    /// Whether students see it.
    pub hidden: bool,
    /// Checks that failed and have to pass before this one says anything.
    pub waits_for: Vec<String>,
}

/// A student's crate, and what it is built with.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// What it stands on.
    pub kit: &'a Kit,
    /// The folder with its `src/`.
    pub mine: &'a Path,
    /// A folder to build in.
    pub scratch: &'a Path,
}

/// Looks at a student's crate: each task by itself, with the solution in the holes of the others that are not filled yet. A task with
/// an empty hole fails without being run.
///
/// # Errors
/// [`crate::kit::DoesNotCompile`], or when nothing can be built or run.
pub fn assess(
    workspace: &Workspace,
    subject: Subject<'_>,
    place: Place,
    wanted: &dyn Fn(&Task, &Check) -> bool,
    wrap: &dyn Fn(Command) -> Command,
) -> Result<Vec<Outcome>> {
    let Subject { lab, kit, mine, scratch } = subject;
    let whole = scratch.join("whole");
    let _none_there = std::fs::remove_dir_all(&whole);
    let unfilled = starter::complete(workspace, lab, mine, &whole)?;
    let is_filled = |task: &Task, check: &Check| wanted(task, check) && !unfilled.contains(&task.number);
    let mut outcomes: Vec<Outcome> = lab
        .checks()
        .filter(|(task, check)| wanted(task, check) && !is_filled(task, check))
        .map(|(task, check)| not_yet(lab, task, check))
        .collect();
    if lab.checks().any(|(task, check)| is_filled(task, check)) {
        let built =
            kit.build(&whole, &scratch.join("built"), &|name| of_file(lab, name, &is_filled)).map_err(|error| {
                match kit.build(mine, &scratch.join("alone"), &|_| false) {
                    // With the lines of the student's own files.
                    Err(own) => own,
                    Ok(_) => error,
                }
            })?;
        outcomes.extend(run(lab, &built, place, &is_filled, wrap)?);
    } else {
        outcomes.extend(no_trace(&outcomes));
    }
    outcomes.sort_by_key(|outcome| if outcome.task == 0 { u8::MAX } else { outcome.task });
    Ok(outcomes)
}

/// Whether a check that is `wanted` is in the test program `file`.
pub(crate) fn of_file(lab: &Lab, file: &str, wanted: &dyn Fn(&Task, &Check) -> bool) -> bool {
    let is_in = |check: &Check| check.test.split_once("::").is_some_and(|(name, _)| name == file);
    lab.checks().any(|(task, check)| is_in(check) && wanted(task, check))
}

fn not_yet(lab: &Lab, task: &Task, check: &Check) -> Outcome {
    let why = format!("not yet implemented: {} task {}: {}; see {}", lab.name(), task.number, task.title, lab.chapter);
    let ended = Ended { name: check.test.clone(), passed: Some(false), why, milliseconds: 0 };
    outcome(task, check, Some(&(Place::Bubble, ended)))
}

/// The check that is made of all the others.
pub const NO_TRACE: &str = "leaves-no-trace";

/// Runs the checks that `wanted` picks; `wrap` may put the tests into a cell.
///
/// # Errors
/// When a test program cannot be started.
pub fn run(
    lab: &Lab,
    built: &Built,
    place: Place,
    wanted: &dyn Fn(&Task, &Check) -> bool,
    wrap: &dyn Fn(Command) -> Command,
) -> Result<Vec<Outcome>> {
    let chosen: Vec<(&Task, &Check)> = lab.checks().filter(|(task, check)| wanted(task, check)).collect();
    let machine_is_there = || testkit::lacking(&testkit::machine::KERNEL).is_none();
    let place = if place == Place::Auto && machine_is_there() { lab.place } else { place };
    let first = if place == Place::Machine { Place::Machine } else { Place::Bubble };
    let mut ended = run_in(lab, &chosen, built, first, wrap)?;
    if place == Place::Auto {
        let elsewhere: Vec<(&Task, &Check)> = chosen
            .iter()
            .filter(|(_, check)| {
                ended.get(&check.test).is_some_and(|result| {
                    result.1.passed.is_none() && result.1.why.starts_with("needs root")
                        || result.1.why.starts_with("needs a machine")
                })
            })
            .copied()
            .collect();
        ended.extend(run_in(lab, &elsewhere, built, Place::Machine, wrap)?);
    }
    let mut outcomes: Vec<Outcome> =
        chosen.iter().map(|(task, check)| outcome(task, check, ended.get(&check.test))).collect();
    let failed: Vec<String> =
        outcomes.iter().filter(|outcome| outcome.passed == Some(false)).map(|outcome| outcome.id.clone()).collect();
    for (outcome, (_, check)) in outcomes.iter_mut().zip(&chosen) {
        outcome.waits_for = check.parents.iter().filter(|parent| failed.contains(parent)).cloned().collect();
        // What fails in any case cannot pass for the right reason.
        if !outcome.waits_for.is_empty() && outcome.passed == Some(true) {
            outcome.passed = Some(false);
            outcome.message = format!("it says nothing as long as this fails: {}", outcome.waits_for.join(", "));
        }
    }
    outcomes.extend(no_trace(&outcomes));
    Ok(outcomes)
}

fn run_in(
    lab: &Lab,
    chosen: &[(&Task, &Check)],
    built: &Built,
    place: Place,
    wrap: &dyn Fn(Command) -> Command,
) -> Result<BTreeMap<String, (Place, Ended)>> {
    let mut by_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut ended = BTreeMap::new();
    for (_, check) in chosen {
        let lacking = check.not_in_machine.as_ref().filter(|_| place == Place::Machine);
        match (lacking, check.test.split_once("::")) {
            (Some(why), _) => drop(ended.insert(check.test.clone(), (place, not_in_machine(check, why)))),
            (None, Some((file, name))) => by_file.entry(file).or_default().push(name),
            (None, None) => {}
        }
    }
    for (file, mut names) in by_file {
        names.sort_unstable();
        names.dedup();
        let program = built.tests.get(file).with_context(|| format!("the step has no test program `{file}`"))?;
        for result in run_program(program, &built.reference, &names, place, lab.seconds, wrap)? {
            ended.insert(format!("{file}::{}", result.name), (place, result));
        }
    }
    Ok(ended)
}

fn not_in_machine(check: &Check, why: &str) -> Ended {
    let why = format!("needs root: the lab machine has {why}");
    Ended { name: check.test.clone(), passed: None, why, milliseconds: 0 }
}

fn run_program(
    program: &Path,
    reference: &Path,
    names: &[&str],
    place: Place,
    seconds: u32,
    wrap: &dyn Fn(Command) -> Command,
) -> Result<Vec<Ended>> {
    let mut command = Command::new(program);
    // The machine's system calls take several times as long.
    let seconds = if place == Place::Machine { seconds * 3 } else { seconds };
    command
        .env(SECONDS, seconds.to_string())
        .env(CHECKS, names.join(","))
        .env(WHERE, if place == Place::Machine { "machine" } else { "here" });
    // Snapshots are compared, never written; without the second insta would ask cargo where the workspace is.
    command.env("INSTA_UPDATE", "no").env("INSTA_WORKSPACE_ROOT", reference.parent().unwrap_or(reference));
    command.stdin(Stdio::null()).stderr(Stdio::null()).env("RUST_BACKTRACE", "0");
    let output = wrap(command).output().with_context(|| format!("run `{}`", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn outcome(task: &Task, check: &Check, ended: Option<&(Place, Ended)>) -> Outcome {
    let (place, passed, message, milliseconds) = match ended {
        Some((place, ended)) => (*place, ended.passed, ended.why.clone(), ended.milliseconds),
        None => (Place::Auto, None, "the test program ended before it".to_owned(), 0),
    };
    let (observed, expected) =
        if passed == Some(false) { (value(&message, "  left: "), value(&message, " right: ")) } else { (None, None) };
    Outcome {
        task: task.number,
        id: check.id.clone(),
        points: check.points,
        passed,
        says: check.says.clone(),
        expected,
        observed,
        message: message.trim_end().to_owned(),
        place,
        milliseconds,
        hidden: check.hidden,
        waits_for: Vec::new(),
    }
}

/// Tests compare `assert_eq!(observed, expected)`.
fn value(message: &str, prefix: &str) -> Option<String> {
    message.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned)
}

/// Each test ends with a comparison of the host with what it was before: mounts, links, processes, rules, files, cgroups.
fn no_trace(outcomes: &[Outcome]) -> Option<Outcome> {
    let leak = outcomes.iter().find(|outcome| outcome.message.contains("the test changed the host"));
    let any = outcomes.iter().any(|outcome| outcome.passed.is_some());
    any.then(|| Outcome {
        task: 0,
        id: NO_TRACE.to_owned(),
        points: 1,
        passed: Some(leak.is_none() && outcomes.iter().any(|outcome| outcome.passed == Some(true))),
        says: "Something stays on the host after a run.".to_owned(),
        expected: None,
        observed: None,
        message: leak.map_or_else(|| "nothing passed yet".to_owned(), |leak| leak.message.clone()),
        place: Place::Auto,
        milliseconds: 0,
        hidden: false,
        waits_for: Vec::new(),
    })
}

/// Points had and points that could be had here.
#[must_use]
pub fn points(outcomes: &[Outcome]) -> (u32, u32) {
    let sum = |wanted: fn(&&Outcome) -> bool| outcomes.iter().filter(wanted).map(|outcome| outcome.points).sum();
    (sum(|outcome| outcome.passed == Some(true)), sum(|outcome| outcome.passed.is_some()))
}

/// The outcome that a student should look at first.
#[must_use]
pub fn first_failure(outcomes: &[Outcome]) -> Option<&Outcome> {
    let failed = || outcomes.iter().filter(|outcome| outcome.passed == Some(false));
    failed().find(|outcome| outcome.waits_for.is_empty() && outcome.task > 0).or_else(|| failed().next())
}

/// The line of a test's words that says most: the panic's own.
#[must_use]
pub fn short(message: &str) -> Option<String> {
    let lines: Vec<&str> =
        message.lines().map(|line| line.trim().trim_start_matches("| ")).filter(|line| !line.is_empty()).collect();
    let todo = lines.iter().find(|line| line.starts_with("not yet implemented:"));
    let panic = lines.iter().position(|line| line.contains("panicked at")).and_then(|at| lines.get(at + 1));
    let found = todo
        .or(panic.filter(|line| !line.starts_with("assertion")))
        .or_else(|| lines.iter().find(|line| line.starts_with("stderr:") || line.starts_with("error")));
    found.or(lines.first()).map(|line| (*line).to_owned())
}
