//! For instructors, and for those who carry the workshop on.

use super::arguments::{GradeArgs, MetaArgs};
use crate::catalogue::{LABS, Lab, name_of};
use crate::report::Ink;
use crate::workspace::Workspace;
use crate::{grade, meta_check};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) fn grade(workspace: &Workspace, args: &GradeArgs, json: bool) -> Result<bool> {
    let lab = Lab::load(workspace, args.lab)?;
    let settings = grade::Settings {
        submissions: found(&args.submissions)?,
        out: args.out.clone(),
        roster: args.roster.clone(),
        again: args.again.clone(),
        place: args.place,
        time_limit: Duration::from_secs(args.time_limit),
        jobs: args.jobs,
    };
    let ink = Ink::of_stdout();
    let grades = grade::all(workspace, &lab, &settings, &|grade| {
        if !json {
            println!("{:<24} {}", grade.name, grade.summary(ink));
        }
    })?;
    for (path, text) in [
        (&args.csv, grade::csv(&lab, &grades)),
        (&args.html, grade::html(&lab, &grades)),
        (&args.junit, grade::junit(&lab, &grades)),
    ] {
        if let Some(path) = path {
            std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))?;
        }
    }
    if let Some(folder) = &args.github {
        grade::github(&grades, folder)?;
    }
    if json {
        println!("{}", json!({ "lab": lab.number, "grades": grades }));
    }
    let broken: Vec<&str> =
        grades.iter().filter(|grade| grade.broken.is_some()).map(|grade| grade.name.as_str()).collect();
    ensure!(broken.is_empty(), "not graded, because the environment broke: {}", broken.join(", "));
    Ok(true)
}

fn found(submissions: &Path) -> Result<PathBuf> {
    ensure!(submissions.is_dir(), "there is no folder `{}`", submissions.display());
    submissions.canonicalize().with_context(|| format!("find `{}`", submissions.display()))
}

pub(super) fn meta(workspace: &Workspace, args: &MetaArgs, json: bool) -> Result<bool> {
    let numbers: Vec<u8> = if args.labs.is_empty() { (1..=LABS).collect() } else { args.labs.clone() };
    let labs = numbers.into_iter().map(|number| Lab::load(workspace, number)).collect::<Result<Vec<_>>>()?;
    let (begin, ink) = (Instant::now(), Ink::of_stdout());
    let say = |finding: &meta_check::Finding| {
        let mark = if finding.problem.is_none() { ink.green("✓") } else { ink.red("✗") };
        let name = name_of(finding.lab);
        let problem = finding.problem.as_ref().map(|problem| format!("\n{problem}")).unwrap_or_default();
        if json {
            println!("{}", json!(finding));
        } else {
            println!("{mark} {name} {} ({} ms){problem}", finding.what, finding.milliseconds);
        }
    };
    let good = meta_check::all(workspace, &labs, args.place, args.only.as_deref(), &say)?;
    eprintln!("{} s", begin.elapsed().as_secs());
    Ok(good)
}
