//! The program that looks around inside: it reports facts as JSON, or tries to get out.

use nix::unistd::{chdir, chroot, getgid, getgroups, getuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
pub use sys::syscall::Entry;
use sys::syscall::{Answer, ask};

/// What a process can see of itself and its surroundings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of /proc/self and of the man pages")]
pub struct Facts {
    /// Which copy of the probe it was that looked: facts that somebody else makes up do not have it.
    pub nonce: String,
    pub pid: u32,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub cwd: String,
    pub hostname: String,
    /// Namespace name (`pid`, `mnt`, …) to its identity (`pid:[4026531836]`).
    pub namespaces: BTreeMap<String, String>,
    /// The lines of /proc/self/mountinfo.
    pub mounts: Vec<String>,
    /// /proc/self/status as a table (`CapEff`, `Seccomp`, `NoNewPrivs`, `SigIgn`, `SigBlk`, …).
    pub status: BTreeMap<String, String>,
    /// Open descriptors: number to what it is.
    pub descriptors: BTreeMap<u32, String>,
    /// Names of the network links.
    pub links: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// The entries of `/`.
    pub root: Vec<String>,
    /// The PIDs that /proc shows.
    pub pids: Vec<u32>,
    /// Session, and the terminal of the process group in the foreground (-1 without one).
    pub session: i32,
    pub foreground_group: i32,
}

/// The place in a probe's file for what tells this copy from others: see [`mark`].
static NONCE: Aligned = Aligned(*b"0testkit-probe-nonce-testkit-01x");

/// At a multiple of its size, in the file too: it is found without looking at every byte.
#[repr(align(32))]
struct Aligned([u8; 32]);

/// Writes `nonce` into the program `probe`, for its facts.
pub(crate) fn mark(probe: &mut [u8], nonce: &str) {
    let place = probe.chunks_exact_mut(NONCE.0.len()).find(|chunk| **chunk == NONCE.0);
    place.expect("the probe has a place for its nonce").copy_from_slice(nonce.as_bytes());
}

impl Facts {
    /// Where mounts are, in order.
    #[must_use]
    pub fn mount_points(&self) -> Vec<&str> {
        self.mounts.iter().filter_map(|line| line.split(' ').nth(4)).collect()
    }

    /// The line of mountinfo for the last mount at `path`.
    #[must_use]
    pub fn mount_at(&self, path: &str) -> Option<&str> {
        self.mounts.iter().rev().find(|line| line.split(' ').nth(4) == Some(path)).map(String::as_str)
    }
}

/// `probe facts`, `probe double-chroot FILE`, `probe orphans`, `probe exit CODE`, `probe calls CALL…`.
pub(crate) fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["facts"] => {
            println!("{}", serde_json::to_string(&facts()).expect("facts are plain"));
            ExitCode::SUCCESS
        }
        ["double-chroot", file] => double_chroot(file),
        ["orphans"] => {
            println!("{}", zombies_after_an_orphan());
            ExitCode::SUCCESS
        }
        ["exit", code] => ExitCode::from(code.parse::<u8>().unwrap_or(2)),
        ["calls", calls @ ..] => {
            for call in calls {
                println!("{}", call.parse::<Call>().map_or_else(|why| why, |call| call.ask()));
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("probe: facts | double-chroot FILE | orphans | exit CODE | calls CALL…, not {args:?}");
            ExitCode::from(2)
        }
    }
}

/// One system call by its number: `ENTRY:NUMBER:ARG,ARG…`, with the entry `native`, `x32` or `i386`.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Through which way into the kernel.
    pub entry: Entry,
    /// Its number there (without x32's bit 30).
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 5],
}

impl Call {
    /// Makes the call in a child of its own: `done`, the errno's name, or the signal that killed the caller.
    #[must_use]
    pub fn ask(&self) -> String {
        match ask(self.entry, self.number, self.arguments) {
            Ok(Answer::Done) => "done".to_owned(),
            Ok(Answer::Refused(errno)) => format!("{errno:?}"),
            Ok(Answer::Killed(signal)) => signal.to_string(),
            Err(errno) => format!("the probe itself: {errno}"),
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entry = match self.entry {
            Entry::Native => "native",
            Entry::X32 => "x32",
            Entry::I386 => "i386",
        };
        write!(f, "{entry}:{}:{}", self.number, self.arguments.map(|argument| argument.to_string()).join(","))
    }
}

impl std::str::FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let [entry, number, list] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
            let entry = match entry {
                "native" => Entry::Native,
                "x32" => Entry::X32,
                "i386" => Entry::I386,
                _ => return None,
            };
            let arguments: Vec<u64> = list.split(',').map(|argument| argument.parse().ok()).collect::<Option<_>>()?;
            Some(Self { entry, number: number.parse().ok()?, arguments: arguments.try_into().ok()? })
        };
        parse().ok_or_else(|| format!("`{text}` is no call"))
    }
}

fn facts() -> Facts {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let number = |index: usize| after_name.get(index).and_then(|field| field.parse().ok()).unwrap_or(0);
    Facts {
        nonce: String::from_utf8_lossy(std::hint::black_box(&NONCE.0)).into_owned(),
        pid: std::process::id(),
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
        groups: getgroups().unwrap_or_default().into_iter().map(nix::unistd::Gid::as_raw).collect(),
        cwd: std::env::current_dir().map(|cwd| cwd.display().to_string()).unwrap_or_default(),
        hostname: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        namespaces: links_of("/proc/self/ns"),
        mounts: lines("/proc/self/mountinfo"),
        status: lines("/proc/self/status")
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
            .collect(),
        descriptors: descriptors(),
        links: lines("/proc/self/net/dev")
            .iter()
            .skip(2)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.trim().to_owned())
            .collect(),
        environment: std::env::vars().collect(),
        root: names("/"),
        pids: names("/proc").iter().filter_map(|name| name.parse().ok()).collect(),
        session: number(3),
        foreground_group: number(5),
    }
}

fn descriptors() -> BTreeMap<u32, String> {
    let mut open = links_of("/proc/self/fd");
    // The descriptor that the listing itself held is closed by now.
    open.retain(|number, _| fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok());
    open.into_iter().filter_map(|(number, target)| Some((number.parse().ok()?, target))).collect()
}

fn lines(path: &str) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn names(folder: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn links_of(folder: &str) -> BTreeMap<String, String> {
    names(folder)
        .into_iter()
        .filter_map(|name| {
            let target = fs::read_link(format!("{folder}/{name}")).ok()?.display().to_string();
            Some((name, target))
        })
        .collect()
}

/// The classic way out of a chroot (chroot(2), "NOTES"): change the root without changing into it, then climb.
fn double_chroot(file: &str) -> ExitCode {
    let attempt = || -> Result<String, String> {
        fs::create_dir_all("/escape").map_err(|error| format!("mkdir: {error}"))?;
        chroot("/escape").map_err(|errno| format!("chroot: {errno}"))?;
        for _ in 0..64 {
            chdir("..").map_err(|errno| format!("chdir: {errno}"))?;
        }
        chroot(".").map_err(|errno| format!("chroot .: {errno}"))?;
        fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))
    };
    match attempt() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("still inside: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Leaves an orphan that ends, and counts the zombies that stay: 0 where PID 1 reaps.
fn zombies_after_an_orphan() -> usize {
    let left = std::process::Command::new("sh").args(["-c", "true & exit 0"]).status();
    assert!(left.is_ok_and(|status| status.success()), "sh cannot leave an orphan");
    let begin = std::time::Instant::now();
    loop {
        // The orphan itself may still be running: nobody but us and PID 1 may be left.
        let pids = names("/proc");
        let others = pids.iter().filter_map(|name| name.parse::<u32>().ok());
        let others = others.filter(|pid| *pid != 1 && *pid != std::process::id()).count();
        if others == 0 || begin.elapsed() > std::time::Duration::from_millis(500) {
            return others;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
