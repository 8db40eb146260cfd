//! `bench density`: many containers at once that do nothing. Time to start them, one after another and side by side; memory and disk of
//! each; time to stop them.

use crate::cgroup;
use crate::results::{Results, Row};
use crate::rounds::Progress;
use crate::stage::{Bundle, Stage};
use crate::startup::{PROGRAM, runtimes};
use crate::subject::{Group, Missing, Subject, find};
use crate::tara::{IMAGE, Tara};
use anyhow::{Context, Result};
use nix::sys::statvfs::statvfs;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What is done to the container of this name.
type Action<'a> = Box<dyn Fn(&str) -> Result<()> + Sync + 'a>;

/// Starts a container that stays, and takes them all away.
struct Keeper<'a> {
    name: &'static str,
    group: Group,
    /// Starts the container of this name.
    start: Action<'a>,
    /// Ends it and removes it.
    stop: Action<'a>,
}

/// Measures with `count` containers.
///
/// # Errors
/// When a container does not start.
pub(crate) fn run(stage: &Stage, count: usize, only: &[String]) -> Result<Results> {
    let tara = Tara::new(stage)?;
    let mut results = Results::new("density", Vec::new());
    let mut keepers = of_tara(&tara);
    for name in ["crun", "runc"] {
        match find(name) {
            Some(program) => keepers.push(of_runtime(stage, name, program, count)?),
            None => results.missing.push(Missing::program(name, name)),
        }
    }
    keepers.retain(|keeper| only.is_empty() || only.iter().any(|word| keeper.name.contains(word.as_str())));
    for keeper in &keepers {
        match measure(stage, keeper, count) {
            Ok(rows) => results.rows.extend(rows),
            Err(error) => {
                results.missing.push(Missing { name: keeper.name.to_owned(), why: format!("it failed: {error:#}") })
            }
        }
    }
    Ok(results)
}

fn of_tara(tara: &Tara) -> Vec<Keeper<'_>> {
    let keeper = |name, network: &'static str| Keeper {
        name,
        group: Group::Tara,
        start: Box::new(move |id| {
            let options = ["run", "--detach", "--name", id, "--network", network, "--cgroup-parent", cgroup::TARA];
            tara.say(&[&options[..], &[IMAGE, PROGRAM, "pause"]].concat()).map(drop)
        }),
        stop: Box::new(move |id| tara.say(&["rm", "--force", id]).map(drop)),
    };
    vec![keeper("tara, no network", "none"), keeper("tara, bridge", "bridge")]
}

fn of_runtime<'a>(stage: &'a Stage, name: &'static str, program: PathBuf, count: usize) -> Result<Keeper<'a>> {
    let bundle = Bundle { seccomp: true, limits: false, network: true, pause: true };
    // A cgroup each, below the bench's: so a bundle each.
    for id in ids(count) {
        runtimes::with_cgroup(bundle, stage, &format!("{name}-{id}"), true)?;
    }
    let bundles = stage.folder("bundles")?;
    let remover = program.clone();
    let run = move |program: &Path, words: &[&str]| {
        let mut command = runtimes::runtime(program, name);
        command.extend(words.iter().map(OsString::from));
        Subject::new(name, Group::Runtime, command).hides_unified().run().map(drop)
    };
    let label = if name == "crun" { "crun (no monitor)" } else { "runc (no monitor)" };
    Ok(Keeper {
        name: label,
        group: Group::Runtime,
        start: Box::new(move |id| {
            run(&program, &["run", "--detach", "--bundle", &bundles.join(format!("{name}-{id}")).to_string_lossy(), id])
        }),
        stop: Box::new(move |id| run(&remover, &["delete", "--force", id])),
    })
}

fn measure(stage: &Stage, keeper: &Keeper<'_>, count: usize) -> Result<Vec<Row>> {
    let progress = Progress::default();
    let ids = ids(count);
    let (before, space) = (processes(), used(&stage.disk)? + used(Path::new("/run"))?);
    let begin = Instant::now();
    for (number, id) in ids.iter().enumerate() {
        progress.show(&format!("{}: {number} of {count}", keeper.name));
        (keeper.start)(id).with_context(|| format!("start container {number}"))?;
    }
    let one_by_one = begin.elapsed();
    let engines: Vec<u32> = processes().difference(&before).copied().filter(|pid| !is_program(*pid)).collect();
    let memory: Vec<f64> = engines.iter().map(|pid| pss(*pid)).collect();
    let disk = (used(&stage.disk)? + used(Path::new("/run"))?).saturating_sub(space);
    let stopped = all(&ids, 1, &*keeper.stop)?;
    settle(&before);
    let side_by_side = all(&ids, 2 * std::thread::available_parallelism().map_or(1, usize::from), &*keeper.start)?;
    all(&ids, 1, &*keeper.stop)?;
    settle(&before);
    progress.show("");
    let each = |what: &str, unit: &str, value: f64| {
        Row::plain(&format!("{}: {what}", keeper.name), keeper.group, unit, &[value])
    };
    let rows = [
        each(&format!("start {count}, one after another"), "µs", micros(one_by_one)),
        each(&format!("start {count}, side by side"), "µs", micros(side_by_side)),
        each(&format!("stop {count}, one after another"), "µs", micros(stopped)),
        each("memory of the engine, each (PSS)", "KiB", memory.iter().sum::<f64>() / count as f64),
        each("on the disk, each", "KiB", disk as f64 / 1024.0 / count as f64),
    ];
    Ok(rows.into_iter().flatten().collect())
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("d{number}")).collect()
}

/// Does `action` for all, by so many threads.
fn all(ids: &[String], threads: usize, action: &(dyn Fn(&str) -> Result<()> + Sync)) -> Result<Duration> {
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    let work = || {
        while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
            action(id)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
    })?;
    Ok(begin.elapsed())
}

/// Until all that was started has gone.
fn settle(before: &BTreeSet<u32>) {
    let begin = Instant::now();
    while !processes().is_subset(before) && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn processes() -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_program(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "program")
}

/// The proportional set size in KiB: what is shared counts in parts. Source: proc_pid_smaps(5).
fn pss(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Bytes in use on a file system.
fn used(path: &Path) -> Result<u64> {
    let found = statvfs(path)?;
    Ok((found.blocks() - found.blocks_free()) * found.fragment_size())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
