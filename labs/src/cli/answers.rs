//! Hints, the solution, and how far from it one is.

use crate::catalogue::{Lab, Task};
use crate::progress::Progress;
use crate::report::Ink;
use crate::workspace::{Workspace, sources};
use crate::{holes, starter};
use anyhow::{Context, Result};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each of the four is.
const LEVELS: [&str; 4] = ["a nudge", "where it is written", "the shape", "the lines"];

pub(super) fn hint(workspace: &Workspace, lab: &Lab, task: Option<u8>, json: bool) -> Result<bool> {
    let mut progress = Progress::load(workspace)?;
    let done = progress.of(lab.number);
    let fails = |task: &&Task| task.checks.iter().any(|check| !check.hidden && !done.passed.contains(&check.id));
    let task = match task {
        Some(number) => Some(lab.task(number)?),
        None => lab.tasks.iter().find(fails),
    };
    let Some(task) = task else {
        if json {
            println!("{}", json!({ "lab": lab.number, "task": null, "hint": null }));
        } else {
            println!("all checks pass: no hint is needed");
        }
        return Ok(true);
    };
    let shown = done.hints.entry(task.number).or_default();
    *shown = (*shown + 1).min(LEVELS.len());
    let level = *shown;
    progress.save(workspace)?;
    let words = words(workspace, lab, task, level)?;
    if json {
        println!("{}", json!({ "lab": lab.number, "task": task.number, "level": level, "hint": words }));
        return Ok(true);
    }
    println!("task {} · {} · hint {level} of 4, {}\n", task.number, task.title, LEVELS[level - 1]);
    println!("{}", words.trim_end());
    Ok(true)
}

/// The hint of a task at a level from 1 to 4.
pub(super) fn words(workspace: &Workspace, lab: &Lab, task: &Task, level: usize) -> Result<String> {
    match task.hints.get(level - 1) {
        Some(hint) => Ok(hint.clone()),
        None => lines(workspace, lab, Some(task.number)),
    }
}

fn lines(workspace: &Workspace, lab: &Lab, task: Option<u8>) -> Result<String> {
    let holes = lab.holes(workspace)?;
    let wanted = holes.iter().filter(|(_, hole)| task.is_none_or(|task| task == hole.task));
    let text =
        wanted.map(|(path, hole)| format!("// {}: {}\n{}", path.display(), hole.name, holes::dedented(&hole.body)));
    Ok(text.collect::<Vec<_>>().join("\n"))
}

pub(super) fn solution(workspace: &Workspace, lab: &Lab, task: Option<u8>, json: bool) -> Result<bool> {
    if let Some(task) = task {
        lab.task(task)?;
    }
    seen(workspace, lab)?;
    if json {
        let wanted = lab.holes(workspace)?.into_iter().filter(|(_, hole)| task.is_none_or(|task| task == hole.task));
        let hole = |(path, hole): (PathBuf, holes::Hole)| json!({ "task": hole.task, "file": path, "name": hole.name, "lines": holes::dedented(&hole.body) });
        println!("{}", json!({ "lab": lab.number, "holes": wanted.map(hole).collect::<Vec<_>>() }));
    } else {
        print!("{}", lines(workspace, lab, task)?);
    }
    Ok(true)
}

/// Takes down that the solution was looked at; after all checks have passed it gives nothing away.
fn seen(workspace: &Workspace, lab: &Lab) -> Result<()> {
    let mut progress = Progress::load(workspace)?;
    let done = progress.of(lab.number);
    done.solution |= lab.checks().any(|(_, check)| !check.hidden && !done.passed.contains(&check.id));
    progress.save(workspace)
}

pub(super) fn diff(workspace: &Workspace, lab: &Lab, json: bool) -> Result<bool> {
    let (mine, solution) = (starter::begun(workspace, lab)?, lab.folder(workspace));
    seen(workspace, lab)?;
    let ink = Ink::of_stdout();
    let mut files = BTreeSet::new();
    for folder in [&mine, &solution] {
        files.extend(sources(folder)?.into_iter().map(|(path, _)| path));
    }
    let mut differences = Vec::new();
    for file in files {
        let text = compared(&mine, &solution, &file, ink.is_on() && !json)?;
        if !text.is_empty() {
            differences.push((file, text));
        }
    }
    if json {
        let differences: Vec<_> =
            differences.iter().map(|(file, text)| json!({ "file": file, "diff": text })).collect();
        println!("{}", json!({ "lab": lab.number, "differences": differences }));
    } else if differences.is_empty() {
        println!("your crate is the solution, line by line");
    } else {
        differences.iter().for_each(|(_, text)| print!("{text}"));
    }
    Ok(true)
}

/// Two versions of a file by diff(1); empty when they are the same. A file that is not there is empty.
fn compared(mine: &Path, solution: &Path, file: &Path, colour: bool) -> Result<String> {
    let mut command = Command::new("diff");
    command.args(["-uN", if colour { "--color=always" } else { "--color=never" }]);
    command.arg(format!("--label=mine/{}", file.display())).arg(format!("--label=solution/{}", file.display()));
    command.arg("--ignore-matching-lines=^#!\\[allow(unused)\\]").arg(mine.join(file)).arg(solution.join(file));
    let output = command.output().context("run diff")?;
    anyhow::ensure!(output.status.code() != Some(2), "diff: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
