//! What is measured: a command from its start to its exit.

use anyhow::{Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use sys::process::pidfd_open;

/// What kind of thing a subject is; the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Group {
    /// Nothing but the kernel's calls.
    Floor,
    /// A demo of a step.
    Step,
    /// This engine.
    Tara,
    /// Programs that make namespaces, OCI runtimes: no image.
    Runtime,
    /// Other engines.
    Engine,
    /// A kernel of its own.
    Machine,
}

/// A command that is measured.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Its name in the report.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) group: Group,
    /// The floor that does the same work.
    pub(crate) floor: Option<&'static str>,
    /// Program and arguments; `{id}` stands for a name that was never used before.
    pub(crate) command: Vec<OsString>,
    /// It runs in each so many-th round: slow ones less often.
    pub(crate) every: usize,
    /// It has to be over by then.
    pub(crate) limit: Duration,
    /// What takes away what it has made: a line for the shell that is not measured.
    pub(crate) after: Option<String>,
    /// Whether it runs where the empty v2 tree of a hybrid host is not mounted: crun takes such a host for one with v2, and fails.
    pub(crate) hides_unified: bool,
}

impl Subject {
    /// One that runs in each round.
    pub(crate) fn new<T: Into<OsString>>(name: &str, group: Group, command: impl IntoIterator<Item = T>) -> Self {
        Self {
            name: name.to_owned(),
            group,
            floor: None,
            command: command.into_iter().map(Into::into).collect(),
            every: 1,
            limit: Duration::from_secs(20),
            after: None,
            hides_unified: false,
        }
    }

    /// The floor to compare it with.
    pub(crate) fn floor(mut self, name: &'static str) -> Self {
        self.floor = Some(name);
        self
    }

    /// Runs it in each so many-th round.
    pub(crate) fn every(mut self, rounds: usize) -> Self {
        self.every = rounds;
        self
    }

    /// Ends it after so long.
    pub(crate) fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Runs a line of the shell after it, with the same `{id}`.
    pub(crate) fn after(mut self, line: String) -> Self {
        self.after = Some(line);
        self
    }

    /// Runs it where `/sys/fs/cgroup/unified` is not mounted.
    pub(crate) fn hides_unified(mut self) -> Self {
        self.hides_unified = true;
        self
    }

    /// Runs it once; how long it took.
    ///
    /// # Errors
    /// When it failed, with what it said, or did not end in time.
    pub(crate) fn run(&self) -> Result<Duration> {
        if !self.hides_unified {
            return self.measure();
        }
        // A thread has a table of mounts of its own if it wants, and its children begin with it.
        let in_another_table = || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let _not_a_hybrid_host = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
            self.measure()
        };
        std::thread::scope(|scope| scope.spawn(in_another_table).join()).unwrap_or_else(|_| bail!("a thread panicked"))
    }

    fn measure(&self) -> Result<Duration> {
        let id = next_id();
        let took = self.measure_as(&id);
        if let Some(line) = &self.after {
            let mut shell = Command::new("sh");
            shell.args(["-c", &line.replace("{id}", &id)]).stdout(Stdio::null()).stderr(Stdio::null());
            let _nothing_was_made_then = shell.status();
        }
        took
    }

    fn measure_as(&self, id: &str) -> Result<Duration> {
        let mut said = Said::new()?;
        let mut command = self.command(id);
        command.stdin(Stdio::null()).stdout(said.file()?).stderr(said.file()?);
        let begin = Instant::now();
        let mut child = command.spawn()?;
        let pidfd = pidfd_open(Pid::from_raw(i32::try_from(child.id())?))?;
        let milliseconds = PollTimeout::try_from(self.limit.as_millis()).unwrap_or(PollTimeout::MAX);
        let ended = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], milliseconds)?;
        if ended == 0 {
            child.kill()?;
            child.wait()?;
            bail!("it did not end within {} s: {}", self.limit.as_secs(), said.read());
        }
        let status = child.wait()?;
        let took = begin.elapsed();
        if !status.success() {
            bail!("{status}: {}", said.read());
        }
        Ok(took)
    }

    fn command(&self, id: &str) -> Command {
        let mut words = self.command.iter().map(|word| match word.to_str() {
            Some(text) if text.contains("{id}") => text.replace("{id}", id).into(),
            _ => word.clone(),
        });
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }
}

/// A name that was never used before.
pub(crate) fn next_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("bench{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a program prints: in a file, which it never waits for.
struct Said(File);

impl Said {
    fn new() -> Result<Self> {
        let path = PathBuf::from(format!("/run/tara-bench-{}", next_id()));
        let file = File::options().create_new(true).read(true).append(true).open(&path)?;
        std::fs::remove_file(path)?;
        Ok(Self(file))
    }

    fn file(&self) -> Result<File> {
        Ok(self.0.try_clone()?)
    }

    /// The last lines, on one.
    fn read(&mut self) -> String {
        let mut text = Vec::new();
        let _nothing_is_said_then = self.0.rewind().and_then(|()| self.0.read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join("; ")
    }
}

/// A subject that is not measured, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Missing {
    /// Its name in the report.
    pub(crate) name: String,
    /// Why, and which package would change that.
    pub(crate) why: String,
}

impl Missing {
    /// For a program that is not installed.
    pub(crate) fn program(name: &str, package: &str) -> Self {
        Self { name: name.to_owned(), why: format!("not installed: Debian package {package}") }
    }
}

/// A program of PATH, or of the folders of root's.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let root = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(root).map(|folder| folder.join(program));
    found.into_iter().find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok() && path.is_file()
}
