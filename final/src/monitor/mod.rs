//! The monitor: the process that stays with a container.
//!
//! It is this program again, started by posix_spawn as `tara monitor`, with one thread. What it is to do comes as JSON on the
//! socket that is its standard input ([`crate::attach::frame`]); whether the program runs, or why not, goes back there. After
//! that it stays: it writes the log, serves those who attach, passes signals on, looks after the container's health, waits,
//! starts the program again where its policy says so, and records the end. Whoever started it may go.

pub mod clients;
pub mod health;
pub mod log;
mod relay;

use crate::attach::frame::{self, Kind, LONGEST};
use crate::attach::{End, Session};
use crate::container::{Lock, Record};
use crate::dirs::Dirs;
use crate::engine::{Engine, RunRequest};
use crate::report;
use anyhow::{Context, Result};
use clients::Clients;
use health::Checks;
use log::Stream;
use nix::fcntl::{OFlag, open};
use nix::poll::PollFd;
use nix::sys::stat::Mode;
use nix::unistd::setsid;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

/// A task, and how it is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    task: Task,
    /// Whether whoever gives it stays attached.
    attached: bool,
}

/// A start that failed in the monitor; it has its report already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What the user reads.
    pub report: String,
    /// The exit code.
    pub code: u8,
}

/// A program that runs under its monitor.
#[derive(Debug)]
pub struct Started {
    /// Its container.
    pub id: String,
    /// The monitor's socket, when the starter stays attached.
    socket: OwnedFd,
}

impl Started {
    /// Stays with it until the end.
    ///
    /// # Errors
    /// As [`Session::relay`].
    pub fn relay(self, session: Session, signals: &step02_pid_ns::ForwardedSignals) -> Result<End> {
        session.relay(&self.socket, signals)
    }
}

/// Starts a monitor and waits until the program runs. With a session the starter is attached before the program begins.
///
/// # Errors
/// When there is no monitor; the inner error is what kept the program from running.
pub fn start(engine: &Engine, task: Task, session: Option<&Session>) -> Result<Result<Started, Failed>> {
    let (socket, theirs) = frame::pair().context("make a socket for the monitor")?;
    let mut monitor = spawn(engine, theirs)?;
    let order = serde_json::to_vec(&Order { task, attached: session.is_some() })?;
    let told = frame::send_all(&socket, Kind::Task, &order).and_then(|()| frame::send(&socket, Kind::Task, &[]));
    told.context("tell the monitor what to do")?;
    if let Some(session) = session {
        session.greet(&socket)?;
    }
    let mut buffer = vec![0; LONGEST + 1];
    match frame::receive(&socket, &mut buffer, true).context("the monitor's answer")? {
        Some((Kind::Running, id)) => Ok(Ok(Started { id: String::from_utf8_lossy(id).into_owned(), socket })),
        Some((Kind::Failed, content)) => {
            let failed = failed(content);
            drop(socket);
            monitor.wait().context("wait for the monitor")?;
            Ok(Err(failed))
        }
        _ => {
            let status = monitor.wait().context("wait for the monitor")?;
            anyhow::bail!("the monitor ended without an answer: {status}")
        }
    }
}

fn spawn(engine: &Engine, socket: OwnedFd) -> Result<Child> {
    let dirs = engine.dirs();
    let mut command = Command::new("/proc/self/exe");
    command.arg("--root").arg(&dirs.root).arg("--run-root").arg(&dirs.run).arg("monitor");
    command
        .current_dir("/")
        .stdin(socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start the monitor")
}

/// The content of a frame that says what failed.
pub(crate) fn failed(content: &[u8]) -> Failed {
    let (code, report) = content.split_first().unwrap_or((&125, &[]));
    Failed { report: String::from_utf8_lossy(report).into_owned(), code: *code }
}

/// What a monitor has while it stays.
#[derive(Debug)]
pub struct Monitor {
    dirs: Dirs,
    /// Everybody who is attached; first of all whoever started it.
    pub clients: Clients,
    /// Whether the starter stays.
    attached: bool,
    /// Whether it has been said that the program runs.
    said: bool,
    log: Option<Log>,
    checks: Option<Checks>,
    record: Option<Record>,
}

impl Monitor {
    /// Before the program starts: the socket and the log of its container.
    ///
    /// # Errors
    /// When one cannot be made.
    pub(crate) fn prepare(&mut self, record: &Record, lock: &Lock) -> Result<()> {
        self.clients.listen(lock.folder())?;
        let settings = &record.upkeep.log;
        self.log = settings.keep.then(|| Log::open(&self.dirs.log(&record.id), settings)).transpose()?;
        self.record = Some(record.clone());
        Ok(())
    }

    /// The program runs.
    pub(crate) fn begin(&mut self) {
        let Some(record) = &self.record else { return };
        let check = record.upkeep.health.as_ref();
        self.checks = check.and_then(|check| Checks::begin(&self.dirs, &record.id, check).ok());
        if !self.said {
            self.clients.answer(Kind::Running, record.id.as_bytes(), self.attached);
            self.said = true;
        }
        // It is as long as the specification, and was needed for the start only.
        let slim = record.for_events();
        self.record = Some(slim);
        self.note_size();
    }

    pub(crate) fn write_log(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.write(stream, bytes);
        }
    }

    pub(crate) fn finish_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.finish();
        }
        self.checks = None;
    }

    /// Writes down that the terminal has another size, if it has.
    pub(crate) fn note_size(&mut self) {
        if let (Some(record), Some((rows, columns))) = (&self.record, self.clients.take_size()) {
            let more = [("height", rows.to_string()), ("width", columns.to_string())];
            crate::events::note(&self.dirs, record, "resize", &more);
        }
    }

    pub(crate) fn health_due(&self) -> Option<Duration> {
        self.checks.as_ref().map(Checks::due)
    }

    pub(crate) fn health_source(&self) -> Option<PollFd<'_>> {
        self.checks.as_ref().and_then(Checks::source)
    }

    pub(crate) fn look_after_health(&mut self) {
        let changed = self.checks.as_mut().and_then(Checks::look_after);
        if let (Some(status), Some(record)) = (changed, &self.record) {
            crate::events::note(&self.dirs, record, &format!("health_status: {status}"), &[]);
        }
    }

    /// The program has ended for good or is about to be started again: those who are attached are told and let go.
    pub(crate) fn say_exit(&mut self, code: u8) {
        self.clients.dismiss(Kind::Exit, &[code]);
    }
}

/// The monitor itself.
///
/// # Errors
/// What cannot be reported any more: there is nobody to read it.
pub fn main(engine: Result<Engine>) -> Result<u8> {
    // A session of its own: the terminal of whoever started it may close, ctrl-C there is not for us.
    setsid().context("begin a session")?;
    let socket = sys::fd::take_standard_input().context("the starter's socket")?;
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => {
            let content = failure(&error);
            let _starter_is_gone = frame::send(&socket, Kind::Failed, &content);
            return Ok(125);
        }
    };
    if let Ok(nothing) = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
        let _stays_open_then = sys::fd::dup_onto(&nothing, 0);
    }
    let order = receive_order(&socket)?;
    let mut clients = Clients::default();
    clients.add(socket);
    let mut monitor = Monitor {
        dirs: engine.dirs().clone(),
        clients,
        attached: order.attached,
        said: false,
        log: None,
        checks: None,
        record: None,
    };
    let code = match engine.monitor(order.task, &mut monitor) {
        // What is left of it is removed afterwards: nobody has to wait for that.
        Ok(finished) => {
            monitor.say_exit(finished.code);
            0
        }
        Err(error) => {
            let code = report::exit_code(&error);
            monitor.clients.answer_failure(&failure(&error));
            code
        }
    };
    monitor.clients.wait_until_gone();
    Ok(code)
}

/// The content of [`Kind::Failed`].
fn failure(error: &anyhow::Error) -> Vec<u8> {
    [report::exit_code(error)].into_iter().chain(report::text(error).into_bytes()).collect()
}

fn receive_order(socket: &OwnedFd) -> Result<Order> {
    let (mut order, mut buffer) = (Vec::new(), vec![0; LONGEST + 1]);
    loop {
        match frame::receive(socket, &mut buffer, true).context("read the task")? {
            Some((Kind::Task, [])) => return serde_json::from_slice(&order).context("read the task"),
            Some((Kind::Task, part)) => order.extend_from_slice(part),
            _ => anyhow::bail!("the starter has gone before it said what to do"),
        }
    }
}
