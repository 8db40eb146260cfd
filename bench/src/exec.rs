//! `bench exec`: another program in a container that runs.

use crate::cgroup;
use crate::results::{Results, Row};
use crate::rounds::Rounds;
use crate::stage::{Bundle, Stage};
use crate::startup::{Field, PROGRAM, runtimes};
use crate::subject::{Group, Missing, Subject, find};
use crate::tara::{IMAGE, Tara};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;

/// Measures `exec` of all that is installed.
///
/// # Errors
/// When no container starts.
pub(crate) fn run(stage: &Stage, rounds: Rounds, only: Vec<String>) -> Result<Results> {
    let mut field = Field { only, ..Field::default() };
    let tara = Tara::new(stage)?;
    let options = ["run", "--detach", "--network", "none", "--cgroup-parent", cgroup::TARA, IMAGE, PROGRAM, "pause"];
    let id = tara.say(&options)?;
    let pid = pid_of(&tara.say(&["inspect", &id])?)?;
    let cgroup = format!("{}/{id}", cgroup::TARA);
    let floor = [stage.bin.join("floor_exec").into_os_string(), pid.clone().into(), cgroup.into()];
    field.add(Subject::new("floor exec", Group::Floor, floor));
    let mut command = tara.words();
    command.extend(["exec", id.as_str(), PROGRAM].map(OsString::from));
    field.add(Subject::new("tara exec", Group::Tara, command).floor("floor exec"));
    match find("nsenter") {
        Some(program) => {
            let words = ["--all", "--target", pid.as_str(), PROGRAM].map(OsString::from);
            let command = [program.into_os_string()].into_iter().chain(words);
            field.add(Subject::new("nsenter", Group::Runtime, command).floor("floor exec"));
        }
        None => field.lacks(Missing::program("nsenter", "util-linux")),
    }
    for name in ["crun", "runc"] {
        match find(name) {
            Some(_) => of_runtime(&mut field, stage, name)?,
            None => field.lacks(Missing::program(name, name)),
        }
    }
    let measured = rounds.run(field.subjects, &mut field.missing)?;
    let mut results = Results::new("exec", field.missing);
    results.rows = Row::of(&measured);
    Ok(results)
}

fn of_runtime(field: &mut Field, stage: &Stage, name: &str) -> Result<()> {
    let program = find(name).context("the runtime")?;
    let bundle = Bundle { seccomp: true, limits: true, network: true, pause: true };
    let folder = runtimes::with_cgroup(bundle, stage, &format!("{name}-exec"), true)?;
    let mut start = runtimes::runtime(&program, name);
    start.extend(["run", "--detach", "--bundle"].map(OsString::from));
    start.extend([folder.into(), format!("{name}-exec").into()]);
    Subject::new(name, Group::Runtime, start)
        .hides_unified()
        .run()
        .with_context(|| format!("start a container by {name}"))?;
    let mut command = runtimes::runtime(&program, name);
    command.extend(["exec", &format!("{name}-exec"), PROGRAM].map(OsString::from));
    let subject = Subject::new(&format!("{name} exec"), Group::Runtime, command).floor("floor exec");
    field.add(subject.hides_unified());
    Ok(())
}

/// The PID of a container's program, of `inspect`.
fn pid_of(inspected: &str) -> Result<String> {
    let seen: serde_json::Value = serde_json::from_str(inspected)?;
    let pid = seen.pointer("/0/State/Pid").and_then(serde_json::Value::as_u64).context("no PID in `inspect`")?;
    fs::metadata(format!("/proc/{pid}")).with_context(|| format!("process {pid}"))?;
    Ok(pid.to_string())
}
