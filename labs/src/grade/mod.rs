//! Grades a class: each submission in a cell, several at once, results kept as they come.

pub mod cell;
mod export;
mod one;
mod submission;

pub use export::{csv, github, html, junit};

use crate::catalogue::Lab;
use crate::check::{Outcome, Place};
use crate::kit::Kit;
use crate::report::Ink;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use submission::{LARGEST, files_of, hints, size, submissions};

/// How to grade.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder with the submissions.
    pub submissions: PathBuf,
    /// Where results are kept.
    pub out: Option<PathBuf>,
    /// The class.
    pub roster: Option<PathBuf>,
    /// To be graded again.
    pub again: Vec<String>,
    /// Where checks run.
    pub place: Place,
    /// For one submission.
    pub time_limit: Duration,
    /// How many at once.
    pub jobs: Option<usize>,
}

/// What a cell is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    lab: u8,
    submission: PathBuf,
    place: Place,
    kit: Kit,
    /// Folders that have to be in reach.
    needs: Vec<PathBuf>,
    /// Folders that have to be out of sight: the other submissions, the grades.
    hides: Vec<PathBuf>,
    /// Begins the line with the report.
    nonce: String,
}

/// What a cell says.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Report {
    /// The checks ran, or could not run here.
    Checked(Vec<Outcome>),
    /// The submission is at fault: no sources, does not compile.
    Refused(String),
    /// The environment is at fault.
    Broken(String),
}

/// One student's result.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Grade {
    /// The name of the submission.
    pub name: String,
    /// Points had.
    pub points: u32,
    /// Points that could be had where it was graded.
    pub possible: u32,
    /// The checks.
    pub checks: Vec<Outcome>,
    /// Why the submission has no checks: it does not compile, took too long, is not there.
    pub refused: Option<String>,
    /// Why it could not be graded: neither a zero nor a pass.
    pub broken: Option<String>,
    /// How many hints the student took, by the progress file beside the submission.
    pub hints: Option<usize>,
    /// What it took.
    pub milliseconds: u64,
    /// Of the submission's files and the lab: the same again is not graded again.
    pub fingerprint: String,
}

impl Grade {
    /// One line.
    #[must_use]
    pub fn summary(&self, ink: Ink) -> String {
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        match (&self.broken, &self.refused) {
            (Some(why), _) => ink.red(&format!("not graded: {}", first(why))),
            (_, Some(why)) => format!("{:>3} of {:<3} {}", self.points, self.possible, first(why)),
            _ => format!("{:>3} of {:<3} {}", self.points, self.possible, self.failed().join(" ")),
        }
    }

    fn failed(&self) -> Vec<&str> {
        self.checks.iter().filter(|check| check.passed == Some(false)).map(|check| check.id.as_str()).collect()
    }
}

/// Grades all submissions; `say` gets each as it comes. Sorted by name, with those of the roster who handed nothing in.
///
/// # Errors
/// When nothing can be graded at all.
pub fn all(workspace: &Workspace, lab: &Lab, settings: &Settings, say: &(dyn Fn(&Grade) + Sync)) -> Result<Vec<Grade>> {
    let submissions = submissions(&settings.submissions)?;
    let out = settings.out.clone().unwrap_or_else(|| settings.submissions.with_extension("graded"));
    ensure!(
        !out.starts_with(&settings.submissions),
        "results cannot be kept among the submissions: `{}`",
        out.display()
    );
    fs::create_dir_all(&out).with_context(|| format!("make `{}`", out.display()))?;
    let out = out.canonicalize().with_context(|| format!("find `{}`", out.display()))?;
    let class = Class { workspace, lab, settings, kit: Kit::prepare(workspace, lab)?, out };
    let queue = Mutex::new(submissions.iter());
    let grades = Mutex::new(BTreeMap::new());
    let jobs = settings.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((name, path)) = next(&queue) {
                    let grade = class.grade(name, path);
                    say(&grade);
                    lock(&grades).insert(name.clone(), grade);
                }
            });
        }
    });
    let mut grades = grades.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for name in roster(settings.roster.as_deref())? {
        let missing = || Grade {
            name: name.clone(),
            possible: possible(lab),
            refused: Some("nothing handed in".to_owned()),
            ..Grade::default()
        };
        grades.entry(name.clone()).or_insert_with(missing);
    }
    Ok(grades.into_values().collect())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn next<'q>(
    queue: &Mutex<std::collections::btree_map::Iter<'q, String, PathBuf>>,
) -> Option<(&'q String, &'q PathBuf)> {
    lock(queue).next()
}

fn roster(path: Option<&Path>) -> Result<BTreeSet<String>> {
    let Some(path) = path else { return Ok(BTreeSet::new()) };
    let text = fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
    let names = text
        .lines()
        .filter_map(|line| line.split([',', ';']).next())
        .map(|name| name.trim().trim_matches('"').to_owned());
    Ok(names.filter(|name| !name.is_empty() && name != "name").collect())
}

fn possible(lab: &Lab) -> u32 {
    lab.checks().map(|(_, check)| check.points).sum::<u32>() + 1
}

struct Class<'a> {
    workspace: &'a Workspace,
    lab: &'a Lab,
    settings: &'a Settings,
    kit: Kit,
    out: PathBuf,
}

impl Class<'_> {
    fn grade(&self, name: &str, path: &Path) -> Grade {
        let kept = self.out.join(format!("{name}.json"));
        let fingerprint = self.fingerprint(path).unwrap_or_default();
        let known = fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice::<Grade>(&bytes).ok());
        let again = self.settings.again.iter().any(|wanted| wanted == name);
        if let Some(known) = known.filter(|known| !again && known.fingerprint == fingerprint && known.broken.is_none())
        {
            return known;
        }
        let begin = Instant::now();
        let mut grade = self.try_once(name, path);
        if grade.broken.is_some() {
            // Perhaps something else took what it needed.
            grade = self.try_once(name, path);
        }
        grade.name = name.to_owned();
        grade.fingerprint = fingerprint;
        grade.milliseconds = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        grade.hints = hints(path, self.lab.number);
        let unfinished = kept.with_extension("unfinished");
        let text = serde_json::to_vec_pretty(&grade).unwrap_or_default();
        if let Err(error) = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &kept)) {
            grade.broken = Some(format!("keep the result in `{}`: {error}", kept.display()));
        }
        grade
    }

    fn try_once(&self, name: &str, path: &Path) -> Grade {
        let broken = |error| Grade { broken: Some(format!("{error:#}")), ..Grade::default() };
        self.in_cell(name, path).unwrap_or_else(broken)
    }

    fn in_cell(&self, name: &str, path: &Path) -> Result<Grade> {
        if size(path)? > LARGEST {
            return Ok(self.judged(Report::Refused(format!("it is larger than {} MiB", LARGEST >> 20))));
        }
        let mut bytes = [0; 16];
        sys::process::random(&mut bytes)?;
        let nonce: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut needs = self.kit.reads();
        needs.extend([self.workspace.root.clone(), self.workspace.target()]);
        let program = std::env::current_exe()?;
        needs.extend(program.parent().map(Path::to_owned));
        needs.sort();
        needs.dedup();
        let order = Order {
            lab: self.lab.number,
            submission: path.to_owned(),
            place: self.settings.place,
            kit: self.kit.clone(),
            needs,
            hides: vec![self.settings.submissions.clone(), self.out.clone()],
            nonce: nonce.clone(),
        };
        let mut command = cell::command();
        let mut child = command.process_group(0).current_dir(&self.workspace.root).spawn().context("start the cell")?;
        serde_json::to_writer(child.stdin.take().context("a pipe")?, &order)?;
        let streams = [read(child.stdout.take()), read(child.stderr.take())];
        let in_time = wait(&mut child, self.settings.time_limit)?;
        let [stdout, stderr] = streams.map(|stream| stream.join().unwrap_or_default());
        let line = stdout.lines().find_map(|line| line.strip_prefix(nonce.as_str()));
        let report = match line.map(|line| serde_json::from_str(line.trim())) {
            Some(report) => report.context("understand the cell's report")?,
            None if !in_time => {
                Report::Refused(format!("it took longer than {} s", self.settings.time_limit.as_secs()))
            }
            None => Report::Broken(format!("the cell gave no report on `{name}`: {}", stderr.trim())),
        };
        Ok(self.judged(report))
    }

    fn judged(&self, report: Report) -> Grade {
        match report {
            Report::Checked(checks) => {
                let (points, possible) = crate::check::points(&checks);
                Grade { points, possible, checks, ..Grade::default() }
            }
            Report::Refused(why) => Grade { possible: possible(self.lab), refused: Some(why), ..Grade::default() },
            Report::Broken(why) => Grade { broken: Some(why), ..Grade::default() },
        }
    }

    /// Of all that decides about the grade.
    fn fingerprint(&self, path: &Path) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        hasher.write(serde_json::to_string(self.lab)?.as_bytes());
        hasher.write(format!("{:?}", self.settings.place).as_bytes());
        let size = size(path)?;
        hasher.write_u64(size);
        for file in files_of(path)?.iter().filter(|_| size <= LARGEST) {
            hasher.write(file.to_string_lossy().as_bytes());
            hasher.write(&fs::read(file)?);
        }
        Ok(format!("{:016x}", hasher.finish()))
    }
}

/// At most a few megabytes: a cell says little.
fn read(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            let _cut_off = stream.take(8 << 20).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// False when its time was over: then it was ended, and all that is in it with its PID 1.
fn wait(child: &mut Child, limit: Duration) -> Result<bool> {
    let begin = Instant::now();
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        if begin.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
