//! What a cgroup has used.
//!
//! Sources: Documentation/admin-guide/cgroup-v2.rst, "Controllers"; cgroup-v1/memory.rst, cpuacct.rst, pids.rst,
//! blkio-controller.rst; Documentation/scheduler/sched-bwc.rst for throttling.

use crate::cgroup::Cgroup;
use crate::directory::Directory;
use crate::files::{keyed, number, read};
use crate::hierarchy::{Controller, Version};
use crate::{Bytes, Error};
use std::fmt;

/// The numbers of one moment; `None` where the machine keeps none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Memory.
    pub memory: Option<Memory>,
    /// Processor time.
    pub cpu: Option<Cpu>,
    /// Processes.
    pub pids: Option<Pids>,
    /// Traffic with block devices; in v1 only with a limit on it.
    pub io: Option<Io>,
}

/// Memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Now, the page cache included.
    pub usage: Bytes,
    /// Of that, page cache that could be dropped at once: `docker stats` leaves it out.
    pub inactive_file: Bytes,
    /// The limit.
    pub limit: Option<Bytes>,
    /// The most there ever was (v2: Linux 5.19 and newer).
    pub peak: Option<Bytes>,
    /// How many processes the kernel has killed because the memory did not suffice.
    pub oom_kills: u64,
}

/// Processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cpu {
    /// Used, in nanoseconds.
    pub usage_ns: u64,
    /// Of that, in the programs themselves.
    pub user_ns: u64,
    /// Of that, in the kernel on their behalf.
    pub system_ns: u64,
    /// How many periods there were with something to run (`--cpus`).
    pub periods: u64,
    /// In how many of them the quota was used up.
    pub throttled_periods: u64,
    /// How long processes had to wait for the next period, in nanoseconds.
    pub throttled_ns: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pids {
    /// Now.
    pub current: u64,
    /// The limit.
    pub limit: Option<u64>,
}

/// Traffic with block devices, all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Io {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

impl fmt::Display for Statistics {
    /// `memory 2284 KiB at most; cpu 8 ms, throttled 0 times for 0 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| ns / 1_000_000;
        let peak = |memory: Memory| Some(format!("memory {} KiB at most", memory.peak?.0 >> 10));
        let time = |cpu: Cpu| {
            let (times, waited) = (cpu.throttled_periods, ms(cpu.throttled_ns));
            format!("cpu {} ms, throttled {times} times for {waited} ms", ms(cpu.usage_ns))
        };
        let traffic = |io: Io| format!("read {} bytes, written {} bytes", io.read_bytes, io.written_bytes);
        let parts = [self.memory.and_then(peak), self.cpu.map(time), self.io.map(traffic)];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

impl Cgroup {
    /// What it has used up to now.
    ///
    /// # Errors
    /// [`Error::Path`], [`Error::Text`]. A file that is not there is none.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        Ok(Statistics {
            memory: self.measure(Controller::Memory, memory_v1, memory_v2)?,
            cpu: self.cpu()?,
            pids: self.measure(Controller::Pids, pids, pids)?,
            io: self.measure(Controller::Blkio, io_v1, io_v2)?,
        })
    }

    /// Whether the kernel has killed one of its processes for want of memory.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn oom_killed(&self) -> Result<bool, Error> {
        // One file: the end of every container waits for this.
        let counted = |file: &'static str| move |directory: &Directory| Ok(keyed(&directory.text(file)?, "oom_kill"));
        let Some(directory) = self.directory_of(Controller::Memory) else { return Ok(false) };
        let v1 = directory.version == Version::V1;
        let kills = counted(if v1 { "memory.oom_control" } else { "memory.events" })(directory)?;
        Ok(kills.is_some_and(|kills: u64| kills > 0))
    }

    fn measure<T>(&self, controller: Controller, v1: Measure<T>, v2: Measure<T>) -> Result<Option<T>, Error> {
        let Some(directory) = self.directory_of(controller) else { return Ok(None) };
        if directory.version == Version::V1 { v1(directory) } else { v2(directory) }
    }

    /// v1 counts time in one tree and throttling in another.
    fn cpu(&self) -> Result<Option<Cpu>, Error> {
        let Some(used) = self.measure(Controller::Cpuacct, cpu_time_v1, cpu_v2)? else { return Ok(None) };
        let throttled = self.measure(Controller::Cpu, throttled_v1, |_| Ok(None))?;
        Ok(Some(match throttled {
            Some(Cpu { periods, throttled_periods, throttled_ns, .. }) => {
                Cpu { periods, throttled_periods, throttled_ns, ..used }
            }
            None => used,
        }))
    }
}

type Measure<T> = fn(&Directory) -> Result<Option<T>, Error>;

impl Directory {
    fn number(&self, file: &str) -> Result<Option<u64>, Error> {
        number(&self.path.join(file))
    }

    fn text(&self, file: &str) -> Result<String, Error> {
        Ok(read(&self.path.join(file))?.unwrap_or_default())
    }
}

fn memory_v1(directory: &Directory) -> Result<Option<Memory>, Error> {
    // "No limit" is the largest multiple of a page that a signed 64-bit number holds.
    const UNLIMITED: u64 = i64::MAX.cast_unsigned() & !0xFFFF;
    let Some(usage) = directory.number("memory.usage_in_bytes")? else { return Ok(None) };
    Ok(Some(Memory {
        usage: Bytes(usage),
        inactive_file: Bytes(keyed(&directory.text("memory.stat")?, "total_inactive_file").unwrap_or(0)),
        limit: directory.number("memory.limit_in_bytes")?.filter(|limit| *limit < UNLIMITED).map(Bytes),
        peak: directory.number("memory.max_usage_in_bytes")?.map(Bytes),
        oom_kills: keyed(&directory.text("memory.oom_control")?, "oom_kill").unwrap_or(0),
    }))
}

fn memory_v2(directory: &Directory) -> Result<Option<Memory>, Error> {
    let Some(usage) = directory.number("memory.current")? else { return Ok(None) };
    Ok(Some(Memory {
        usage: Bytes(usage),
        inactive_file: Bytes(keyed(&directory.text("memory.stat")?, "inactive_file").unwrap_or(0)),
        limit: directory.number("memory.max")?.map(Bytes),
        peak: directory.number("memory.peak")?.map(Bytes),
        oom_kills: keyed(&directory.text("memory.events")?, "oom_kill").unwrap_or(0),
    }))
}

fn cpu_time_v1(directory: &Directory) -> Result<Option<Cpu>, Error> {
    let Some(usage_ns) = directory.number("cpuacct.usage")? else { return Ok(None) };
    let part = |file| Ok::<_, Error>(directory.number(file)?.unwrap_or(0));
    let (user_ns, system_ns) = (part("cpuacct.usage_user")?, part("cpuacct.usage_sys")?);
    Ok(Some(Cpu { usage_ns, user_ns, system_ns, ..Cpu::default() }))
}

fn throttled_v1(directory: &Directory) -> Result<Option<Cpu>, Error> {
    let stat = directory.text("cpu.stat")?;
    let value = |key| keyed(&stat, key).unwrap_or(0);
    Ok(Some(Cpu {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_ns: value("throttled_time"),
        ..Cpu::default()
    }))
}

/// v2 counts in microseconds.
fn cpu_v2(directory: &Directory) -> Result<Option<Cpu>, Error> {
    let stat = directory.text("cpu.stat")?;
    let value = |key| keyed(&stat, key).unwrap_or(0);
    Ok(keyed(&stat, "usage_usec").map(|usage| Cpu {
        usage_ns: usage * 1000,
        user_ns: value("user_usec") * 1000,
        system_ns: value("system_usec") * 1000,
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_ns: value("throttled_usec") * 1000,
    }))
}

fn pids(directory: &Directory) -> Result<Option<Pids>, Error> {
    let Some(current) = directory.number("pids.current")? else { return Ok(None) };
    Ok(Some(Pids { current, limit: directory.number("pids.max")? }))
}

fn io_v1(directory: &Directory) -> Result<Option<Io>, Error> {
    let text = read(&directory.path.join("blkio.throttle.io_service_bytes"))?;
    Ok(text.map(|text| sum_v1(&text)))
}

fn io_v2(directory: &Directory) -> Result<Option<Io>, Error> {
    let text = read(&directory.path.join("io.stat"))?;
    Ok(text.map(|text| sum_v2(&text)))
}

/// `8:0 Read 4096`, a line for each device and kind.
fn sum_v1(text: &str) -> Io {
    let sum = |kind: &str| text.lines().filter_map(|line| line.split_once(kind)?.1.trim().parse::<u64>().ok()).sum();
    Io { read_bytes: sum(" Read "), written_bytes: sum(" Write ") }
}

/// `8:0 rbytes=4096 wbytes=0 …`, a line for each device.
fn sum_v2(text: &str) -> Io {
    let words = || text.split_ascii_whitespace();
    let sum = |key: &str| words().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum();
    Io { read_bytes: sum("rbytes="), written_bytes: sum("wbytes=") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_of_all_devices_is_summed_up() {
        let v1 = "8:0 Read 4096\n8:0 Write 100\n8:0 Sync 0\n8:0 Total 4196\n8:16 Read 4\nTotal 4200\n";
        assert_eq!(sum_v1(v1), Io { read_bytes: 4100, written_bytes: 100 });
        let v2 = "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:0 rbytes=10 wbytes=20 rios=0 wios=0\n";
        assert_eq!(sum_v2(v2), Io { read_bytes: 11, written_bytes: 22 });
    }
}
