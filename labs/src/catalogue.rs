//! What a lab consists of: `labs/stepNN.toml`.

use crate::check::Place;
use crate::holes::{self, Hole};
use crate::workspace::{Workspace, sources};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How many labs there are: seven steps and the engine.
pub const LABS: u8 = 8;

/// A lab: the exercises of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// 1 to 7; 8 is `final`.
    pub number: u8,
    /// The package that it is cut from.
    pub package: String,
    /// What it is about.
    pub title: String,
    /// The page of the book.
    pub chapter: String,
    /// What its checks need.
    pub needs: Needs,
    /// Where its checks run best: cgroup v2 is in the lab machine whatever the host has.
    #[serde(default)]
    pub place: Place,
    /// The most that one check may take in the bubble: what a student wrote may hang.
    #[serde(default = "default_seconds")]
    pub seconds: u32,
    /// How long a class takes.
    pub minutes: u32,
    /// What holds when it is done.
    pub invariants: Vec<String>,
    /// The exercises, in order.
    #[serde(rename = "task")]
    pub tasks: Vec<Task>,
    /// Solutions that look right.
    #[serde(rename = "wrong", default)]
    pub wrongs: Vec<Wrong>,
}

fn default_seconds() -> u32 {
    20
}

/// What most checks of a lab cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Needs {
    /// Namespaces, which an ordinary user may make on most machines.
    Bubble,
    /// Root of a machine: this one, or the lab machine.
    Root,
}

/// One exercise: a function or two.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// 1, 2, …: `taskN_…` in the sources.
    pub number: u8,
    /// What is to be done.
    pub title: String,
    /// How long it takes.
    pub minutes: u32,
    /// From a nudge over the man page to the shape; the lines themselves come from the solution.
    pub hints: [String; 3],
    /// What is looked at.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
}

/// One thing that holds or does not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name in reports.
    pub id: String,
    /// `program::test` of the step's own tests.
    pub test: String,
    /// What it is worth.
    pub points: u32,
    /// What is wrong when it fails.
    pub says: String,
    /// Checks that have to pass before this one says anything.
    #[serde(default)]
    pub parents: Vec<String>,
    /// What the lab machine's kernel lacks for it.
    #[serde(default)]
    pub not_in_machine: Option<String>,
    /// Only the grader runs it.
    #[serde(default)]
    pub hidden: bool,
}

/// A wrong solution that a check has to catch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// Its name.
    pub name: String,
    /// Why people write it.
    pub why: String,
    /// The hole that it is put into.
    pub hole: String,
    /// What is put there.
    #[serde(default)]
    pub body: Option<String>,
    /// Or: words of the solution, and what they become.
    #[serde(default)]
    pub replace: Vec<[String; 2]>,
    /// The check that fails on it.
    pub caught_by: String,
    /// What is in the check's message.
    pub message: String,
}

impl Lab {
    /// Reads lab `number`.
    ///
    /// # Errors
    /// For a number that there is none of, and a file that is wrong.
    pub fn load(workspace: &Workspace, number: u8) -> Result<Self> {
        ensure!((1..=LABS).contains(&number), "there is no lab {number}: they are 1 to {LABS}");
        let path = workspace.root.join("labs").join(format!("{}.toml", name_of(number)));
        let text = std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
        let lab: Self = toml::from_str(&text).with_context(|| format!("understand `{}`", path.display()))?;
        lab.check(workspace).with_context(|| format!("in `{}`", path.display()))?;
        Ok(lab)
    }

    /// All labs.
    ///
    /// # Errors
    /// As [`Lab::load`].
    pub fn all(workspace: &Workspace) -> Result<Vec<Self>> {
        (1..=LABS).map(|number| Self::load(workspace, number)).collect()
    }

    fn check(&self, workspace: &Workspace) -> Result<()> {
        let holes = self.holes(workspace)?;
        for task in &self.tasks {
            ensure!(holes.iter().any(|(_, hole)| hole.task == task.number), "task {} has no hole", task.number);
        }
        for wrong in &self.wrongs {
            ensure!(self.find(&wrong.caught_by).is_some(), "`{}` names no check: {}", wrong.name, wrong.caught_by);
            let (_, hole) = holes
                .iter()
                .find(|(_, hole)| hole.name == wrong.hole)
                .with_context(|| format!("`{}` names no hole", wrong.name))?;
            for [from, _] in &wrong.replace {
                ensure!(
                    holes::dedented(&hole.body).contains(from.as_str()),
                    "`{}`: the solution has no `{from}`",
                    wrong.name
                );
            }
        }
        Ok(())
    }

    /// `step01`, or `final`.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.number)
    }

    /// The folder of the reference.
    #[must_use]
    pub fn folder(&self, workspace: &Workspace) -> PathBuf {
        workspace.root.join(if self.number == LABS { "final" } else { &self.package })
    }

    /// The holes with the files that they are in (`src/root.rs`).
    ///
    /// # Errors
    /// As [`holes::find`].
    pub fn holes(&self, workspace: &Workspace) -> Result<Vec<(PathBuf, Hole)>> {
        let mut all = Vec::new();
        for (path, text) in sources(&self.folder(workspace))? {
            let found = holes::find(&text).with_context(|| format!("in `{}`", path.display()))?;
            all.extend(found.into_iter().map(|hole| (path.clone(), hole)));
        }
        all.sort_by_key(|(_, hole)| hole.task);
        Ok(all)
    }

    /// The task with a number.
    ///
    /// # Errors
    /// When there is none.
    pub fn task(&self, number: u8) -> Result<&Task> {
        let found = self.tasks.iter().find(|task| task.number == number);
        found.with_context(|| format!("lab {} has no task {number}: they are 1 to {}", self.number, self.tasks.len()))
    }

    /// All the checks with their tasks.
    pub fn checks(&self) -> impl Iterator<Item = (&Task, &Check)> {
        self.tasks.iter().flat_map(|task| task.checks.iter().map(move |check| (task, check)))
    }

    /// The check called `id`.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<(&Task, &Check)> {
        self.checks().find(|(_, check)| check.id == id)
    }

    /// What stands in a hole of the starter.
    #[must_use]
    pub fn placeholder(&self, hole: &Hole) -> String {
        let title = self.tasks.iter().find(|task| task.number == hole.task).map_or("", |task| &task.title);
        format!("todo!(\"{} task {}: {title}; see {}\")", self.name(), hole.task, self.chapter)
    }
}

impl Wrong {
    /// The wrong body for `hole`.
    #[must_use]
    pub fn body_for(&self, hole: &Hole) -> String {
        let solution = holes::dedented(&hole.body);
        let body = self.body.clone().unwrap_or(solution);
        self.replace.iter().fold(body, |body, [from, to]| body.replace(from.as_str(), to))
    }
}

/// The name of lab `number`.
#[must_use]
pub fn name_of(number: u8) -> String {
    if number == LABS { "final".to_owned() } else { format!("step{number:02}") }
}
