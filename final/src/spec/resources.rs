//! Limits in OCI's words, and back: `linux.resources`. Source: OCI runtime specification, config-linux.md, "Control groups".

use anyhow::{Context, Result};
use oci_spec::runtime::{
    LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemoryBuilder, LinuxPids,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, LinuxThrottleDevice, LinuxThrottleDeviceBuilder,
};
use step05_cgroups::{Access, Bytes, Controller, Cpus, DeviceKind, DeviceRate, DeviceRule, Limits, Maximum, RawFile};

/// What docker's words come to.
///
/// # Errors
/// A number that OCI's signed ones do not hold.
pub fn from_limits(limits: &Limits) -> Result<LinuxResources> {
    let mut memory = LinuxMemoryBuilder::default();
    if let Some(limit) = limits.memory {
        memory = memory.limit(signed(limit.0)?);
    }
    if let Some(reservation) = limits.memory_reservation {
        memory = memory.reservation(signed(reservation.0)?);
    }
    if let Some(swap) = limits.memory_swap {
        memory = memory.swap(if let Maximum::Of(total) = swap { signed(total.0)? } else { -1 });
    }
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(Cpus { quota_us, period_us }) = limits.cpus {
        cpu = cpu.quota(signed(quota_us)?).period(period_us);
    }
    if let Some(shares) = limits.cpu_shares {
        cpu = cpu.shares(shares);
    }
    if let Some(set) = &limits.cpuset_cpus {
        cpu = cpu.cpus(set.as_str());
    }
    if let Some(set) = &limits.cpuset_mems {
        cpu = cpu.mems(set.as_str());
    }
    let block_io = LinuxBlockIoBuilder::default()
        .throttle_read_bps_device(throttles(&limits.device_read_bps)?)
        .throttle_write_bps_device(throttles(&limits.device_write_bps)?)
        .throttle_read_iops_device(throttles(&limits.device_read_iops)?)
        .throttle_write_iops_device(throttles(&limits.device_write_iops)?);
    let resources =
        LinuxResourcesBuilder::default().memory(memory.build()?).cpu(cpu.build()?).block_io(block_io.build()?);
    let resources = match limits.pids {
        Some(Maximum::Of(number)) => resources.pids(LinuxPidsBuilder::default().limit(signed(number)?).build()?),
        Some(Maximum::Unlimited) => resources.pids(LinuxPidsBuilder::default().limit(-1).build()?),
        None => resources,
    };
    Ok(resources.build()?)
}

/// And back, with the list of devices.
///
/// # Errors
/// A number that is none here; a list of processors that is none.
pub fn to_limits(resources: &LinuxResources) -> Result<Limits> {
    let memory = resources.memory().unwrap_or_default();
    let cpu = resources.cpu().clone().unwrap_or_default();
    let block_io = resources.block_io().clone().unwrap_or_default();
    let set = |set: &Option<String>| set.as_deref().filter(|set| !set.is_empty()).map(str::parse).transpose();
    // -1 is OCI's "no limit", and no limit is none.
    let bytes = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).map(Bytes);
    Ok(Limits {
        memory: bytes(memory.limit()),
        memory_reservation: bytes(memory.reservation()),
        memory_swap: memory
            .swap()
            .map(|swap| u64::try_from(swap).map_or(Maximum::Unlimited, |total| Maximum::Of(Bytes(total)))),
        cpus: cpus(cpu.quota(), cpu.period()),
        cpu_shares: cpu.shares().filter(|shares| *shares > 0),
        cpuset_cpus: set(cpu.cpus())?,
        cpuset_mems: set(cpu.mems())?,
        pids: resources.pids().as_ref().map(LinuxPids::limit).map(pids),
        device_read_bps: rates(block_io.throttle_read_bps_device().as_deref())?,
        device_write_bps: rates(block_io.throttle_write_bps_device().as_deref())?,
        device_read_iops: rates(block_io.throttle_read_iops_device().as_deref())?,
        device_write_iops: rates(block_io.throttle_write_iops_device().as_deref())?,
        devices: resources
            .devices()
            .as_ref()
            .map(|rules| rules.iter().map(device_rule).collect::<Result<_>>())
            .transpose()?,
        files: files(resources)?,
    })
}

/// What OCI has a word for and docker has none.
fn files(resources: &LinuxResources) -> Result<Vec<RawFile>> {
    let (memory, cpu) = (resources.memory().unwrap_or_default(), resources.cpu().clone().unwrap_or_default());
    let block_io = resources.block_io().clone().unwrap_or_default();
    let mut files = Vec::new();
    let mut add = |flag: &'static str, controller, v1: Option<(&str, String)>, v2: Option<(&str, String)>| {
        let owned = |file: (&str, String)| (file.0.to_owned(), file.1);
        files.push(RawFile { flag, controller, v1: v1.map(owned), v2: v2.map(owned) });
    };
    use Controller::{Blkio, Cpu, Memory};
    if let Some(swappiness) = memory.swappiness() {
        let v1 = ("memory.swappiness", swappiness.to_string());
        add("linux.resources.memory.swappiness", Memory, Some(v1), None);
    }
    if memory.disable_oom_killer() == Some(true) {
        add("linux.resources.memory.disableOOMKiller", Memory, Some(("memory.oom_control", "1".to_owned())), None);
    }
    for (flag, file, bytes) in [
        ("linux.resources.memory.kernel", "memory.kmem.limit_in_bytes", memory.kernel()),
        ("linux.resources.memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp()),
    ] {
        if let Some(bytes) = bytes.filter(|bytes| *bytes != 0) {
            add(flag, Memory, Some((file, bytes.to_string())), None);
        }
    }
    // With a quota above zero both are the one word of docker's.
    if let (Some(quota @ ..=-1), period) = (cpu.quota(), cpu.period()) {
        let v2 = format!("max {}", period.unwrap_or(100_000));
        add("linux.resources.cpu.quota", Cpu, Some(("cpu.cfs_quota_us", quota.to_string())), Some(("cpu.max", v2)));
    }
    if let (None | Some(..=0), Some(period @ 1..)) = (cpu.quota(), cpu.period()) {
        let v2 = ("cpu.max", format!("max {period}"));
        add("linux.resources.cpu.period", Cpu, Some(("cpu.cfs_period_us", period.to_string())), Some(v2));
    }
    if let Some(burst) = cpu.burst() {
        let (v1, v2) = (("cpu.cfs_burst_us", burst.to_string()), ("cpu.max.burst", burst.to_string()));
        add("linux.resources.cpu.burst", Cpu, Some(v1), Some(v2));
    }
    if let Some(idle) = cpu.idle() {
        let (v1, v2) = (("cpu.idle", idle.to_string()), ("cpu.idle", idle.to_string()));
        add("linux.resources.cpu.idle", Cpu, Some(v1), Some(v2));
    }
    if let Some(period) = cpu.realtime_period().filter(|period| *period > 0) {
        let v1 = ("cpu.rt_period_us", period.to_string());
        add("linux.resources.cpu.realtimePeriod", Cpu, Some(v1), None);
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        let v1 = ("cpu.rt_runtime_us", runtime.to_string());
        add("linux.resources.cpu.realtimeRuntime", Cpu, Some(v1), None);
    }
    if let Some(weight) = block_io.weight().filter(|weight| *weight > 0) {
        // Which of the two schedulers is there decides the name; both take the same numbers in v1.
        let v2 = ("io.weight", format!("default {}", 1 + (u32::from(weight).max(10) - 10) * 9999 / 990));
        add("--blkio-weight", Blkio, Some(("blkio.bfq.weight", weight.to_string())), Some(v2));
    }
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort();
    for (name, value) in unified {
        let controller = controller_of(name)?;
        add("linux.resources.unified", controller, None, Some((name, value.clone())));
    }
    Ok(files)
}

/// Whose file of v2 it is.
fn controller_of(file: &str) -> Result<Controller> {
    let plain = !file.contains('/') && file.contains('.');
    Ok(match file.split('.').next().filter(|_| plain) {
        Some("memory") => Controller::Memory,
        Some("cpu") => Controller::Cpu,
        Some("cpuset") => Controller::Cpuset,
        Some("pids") => Controller::Pids,
        Some("io") => Controller::Blkio,
        // What every cgroup of v2 has.
        Some("cgroup") => Controller::Freezer,
        _ => anyhow::bail!("linux.resources.unified: `{file}` is no file of a controller that is used here"),
    })
}

fn cpus(quota: Option<i64>, period: Option<u64>) -> Option<Cpus> {
    let quota_us = u64::try_from(quota?).ok().filter(|quota| *quota > 0)?;
    Some(Cpus { quota_us, period_us: period.filter(|period| *period > 0).unwrap_or(100_000) })
}

fn pids(limit: i64) -> Maximum<u64> {
    u64::try_from(limit).ok().filter(|limit| *limit > 0).map_or(Maximum::Unlimited, Maximum::Of)
}

fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).context("a limit above 2^63")
}

fn throttles(rates: &[DeviceRate]) -> Result<Vec<LinuxThrottleDevice>> {
    let throttle = |DeviceRate { device: (major, minor), rate }: &DeviceRate| {
        let numbers = LinuxThrottleDeviceBuilder::default().major(signed(*major)?).minor(signed(*minor)?);
        Ok(numbers.rate(*rate).build()?)
    };
    rates.iter().map(throttle).collect()
}

fn rates(throttles: Option<&[LinuxThrottleDevice]>) -> Result<Vec<DeviceRate>> {
    let rate = |throttle: &LinuxThrottleDevice| {
        let number = |number: i64| u64::try_from(number).context("the number of a device");
        Ok(DeviceRate { device: (number(throttle.major())?, number(throttle.minor())?), rate: throttle.rate() })
    };
    throttles.unwrap_or_default().iter().map(rate).collect()
}

fn device_rule(rule: &LinuxDeviceCgroup) -> Result<DeviceRule> {
    let number = |number: Option<i64>| {
        let given = number.filter(|number| *number >= 0);
        given.map(u32::try_from).transpose().context("the number of a device")
    };
    let access = rule.access().as_deref().unwrap_or("rwm");
    let has = |letter| access.contains(letter);
    Ok(DeviceRule {
        allow: rule.allow(),
        kind: match rule.typ() {
            Some(LinuxDeviceType::B) => DeviceKind::Block,
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceKind::Character,
            _ => DeviceKind::Any,
        },
        major: number(rule.major())?,
        minor: number(rule.minor())?,
        access: Access { read: has('r'), write: has('w'), mknod: has('m') },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_survive_ocis_words() {
        let limits = Limits {
            memory: Some(Bytes(64 << 20)),
            memory_swap: Some(Maximum::Unlimited),
            memory_reservation: Some(Bytes(32 << 20)),
            cpus: Some("1.5".parse().unwrap()),
            cpu_shares: Some(512),
            cpuset_cpus: Some("0-1".parse().unwrap()),
            cpuset_mems: Some("0".parse().unwrap()),
            pids: Some(Maximum::Of(20)),
            device_write_bps: vec![DeviceRate { device: (8, 0), rate: 1 << 20 }],
            ..Limits::default()
        };
        let back = to_limits(&from_limits(&limits).unwrap()).unwrap();
        assert_eq!(Limits { devices: None, ..back }, limits);
    }
}
