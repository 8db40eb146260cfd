//! `events`: what a container uses, and when memory was short, as lines of JSON in runc's form.

use super::pause::share;
use super::state::{Folder, Saved, Status};
use crate::cli::print;
use crate::report::Refusal;
use anyhow::{Result, ensure};
use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use step05_cgroups::{Bytes, Statistics};

/// Show what a container uses, again and again until it ends.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// Once.
    #[arg(long)]
    stats: bool,
    /// How long to wait between two lines (`5s`, `500ms`, `1m`).
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// The container.
    id: String,
}

impl Events {
    pub(super) fn run(&self, root: &Path) -> Result<u8> {
        let folder = Folder::find(root, &self.id)?;
        let saved = folder.read()?;
        let status = folder.status(&saved);
        let stopped = || Refusal::new(format!("container `{}` not running", self.id)).code(1);
        ensure!(!matches!(status, Status::Stopped | Status::Creating), stopped());
        let mut oom_kills = print_statistics(&saved)?;
        let first = saved.process.and_then(|process| sys::process::pidfd_open(Pid::from_raw(process.host_pid)).ok());
        while let (false, Some(first)) = (self.stats, first.as_ref().filter(|first| !self.ends_meanwhile(first))) {
            let _next_round = first;
            let kills = print_statistics(&saved)?;
            if kills > oom_kills {
                print(&format!("{}\n", json!({ "type": "oom", "id": saved.id })));
            }
            oom_kills = kills;
        }
        Ok(0)
    }

    fn ends_meanwhile(&self, first: &OwnedFd) -> bool {
        let mut ended = [PollFd::new(first.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(self.interval).unwrap_or(PollTimeout::MAX);
        poll(&mut ended, timeout).is_ok_and(|ended| ended > 0)
    }
}

/// Prints a line, and says how many processes the kernel has killed for want of memory.
fn print_statistics(saved: &Saved) -> Result<u64> {
    let statistics = share(saved)?.statistics()?;
    let event = json!({ "type": "stats", "id": saved.id, "data": document(&statistics) });
    print(&format!("{event}\n"));
    Ok(statistics.memory.map_or(0, |memory| memory.oom_kills))
}

fn document(statistics: &Statistics) -> Value {
    let (cpu, pids) = (statistics.cpu.unwrap_or_default(), statistics.pids.unwrap_or_default());
    let (memory, io) = (statistics.memory.unwrap_or_default(), statistics.io.unwrap_or_default());
    // runc's word for "no limit".
    let limit = memory.limit.map_or(u64::MAX, |Bytes(limit)| limit);
    let bytes = |op: &str, value: u64| json!({ "major": 0, "minor": 0, "op": op, "value": value });
    json!({
        "cpu": {
            "usage": { "total": cpu.usage_ns, "kernel": cpu.system_ns, "user": cpu.user_ns },
            "throttling": {
                "periods": cpu.periods, "throttledPeriods": cpu.throttled_periods, "throttledTime": cpu.throttled_ns,
            },
        },
        "memory": {
            "usage": {
                "limit": limit, "usage": memory.usage.0, "max": memory.peak.map_or(0, |peak| peak.0),
                "failcnt": memory.oom_kills,
            },
            "swap": {}, "kernel": {}, "kernelTCP": {}, "raw": { "inactive_file": memory.inactive_file.0 },
        },
        "pids": { "current": pids.current, "limit": pids.limit.unwrap_or(0) },
        "blkio": { "ioServiceBytesRecursive": [bytes("Read", io.read_bytes), bytes("Write", io.written_bytes)] },
        "hugetlb": {}, "intel_rdt": {}, "network_interfaces": null,
    })
}

/// Go's form of a time, as far as people use it.
fn interval(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "begin with a number: 5s, 500ms".to_owned())?;
    match unit {
        "" | "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        _ => Err("the units are ms, s and m".to_owned()),
    }
}
