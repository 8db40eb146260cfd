//! `tara stats`.

use super::print;
use crate::container::{Container, State, Status};
use crate::engine::Engine;
use crate::format::{Format, Listing, Row, size};
use anyhow::Result;
use clap::Args;
use std::collections::HashMap;
use std::fs;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};
use step05_cgroups::Statistics;

/// Show what running containers use.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Names, ids or beginnings of ids; without one all that run.
    containers: Vec<String>,
    /// Also those that do not run.
    #[arg(short, long)]
    all: bool,
    /// Once, and not every second.
    #[arg(long)]
    no_stream: bool,
    /// Do not cut ids short.
    #[arg(long)]
    no_trunc: bool,
    /// Table, `table TEMPLATE`, `json`, or a Go template.
    #[arg(long)]
    format: Option<String>,
}

const LISTING: Listing = Listing {
    fields: &[
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
        ("Container", "CONTAINER"),
    ],
    table: &["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"],
};

/// What one container has used at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    used: Statistics,
    /// Received and sent bytes.
    network: (u64, u64),
}

/// The samples of one moment, by id.
struct Moment {
    at: Instant,
    samples: HashMap<String, Sample>,
}

impl Stats {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let mut before = self.measure(engine, &self.find(engine)?);
        loop {
            // Processor time is a difference: the first numbers are there after a second, as docker's.
            std::thread::sleep(Duration::from_secs(1));
            let containers = self.find(engine)?;
            let now = self.measure(engine, &containers);
            let text = self.text(&format, &containers, &before, &now)?;
            let clear = if self.no_stream || !stdout().is_terminal() { "" } else { "\x1b[2J\x1b[H" };
            print(&format!("{clear}{text}"));
            if self.no_stream {
                return Ok(0);
            }
            before = now;
        }
    }

    fn find(&self, engine: &Engine) -> Result<Vec<Container>> {
        if self.containers.is_empty() {
            let mut all = Container::all(engine.dirs())?;
            all.retain(|container| self.all || matches!(container.status, Status::Running(_)));
            return Ok(all);
        }
        // Who is named is shown, as docker does: one that does not run has used nothing.
        self.containers.iter().map(|name| Container::find(engine.dirs(), name)).collect()
    }

    fn measure(&self, engine: &Engine, containers: &[Container]) -> Moment {
        let sample = |container: &Container| {
            let Status::Running(state) = &container.status else { return Sample::default() };
            // One that ends meanwhile has used nothing any more.
            Sample { used: engine.statistics(container).unwrap_or_default(), network: network(state) }
        };
        let samples = containers.iter().map(|container| (container.record.id.clone(), sample(container))).collect();
        Moment { at: Instant::now(), samples }
    }

    fn text(&self, format: &Format, containers: &[Container], before: &Moment, now: &Moment) -> Result<String> {
        let rows: Vec<Row> = containers.iter().map(|container| self.row(container, before, now)).collect();
        LISTING.write(format, &rows)
    }

    fn row(&self, Container { record, .. }: &Container, before: &Moment, now: &Moment) -> Row {
        let of = |moment: &Moment| moment.samples.get(&record.id).copied().unwrap_or_default();
        let (was, is) = (of(before), of(now));
        let memory = is.used.memory.unwrap_or_default();
        let used = memory.usage.0.saturating_sub(memory.inactive_file.0);
        let limit = memory.limit.map_or_else(memory_of_the_machine, |limit| limit.0.min(memory_of_the_machine()));
        let io = is.used.io.unwrap_or_default();
        let id: String = if self.no_trunc { record.id.clone() } else { record.id.chars().take(12).collect() };
        let values = vec![
            id.clone(),
            record.name.clone(),
            percent(cpu_ns(&is).saturating_sub(cpu_ns(&was)), nanoseconds(now.at - before.at)),
            format!("{} / {}", binary_size(used), binary_size(limit)),
            percent(used, limit),
            format!("{} / {}", size(is.network.0), size(is.network.1)),
            format!("{} / {}", size(io.read_bytes), size(io.written_bytes)),
            is.used.pids.unwrap_or_default().current.to_string(),
            id,
        ];
        Row { values, ..Row::default() }
    }
}

fn cpu_ns(sample: &Sample) -> u64 {
    sample.used.cpu.unwrap_or_default().usage_ns
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// `12.34%`; of nothing it is none.
fn percent(part: u64, whole: u64) -> String {
    let hundredths = if whole == 0 { 0 } else { u128::from(part) * 10_000 / u128::from(whole) };
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// Received and sent by all links but the loopback, as the container's own /proc counts them.
fn network(state: &State) -> (u64, u64) {
    let table = fs::read_to_string(format!("/proc/{}/net/dev", state.host_pid)).unwrap_or_default();
    let links = table.lines().skip(2).filter_map(|line| line.split_once(':'));
    let counted = links.filter(|(name, _)| name.trim() != "lo").filter_map(|(_, numbers)| {
        let mut numbers = numbers.split_ascii_whitespace();
        Some((numbers.next()?.parse::<u64>().ok()?, numbers.nth(7)?.parse::<u64>().ok()?))
    });
    counted.fold((0, 0), |sum, (received, sent)| (sum.0 + received, sum.1 + sent))
}

/// Source: proc_meminfo(5).
fn memory_of_the_machine() -> u64 {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes =
        table.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_ascii_whitespace().next()?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes << 10)
}

/// As docker writes memory: four digits, in units of 1024.
#[allow(clippy::cast_precision_loss, reason = "four digits are written")]
fn binary_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            let decimals = if value < 10.0 {
                3
            } else if value < 100.0 {
                2
            } else {
                usize::from(value < 1000.0)
            };
            let text = format!("{value:.decimals$}");
            let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            return format!("{text}{unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.0}PiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dockers() {
        let sizes = [0, 1023, 1024, 1_622_016, 64 << 20, 8_345_657_344].map(binary_size);
        assert_eq!(sizes, ["0B", "1023B", "1KiB", "1.547MiB", "64MiB", "7.772GiB"]);
        assert_eq!((percent(1, 3), percent(5, 0), percent(3, 2)), ("33.33%".into(), "0.00%".into(), "150.00%".into()));
    }
}
