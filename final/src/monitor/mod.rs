//! The monitor: the process that stays with a detached container.
//!
//! It is this program again, started by posix_spawn as `tara monitor`, with one thread. What it is to do comes as JSON on its
//! standard input; whether the program runs, or why not, goes back on its standard output. After that it stays: it
//! writes the log, passes signals on, waits, and records the end. Whoever started it may go.

pub mod log;
mod relay;

use crate::engine::{Engine, RunRequest};
use crate::report;
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::setsid;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write, stdin, stdout};
use std::process::{Command, Stdio};

pub use log::Log;
pub use relay::{Stdio as ContainerStdio, relay};

/// What a monitor is started for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// A new container.
    Run(Box<RunRequest>),
    /// The container with this id again.
    Start(String),
}

/// What the monitor answers, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Answer {
    /// The program of the container with this id runs.
    Running(String),
    /// It does not: the report for the user, and the exit code.
    Failed { report: String, code: u8 },
}

/// A start that failed in the monitor; it has its report already.
#[derive(Debug)]
pub struct Failed {
    /// What the user reads.
    pub report: String,
    /// The exit code.
    pub code: u8,
}

/// Starts a monitor and waits until the program runs: its container's id.
///
/// # Errors
/// When there is no monitor; the inner error is what kept the program from running.
pub fn start(engine: &Engine, task: &Task) -> Result<Result<String, Failed>> {
    let dirs = engine.dirs();
    let mut command = Command::new("/proc/self/exe");
    command.arg("--root").arg(&dirs.root).arg("--run-root").arg(&dirs.run).arg("monitor");
    let mut monitor = command
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start the monitor")?;
    let mut pipe = monitor.stdin.take().context("the monitor's input")?;
    pipe.write_all(&serde_json::to_vec(task)?).context("tell the monitor what to do")?;
    drop(pipe);
    let mut answer = Vec::new();
    monitor.stdout.take().context("the monitor's answer")?.read_to_end(&mut answer).context("the monitor's answer")?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Running(id)) => Ok(Ok(id)),
        Ok(Answer::Failed { report, code }) => {
            monitor.wait().context("wait for the monitor")?;
            Ok(Err(Failed { report, code }))
        }
        Err(_) => {
            let status = monitor.wait().context("wait for the monitor")?;
            anyhow::bail!("the monitor ended without an answer: {status}")
        }
    }
}

/// The monitor itself.
///
/// # Errors
/// What cannot be reported any more: there is nobody to read it.
pub fn main(engine: &Engine) -> Result<u8> {
    // A session of its own: the terminal of whoever started it may close, ctrl-C there is not for us.
    setsid().context("begin a session")?;
    let task: Task = serde_json::from_reader(stdin().lock()).context("read the task")?;
    match engine.monitor(&task, &mut say_running) {
        Ok(()) => Ok(0),
        Err(error) => {
            let code = report::exit_code(&error);
            say(&Answer::Failed { report: report::text(&error), code });
            Ok(code)
        }
    }
}

fn say_running(id: &str) {
    say(&Answer::Running(id.to_owned()));
    // The end of file is what the starter waits for.
    if let Ok(nothing) = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
        for number in 0..=1 {
            let _both_stay_open_then = sys::fd::dup_onto(&nothing, number);
        }
    }
}

fn say(answer: &Answer) {
    let text = serde_json::to_vec(answer).unwrap_or_default();
    let _starter_is_gone = stdout().write_all(&text).and_then(|()| stdout().flush());
}
