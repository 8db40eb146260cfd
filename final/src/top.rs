//! The processes of a container as the host sees them.

use crate::container::State;
use anyhow::Result;
use jiff::{Timestamp, Zoned, tz::TimeZone};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// One process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number on the host.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Its user, by name where the host has one.
    pub user: String,
    /// Its command line, or its name in brackets.
    pub command: String,
    /// Its name.
    pub comm: String,
    /// Its state, one letter.
    pub state: char,
    /// Its terminal, as ps(1) writes it.
    pub tty: String,
    /// Processor time in clock ticks.
    pub ticks: u64,
    /// When it was started.
    pub started: Timestamp,
    /// Resident memory in kB.
    pub rss: u64,
    /// Virtual memory in kB.
    pub vsz: u64,
    /// Threads, group, session, nice value.
    pub numbers: [i64; 4],
}

/// All processes of a container: those in its PID namespace, and the descendants of its first process, which may have made namespaces of
/// their own.
///
/// # Errors
/// When /proc cannot be read.
pub fn processes(state: &State) -> Result<Vec<Process>> {
    let pids: Vec<i32> =
        fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let namespace = namespace(state.host_pid);
    let users = users();
    let all: BTreeMap<i32, Process> =
        pids.into_iter().filter_map(|pid| Some((pid, Process::read(pid, &users)?))).collect();
    let mut ours: BTreeSet<i32> = all
        .keys()
        .copied()
        .filter(|pid| self::namespace(*pid).is_some() && self::namespace(*pid) == namespace)
        .collect();
    ours.insert(state.host_pid);
    loop {
        let before = ours.len();
        ours.extend(
            all.values().filter(|process| ours.contains(&process.ppid)).map(|process| process.pid).collect::<Vec<_>>(),
        );
        if ours.len() == before {
            break;
        }
    }
    Ok(all.into_values().filter(|process| ours.contains(&process.pid)).collect())
}

fn namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// The host's users by number.
fn users() -> BTreeMap<u32, String> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    let mut users = BTreeMap::new();
    for (number, name) in text.lines().filter_map(user) {
        users.entry(number).or_insert(name);
    }
    users
}

/// Clock ticks a second: fixed in the kernel's interface to programs. Source: time(7), "The software clock, HZ, and jiffies".
const HZ: u64 = 100;

impl Process {
    /// None for one that has ended.
    fn read(pid: i32, users: &BTreeMap<u32, String>) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, rest) = stat.rsplit_once(") ")?;
        let comm = before.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<i64>().ok());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let uid: u32 =
            status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let command = words.join(" ").trim_end().to_owned();
        let ticks = number(11)?.unsigned_abs() + number(12)?.unsigned_abs();
        let since_boot = i64::try_from(number(19)?.unsigned_abs() / HZ).ok()?;
        Some(Self {
            pid,
            ppid: i32::try_from(number(1)?).ok()?,
            user: users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
            command: if command.is_empty() { format!("[{comm}]") } else { command.replace(['\n', '\t'], " ") },
            comm,
            state: fields.first()?.chars().next()?,
            tty: terminal(number(4)?),
            ticks,
            started: Timestamp::from_second(boot_time()? + since_boot).ok()?,
            rss: kilobytes("VmRSS:"),
            vsz: kilobytes("VmSize:"),
            numbers: [number(17)?, number(2)?, number(3)?, number(16)?],
        })
    }

    /// A column in the words of ps(1); none for one that we do not have.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<String> {
        let [threads, group, session, nice] = self.numbers;
        Some(match name {
            "uid" | "user" | "euser" | "uname" => self.user.clone(),
            "pid" => self.pid.to_string(),
            "ppid" => self.ppid.to_string(),
            "c" => self.share().to_string(),
            "pcpu" | "%cpu" => format!("{}.0", self.share()),
            "stime" | "start" | "start_time" => self.start(),
            "tty" | "tt" | "tname" => self.tty.clone(),
            "time" | "cputime" => clock(self.ticks / HZ),
            "etime" => clock(self.age()),
            "cmd" | "command" | "args" => self.command.clone(),
            "comm" | "ucmd" => self.comm.clone(),
            "s" | "stat" | "state" => self.state.to_string(),
            "rss" | "rssize" => self.rss.to_string(),
            "vsz" | "vsize" => self.vsz.to_string(),
            "nlwp" | "thcount" => threads.to_string(),
            "pgid" | "pgrp" => group.to_string(),
            "sid" | "sess" => session.to_string(),
            "ni" | "nice" => nice.to_string(),
            _ => return None,
        })
    }

    fn age(&self) -> u64 {
        u64::try_from(Timestamp::now().as_second() - self.started.as_second()).unwrap_or(0)
    }

    /// Percent of one processor over its whole life.
    fn share(&self) -> u64 {
        (self.ticks * 100 / HZ / self.age().max(1)).min(99)
    }

    /// The time of day today, else the date.
    fn start(&self) -> String {
        let zone = TimeZone::system();
        let started = self.started.to_zoned(zone.clone());
        let today = Zoned::now().with_time_zone(zone).date() == started.date();
        started.strftime(if today { "%H:%M" } else { "%b%d" }).to_string()
    }
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Source: proc_pid_stat(5), `tty_nr`; Documentation/admin-guide/devices.txt.
fn terminal(number: i64) -> String {
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    match major {
        0 => "?".to_owned(),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 => format!("tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

fn boot_time() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
