//! Walks the student's way for every lab: for those who carry the workshop on.
//!
//! The starter compiles without a warning and fails every check with the words of its holes; with one task cut out its own
//! checks fail; the solution passes; each wrong solution is caught by the check that it names, with the words that it names.

use crate::catalogue::{Check, Lab, Task, Wrong};
use crate::check::{self, NO_TRACE, Outcome, Place};
use crate::holes::Hole;
use crate::kit::{DoesNotCompile, Kit};
use crate::starter::write_sources;
use crate::workspace::Workspace;
use anyhow::{Result, ensure};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The lab.
    pub lab: u8,
    /// `starter`, `task 2 alone`, `solution`, `wrong: no-chdir`.
    pub what: String,
    /// What is not as it should be; `None` when all is.
    pub problem: Option<String>,
    /// What it took.
    pub milliseconds: u128,
}

/// Looks at labs, one for each processor at once, and at the last first: they take longest. False when something is not as it should be.
///
/// # Errors
/// When a reference cannot be built.
pub fn all(
    workspace: &Workspace,
    labs: &[Lab],
    place: Place,
    only: Option<&str>,
    say: &(dyn Fn(&Finding) + Sync),
) -> Result<bool> {
    let (queue, good, error) = (Mutex::new(labs.iter().rev()), AtomicBool::new(true), Mutex::new(None));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(lab) = next() {
                    let result = self::lab(workspace, lab, place, only, &mut |finding| {
                        good.fetch_and(finding.problem.is_none(), Ordering::Relaxed);
                        say(finding);
                    });
                    if let Err(why) = result {
                        *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    }
                }
            });
        }
    });
    let error = error.into_inner().unwrap_or_else(PoisonError::into_inner);
    error.map_or(Ok(good.load(Ordering::Relaxed)), Err)
}

/// Looks at one lab; `say` gets each finding as it comes.
///
/// # Errors
/// When the reference cannot be built.
pub fn lab(
    workspace: &Workspace,
    lab: &Lab,
    place: Place,
    only: Option<&str>,
    say: &mut dyn FnMut(&Finding),
) -> Result<()> {
    let walk = Walk { workspace, lab, place, kit: Kit::prepare(workspace, lab)?.incremental() };
    let mut look = |what: String, test: &dyn Fn() -> Result<()>| {
        if only.is_some_and(|only| !what.contains(only)) {
            return;
        }
        let begin = Instant::now();
        let problem = test().err().map(|error| format!("{error:#}"));
        say(&Finding { lab: lab.number, what, problem, milliseconds: begin.elapsed().as_millis() });
    };
    look("starter".to_owned(), &|| walk.starter());
    for task in &lab.tasks {
        look(format!("task {} alone", task.number), &|| walk.one_task_cut(task));
    }
    look("solution".to_owned(), &|| walk.solution());
    for wrong in &lab.wrongs {
        look(format!("wrong: {}", wrong.name), &|| walk.wrong(wrong));
    }
    Ok(())
}

struct Walk<'a> {
    workspace: &'a Workspace,
    lab: &'a Lab,
    place: Place,
    kit: Kit,
}

impl Walk<'_> {
    fn starter(&self) -> Result<()> {
        let outcomes = self.variant(&|hole| Some(self.lab.placeholder(hole)), &|_, _| true)?;
        let passed: Vec<&str> =
            outcomes.iter().filter(|outcome| outcome.passed == Some(true)).map(|outcome| outcome.id.as_str()).collect();
        ensure!(passed.is_empty(), "these checks pass on the starter: {}", passed.join(", "));
        let words = format!("{} task ", self.lab.name());
        for outcome in outcomes
            .iter()
            .filter(|outcome| outcome.passed == Some(false) && outcome.waits_for.is_empty() && outcome.id != NO_TRACE)
        {
            ensure!(outcome.message.contains(&words), "`{}` does not name a hole:\n{}", outcome.id, outcome.message);
        }
        Ok(())
    }

    fn one_task_cut(&self, task: &Task) -> Result<()> {
        let cut = |hole: &Hole| (hole.task == task.number).then(|| self.lab.placeholder(hole));
        let outcomes = self.variant(&cut, &|of, _| of.number == task.number)?;
        let words = format!("{} task {}:", self.lab.name(), task.number);
        for outcome in outcomes.iter().filter(|outcome| outcome.id != NO_TRACE && outcome.waits_for.is_empty()) {
            ensure!(outcome.passed != Some(true), "`{}` passes without the task", outcome.id);
            ensure!(
                outcome.passed.is_none() || outcome.message.contains(&words),
                "`{}` does not name the hole:\n{}",
                outcome.id,
                outcome.message
            );
        }
        Ok(())
    }

    fn solution(&self) -> Result<()> {
        // It hangs nowhere, and this machine may be busy.
        let patient = Lab { seconds: self.lab.seconds * 6, ..self.lab.clone() };
        let outcomes = Walk { lab: &patient, kit: self.kit.clone(), ..*self }.variant(&|_| None, &|_, _| true)?;
        for outcome in &outcomes {
            ensure!(
                outcome.passed == Some(true),
                "`{}` does not pass ({:?}):\n{}",
                outcome.id,
                outcome.passed,
                outcome.message
            );
        }
        Ok(())
    }

    fn wrong(&self, wrong: &Wrong) -> Result<()> {
        let body = |hole: &Hole| (hole.name == wrong.hole).then(|| wrong.body_for(hole));
        let outcomes = self.variant(&body, &|_, check| check.id == wrong.caught_by)?;
        let caught = |outcome: &&Outcome| outcome.id == wrong.caught_by;
        let Some(outcome) = outcomes.iter().find(caught) else { anyhow::bail!("the check did not run") };
        ensure!(
            outcome.passed == Some(false),
            "`{}` does not catch it ({:?}) {}",
            wrong.caught_by,
            outcome.passed,
            outcome.message
        );
        ensure!(
            outcome.message.contains(&wrong.message),
            "`{}` catches it without the words `{}`:\n{}",
            wrong.caught_by,
            wrong.message,
            outcome.message
        );
        Ok(())
    }

    fn variant(
        &self,
        body: &dyn Fn(&Hole) -> Option<String>,
        wanted: &dyn Fn(&Task, &Check) -> bool,
    ) -> Result<Vec<Outcome>> {
        let folder = self.workspace.scratch("meta").join(self.lab.name());
        // Files that the reference has no more would be compiled, too.
        let _none_there = std::fs::remove_dir_all(folder.join("src"));
        write_sources(self.workspace, self.lab, &folder, body)?;
        let built = self.kit.build(&folder, &folder.join("built"), &|name| check::of_file(self.lab, name, wanted));
        let built = built.map_err(|error| match error.downcast::<DoesNotCompile>() {
            Ok(DoesNotCompile(said)) => anyhow::anyhow!("it does not compile:\n{said}"),
            Err(error) => error,
        })?;
        let starter = self.lab.holes(self.workspace)?.iter().all(|(_, hole)| body(hole).is_some());
        ensure!(!starter || built.warnings.is_empty(), "it compiles with warnings:\n{}", built.warnings);
        check::run(self.lab, &built, self.place, wanted, &|command| command)
    }
}
