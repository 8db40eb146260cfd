//! The student's crates: which there are, begin, catch up, begin again.

use super::shown;
use crate::catalogue::{LABS, Lab};
use crate::progress::{OfLab, Progress};
use crate::report::Ink;
use crate::starter;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn list(workspace: &Workspace, json: bool) -> Result<bool> {
    let (progress, ink) = (Progress::load(workspace)?, Ink::of_stdout());
    let labs = Lab::all(workspace)?;
    let next = next(&labs, &progress);
    if json {
        println!("{}", json!({ "labs": labs, "progress": progress, "next": next }));
        return Ok(true);
    }
    for lab in &labs {
        let mark = if progress.current == Some(lab.number) { "▸" } else { " " };
        println!("{mark} {} · {:<30} {}", lab.number, lab.title, state(lab, progress.labs.get(&lab.number), ink));
    }
    println!("\nnext: `{next}`");
    Ok(true)
}

/// Of the checks that students see: how many have passed, and how many there are.
fn passed(lab: &Lab, done: &OfLab) -> (usize, usize) {
    let seen = || lab.checks().filter(|(_, check)| !check.hidden);
    (seen().filter(|(_, check)| done.passed.contains(&check.id)).count(), seen().count())
}

fn state(lab: &Lab, done: Option<&OfLab>, ink: Ink) -> String {
    let Some(done) = done else {
        return ink.dim(&format!("{} tasks, {} min", lab.tasks.len(), lab.minutes));
    };
    let (passed, all) = passed(lab, done);
    let mut text = match passed {
        _ if done.checked == 0 => "begun".to_owned(),
        _ if passed == all => ink.green(&format!("{passed} of {all} checks")),
        _ => format!("{passed} of {all} checks"),
    };
    match done.hints.values().sum::<usize>() {
        0 => {}
        1 => text += " · 1 hint",
        hints => text += &format!(" · {hints} hints"),
    }
    if done.solution {
        text += " · solution seen";
    }
    text
}

fn next(labs: &[Lab], progress: &Progress) -> String {
    let current = labs.iter().find(|lab| progress.current == Some(lab.number));
    let Some((lab, done)) = current.and_then(|lab| Some((lab, progress.labs.get(&lab.number)?))) else {
        return "cargo lab start 1".to_owned();
    };
    let (passed, all) = passed(lab, done);
    match lab.number {
        _ if passed < all => "cargo lab check".to_owned(),
        LABS => format!("cargo lab attack {LABS}"),
        number => format!("cargo lab start {}", number + 1),
    }
}

pub(super) fn start(workspace: &Workspace, lab: &Lab, json: bool) -> Result<bool> {
    let folder = starter::make(workspace, lab)?;
    let mut progress = Progress::load(workspace)?;
    progress.current = Some(lab.number);
    progress.of(lab.number);
    progress.save(workspace)?;
    let holes = starter::holes_in(&folder)?;
    if json {
        let of_task = |number| holes.iter().filter(move |(_, hole)| hole.task == number);
        let hole =
            |(path, hole): &(_, crate::holes::Hole)| json!({ "file": path, "line": hole.line, "name": hole.name });
        let tasks = lab.tasks.iter().map(|task| {
            let holes: Vec<Value> = of_task(task.number).map(hole).collect();
            json!({ "number": task.number, "title": task.title, "minutes": task.minutes, "holes": holes })
        });
        println!("{}", json!({ "lab": lab.number, "folder": folder, "tasks": tasks.collect::<Vec<_>>() }));
        return Ok(true);
    }
    let ink = Ink::of_stdout();
    println!("{}, {} minutes", ink.bold(&format!("lab {} · {}", lab.number, lab.title)), lab.minutes);
    println!("your crate: `{}`; the text: {}, `{}`\n", shown(&folder), lab.chapter, page(workspace, lab));
    for task in &lab.tasks {
        println!("task {} · {} ({} min)", task.number, task.title, task.minutes);
        for (path, hole) in holes.iter().filter(|(_, hole)| hole.task == task.number) {
            println!("    {}:{} · {}", path.display(), hole.line, hole.name);
        }
    }
    println!("\nin the end");
    lab.invariants.iter().for_each(|invariant| println!("    {invariant}"));
    println!("\nFill the holes (`todo!`), then `cargo lab check`: it is red until you have.");
    Ok(true)
}

/// The page of the book.
fn page(workspace: &Workspace, lab: &Lab) -> String {
    let name = if lab.number == LABS { "engine".to_owned() } else { format!("step{}", lab.number) };
    shown(&workspace.root.join("book/src").join(name).with_extension("md"))
}

pub(super) fn catch_up(workspace: &Workspace, lab: &Lab, task: Option<u8>, json: bool) -> Result<bool> {
    if let Some(task) = task {
        lab.task(task)?;
    }
    if !starter::folder(workspace, lab).exists() {
        starter::make(workspace, lab)?;
    }
    starter::solve(workspace, lab, task)?;
    let mut progress = Progress::load(workspace)?;
    progress.current = Some(lab.number);
    progress.of(lab.number).solution = true;
    progress.save(workspace)?;
    let folder = starter::folder(workspace, lab);
    match task {
        _ if json => println!("{}", json!({ "lab": lab.number, "folder": folder, "task": task })),
        Some(task) => println!("the solution of task {task} is in `{}`", shown(&folder)),
        None => println!("the solution is in `{}`", shown(&folder)),
    }
    Ok(true)
}

pub(super) fn reset(workspace: &Workspace, lab: &Lab, json: bool) -> Result<bool> {
    let folder = starter::folder(workspace, lab);
    if folder.exists() {
        let old = free_name(workspace, lab)?;
        std::fs::rename(&folder, &old).context("put the old crate aside")?;
        // JSON is one document.
        if !json {
            println!("the old one is `{}`\n", shown(&old));
        }
    }
    start(workspace, lab, json)
}

fn free_name(workspace: &Workspace, lab: &Lab) -> Result<std::path::PathBuf> {
    let mut names = (1..).map(|number| workspace.mine.join(format!("{}.old{number}", lab.name())));
    names.find(|path: &std::path::PathBuf| !Path::exists(path)).context("a free name")
}
