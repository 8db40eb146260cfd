//! `check` and `watch`.

use super::arguments::{CheckArgs, WatchArgs};
use super::{answers, shown};
use crate::catalogue::{Check, LABS, Lab, Task};
use crate::check::{self, Outcome, Place, first_failure};
use crate::kit::{DoesNotCompile, Kit};
use crate::progress::Progress;
use crate::report::{self, Ink};
use crate::workspace::Workspace;
use crate::{starter, tidy, watch};
use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use serde_json::json;
use std::fs::File;
use std::path::Path;

pub(super) fn check(workspace: &Workspace, lab: &Lab, args: &CheckArgs, json: bool) -> Result<bool> {
    if let Some(task) = args.task {
        lab.task(task)?;
    }
    let outcomes = match outcomes(workspace, lab, args.place, args.task) {
        Err(error) if json => return Err(say_what_the_compiler_said(lab, error)),
        outcomes => outcomes?,
    };
    record(workspace, lab, &outcomes)?;
    let green = is_green(&outcomes);
    if json {
        println!("{}", json!({ "lab": lab.number, "green": green, "checks": outcomes }));
        return Ok(green);
    }
    let ink = Ink::of_stdout();
    print!("{}", report::outcomes(lab, &outcomes, ink));
    match first_failure(&outcomes) {
        Some(failure) if failure.task > 0 => {
            println!("{}: `cargo lab hint` has hints for task {}", ink.red("red"), failure.task);
        }
        Some(_) => println!("{}", ink.red("red")),
        None if args.task.is_none() => println!("{}: {}", ink.green("green"), onwards(lab)),
        None => println!("{}", ink.green("green")),
    }
    Ok(green)
}

fn onwards(lab: &Lab) -> String {
    if lab.number == LABS {
        format!("`cargo lab attack {LABS}` plays all the cards against what you have built: the workshop is done")
    } else {
        format!("`cargo lab attack {}`, then `cargo lab start {}`", lab.number, lab.number + 1)
    }
}

/// Red: a check failed, or none could run at all.
fn is_green(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| outcome.passed != Some(false))
        && outcomes.iter().any(|outcome| outcome.passed.is_some())
}

fn say_what_the_compiler_said(lab: &Lab, error: anyhow::Error) -> anyhow::Error {
    if let Some(DoesNotCompile(said)) = error.downcast_ref() {
        println!("{}", json!({ "lab": lab.number, "green": false, "checks": [], "compiler": said }));
    }
    error
}

fn record(workspace: &Workspace, lab: &Lab, outcomes: &[Outcome]) -> Result<()> {
    let mut progress = Progress::load(workspace)?;
    progress.current = Some(lab.number);
    progress.of(lab.number).record(outcomes);
    progress.save(workspace)
}

fn outcomes(workspace: &Workspace, lab: &Lab, place: Place, task: Option<u8>) -> Result<Vec<Outcome>> {
    ensure!(
        place != Place::Host || nix::unistd::geteuid().is_root(),
        "`--where host` needs root: use sudo, or leave it away"
    );
    let mine = starter::begun(workspace, lab)?;
    ensure!(
        !workspace.mine.starts_with("/run"),
        "`{}` is below /run, of which each check has its own: choose another folder by `--dir`",
        workspace.mine.display()
    );
    let _of_killed_runs = tidy::sweep();
    let wanted = |of: &Task, check: &Check| !check.hidden && task.is_none_or(|task| task == of.number);
    let scratch = workspace.mine.join(".built").join(lab.name());
    let kit = Kit::prepare(workspace, lab)?.incremental();
    let _one_at_a_time = lock(&scratch)?;
    let subject = check::Subject { lab, kit: &kit, mine: &mine, scratch: &scratch };
    check::assess(workspace, subject, place, &wanted, &|command| command)
}

/// `watch` in one window and `check` in another build into the same folder: one waits for the other.
fn lock(scratch: &Path) -> Result<Flock<File>> {
    std::fs::create_dir_all(scratch).with_context(|| format!("make `{}`", scratch.display()))?;
    let file =
        File::create(scratch.join("lock")).with_context(|| format!("make `{}`", scratch.join("lock").display()))?;
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).or_else(|(file, _)| {
        eprintln!("waiting for another check of this lab");
        Flock::lock(file, FlockArg::LockExclusive)
    });
    held.map_err(|(_, errno)| errno).context("wait for another check of this lab")
}

pub(super) fn watch(workspace: &Workspace, lab: &Lab, args: &WatchArgs, json: bool) -> Result<bool> {
    let folder = starter::begun(workspace, lab)?.join("src");
    let mut watch = watch::Watch::new(&folder, args.poll, args.manual);
    eprintln!("watching `{}`; ctrl-c ends", shown(&folder));
    loop {
        match outcomes(workspace, lab, Place::Auto, None) {
            Ok(outcomes) => show_first(workspace, lab, &outcomes, json)?,
            Err(error) if json => drop(say_what_the_compiler_said(lab, error)),
            Err(error) => match error.downcast_ref() {
                Some(DoesNotCompile(said)) => println!("{}: it does not compile\n{said}", Ink::of_stdout().red("red")),
                None => return Err(error),
            },
        }
        if !watch.wait()? {
            return Ok(true);
        }
    }
}

fn show_first(workspace: &Workspace, lab: &Lab, outcomes: &[Outcome], json: bool) -> Result<()> {
    record(workspace, lab, outcomes)?;
    if json {
        println!("{}", json!({ "lab": lab.number, "green": is_green(outcomes), "checks": outcomes }));
        return Ok(());
    }
    let ink = Ink::of_stdout();
    let (had, possible) = check::points(outcomes);
    let Some(first) = first_failure(outcomes) else {
        println!("{} {had} of {possible} points: {}\n", ink.green("green"), onwards(lab));
        return Ok(());
    };
    println!("{} {had} of {possible} points · task {} · {}", ink.red("red"), first.task, first.id);
    print!("{}", report::details(first));
    println!("{}", hints_so_far(workspace, lab, first.task)?);
    Ok(())
}

/// The hint that was asked for last, and how to get the next.
fn hints_so_far(workspace: &Workspace, lab: &Lab, task: u8) -> Result<String> {
    let progress = Progress::load(workspace)?;
    let Ok(of_task) = lab.task(task) else { return Ok(String::new()) };
    let level = progress.labs.get(&lab.number).and_then(|done| done.hints.get(&task)).copied().unwrap_or(0);
    let last = if level == 0 { String::new() } else { answers::words(workspace, lab, of_task, level)? };
    let last: String = last.lines().map(|line| format!("      | {line}\n")).collect();
    let next = if level < 4 {
        format!("      `cargo lab hint --task {task}` has hint {} of 4\n", level + 1)
    } else {
        String::new()
    };
    Ok(last + &next)
}
