//! Whether a container does its work: a program that is run in it now and then, and what its exit codes come to.
//!
//! The check is `tara exec` as a process of its own: a process that joins a PID namespace cannot fork any more once that
//! namespace's PID 1 is dead, so the monitor itself never joins.

use crate::container::{Record, Status};
use crate::dirs::Dirs;
use crate::upkeep::HealthCheck;
use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::SIGKILL;
use nix::poll::{PollFd, PollFlags};
use nix::unistd::{Pid, pipe2, read};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// docker's `State.Health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// How many checks have failed in a row.
    pub failing_streak: u32,
    /// The last five results.
    pub log: Vec<CheckResult>,
}

/// How one check went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckResult {
    /// When it began.
    pub start: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// Its exit code; -1 when it took too long or could not be run.
    pub exit_code: i32,
    /// What it wrote, 4096 bytes at most.
    pub output: String,
}

const FILE: &str = "health.json";
const OUTPUT: usize = 4096;

impl Health {
    /// What the monitor of a running container has found out; `None` without a health check.
    #[must_use]
    pub fn read(dirs: &Dirs, id: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(dirs.live(id).join(FILE)).ok()?).ok()
    }

    /// What docker says of the health of one that does not run and has a check.
    #[must_use]
    pub(crate) fn at_rest(record: &Record, status: &Status) -> Option<Self> {
        let has_check =
            record.upkeep.health.as_ref().is_some_and(|check| check.test.first().is_some_and(|word| word != "NONE"));
        let word = if matches!(status, Status::Exited(_) | Status::Abandoned(_)) { "unhealthy" } else { "starting" };
        has_check.then(|| Self { status: word.to_owned(), failing_streak: 0, log: Vec::new() })
    }

    fn write(&self, dirs: &Dirs, id: &str) -> Result<()> {
        let path = dirs.live(id).join(FILE);
        let temporary = path.with_extension("new");
        fs::write(&temporary, serde_json::to_vec(self)?).context("write the state of health")?;
        fs::rename(&temporary, &path).context("write the state of health")
    }

    /// Counts one result; whether the status has changed by it.
    fn count(&mut self, result: CheckResult, check: &HealthCheck, in_start_period: bool) -> bool {
        let before = self.status.clone();
        if result.exit_code == 0 {
            self.failing_streak = 0;
            "healthy".clone_into(&mut self.status);
        } else if !(in_start_period && self.status == "starting") {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                "unhealthy".clone_into(&mut self.status);
            }
        }
        self.log.push(result);
        if self.log.len() > 5 {
            self.log.remove(0);
        }
        before != self.status
    }
}

/// The checks of one container that runs.
#[derive(Debug)]
pub struct Checks {
    dirs: Dirs,
    id: String,
    check: HealthCheck,
    health: Health,
    began: Instant,
    next: Instant,
    running: Option<Running>,
}

/// A check that is under way.
#[derive(Debug)]
struct Running {
    child: Child,
    pidfd: OwnedFd,
    output: OwnedFd,
    said: Vec<u8>,
    start: Timestamp,
    deadline: Instant,
}

impl Checks {
    /// The first check is an interval away.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn begin(dirs: &Dirs, id: &str, check: &HealthCheck) -> Result<Self> {
        let health = Health { status: "starting".to_owned(), failing_streak: 0, log: Vec::new() };
        health.write(dirs, id)?;
        let now = Instant::now();
        let (dirs, id, check) = (dirs.clone(), id.to_owned(), check.clone());
        let mut checks = Self { dirs, id, check, health, began: now, next: now, running: None };
        checks.next = now + checks.pause();
        Ok(checks)
    }

    fn in_start_period(&self) -> bool {
        self.began.elapsed() < self.check.start_period
    }

    fn pause(&self) -> Duration {
        let starting = self.in_start_period() && self.health.status == "starting";
        if starting { self.check.start_interval } else { self.check.interval }
    }

    /// How long from now something has to be done.
    #[must_use]
    pub fn due(&self) -> Duration {
        let when = self.running.as_ref().map_or(self.next, |running| running.deadline);
        when.saturating_duration_since(Instant::now())
    }

    /// What says that a check has something to tell.
    #[must_use]
    pub fn source(&self) -> Option<PollFd<'_>> {
        self.running.as_ref().map(|running| PollFd::new(running.pidfd.as_fd(), PollFlags::POLLIN))
    }

    /// Begins and ends checks; the new status, when it has changed.
    pub fn look_after(&mut self) -> Option<String> {
        match self.running.take() {
            Some(running) => self.look_at(running),
            None if Instant::now() >= self.next => {
                match start(&self.dirs, &self.id, &self.check) {
                    Ok(running) => self.running = Some(running),
                    Err(error) => return self.finish(Timestamp::now(), -1, format!("{error:#}")),
                }
                None
            }
            None => None,
        }
    }

    fn look_at(&mut self, mut running: Running) -> Option<String> {
        running.listen();
        let ended = running.child.try_wait();
        if let Ok(Some(status)) = ended {
            running.listen();
            let code = status.code().unwrap_or(-1);
            let said = String::from_utf8_lossy(&running.said).into_owned();
            return self.finish(running.start, code, said);
        }
        if Instant::now() < running.deadline {
            self.running = Some(running);
            return None;
        }
        running.kill();
        self.finish(running.start, -1, format!("Health check exceeded timeout ({:?})", self.check.timeout))
    }

    fn finish(&mut self, start: Timestamp, exit_code: i32, output: String) -> Option<String> {
        let result = CheckResult { start, end: Timestamp::now(), exit_code, output };
        let in_start_period = self.in_start_period();
        let changed = self.health.count(result, &self.check, in_start_period);
        let _full_disk = self.health.write(&self.dirs, &self.id);
        self.next = Instant::now() + self.pause();
        changed.then(|| self.health.status.clone())
    }
}

impl Running {
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match read(&self.output, &mut buffer) {
                Ok(length @ 1..) => {
                    let room = OUTPUT.saturating_sub(self.said.len());
                    self.said.extend(buffer.iter().take(length.min(room)));
                }
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }

    /// Its program in the container dies with it.
    fn kill(&mut self) {
        let _ended_already = sys::process::pidfd_send(&self.pidfd, SIGKILL);
        let _reaped_already = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

fn start(dirs: &Dirs, id: &str, check: &HealthCheck) -> Result<Running> {
    let (output, theirs) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
    fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg("--root").arg(&dirs.root).arg("--run-root").arg(&dirs.run).args(["exec", "--", id]);
    command.args(check.command());
    let child = command.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs).spawn();
    let child = child.context("start the health check")?;
    let pid = Pid::from_raw(i32::try_from(child.id()).context("the check's pid")?);
    let pidfd = sys::process::pidfd_open(pid).context("open the health check's process")?;
    let (start, deadline) = (Timestamp::now(), Instant::now() + check.timeout);
    Ok(Running { child, pidfd, output, said: Vec::new(), start, deadline })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_after_the_start_period_and_five_results_stay() {
        let check = HealthCheck { retries: 2, ..HealthCheck::default() };
        let mut health = Health { status: "starting".to_owned(), failing_streak: 0, log: Vec::new() };
        let result = |exit_code| CheckResult {
            start: Timestamp::UNIX_EPOCH,
            end: Timestamp::UNIX_EPOCH,
            exit_code,
            output: String::new(),
        };
        assert!(!health.count(result(1), &check, true) && health.failing_streak == 0);
        assert!(!health.count(result(1), &check, false) && health.count(result(1), &check, false));
        assert_eq!((health.status.as_str(), health.failing_streak), ("unhealthy", 2));
        assert!(health.count(result(0), &check, false));
        assert!((0..9).all(|_| !health.count(result(0), &check, false)));
        assert_eq!((health.status.as_str(), health.log.len()), ("healthy", 5));
    }
}
