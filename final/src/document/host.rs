//! `HostConfig` and what goes with it: docker's words for what the specification says.

use crate::container::Record;
use crate::network::show;
use crate::volumes::MountPoint;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// What was asked of the host.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct HostConfig {
    pub binds: Option<Vec<String>>,
    pub log_config: LogConfig,
    pub network_mode: String,
    pub port_bindings: Value,
    pub restart_policy: RestartPolicy,
    pub auto_remove: bool,
    pub volumes_from: Option<Vec<String>>,
    pub cap_add: Option<Vec<String>>,
    pub cap_drop: Option<Vec<String>>,
    pub privileged: bool,
    pub readonly_rootfs: bool,
    pub security_opt: Option<Vec<String>>,
    pub init: bool,
    pub oom_score_adj: i32,
    pub sysctls: Option<std::collections::HashMap<String, String>>,
    pub memory: i64,
    pub memory_swap: i64,
    pub memory_reservation: i64,
    pub nano_cpus: i64,
    pub cpu_shares: u64,
    pub cpu_period: u64,
    pub cpu_quota: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub pids_limit: Option<i64>,
    pub blkio_device_read_bps: Throttles,
    pub blkio_device_write_bps: Throttles,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Throttles,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Throttles,
    pub cgroup_parent: Option<PathBuf>,
    pub ulimits: Option<Vec<oci_spec::runtime::PosixRlimit>>,
    pub devices: Option<Vec<oci_spec::runtime::LinuxDevice>>,
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
}

/// Limits of devices.
type Throttles = Option<Vec<oci_spec::runtime::LinuxThrottleDevice>>;

/// How the log is kept.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    pub config: LogOptions,
}

/// The options of `json-file`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "docker's names")]
pub struct LogOptions {
    pub max_file: String,
    pub max_size: String,
}

/// When it is started again.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct RestartPolicy {
    pub name: &'static str,
    pub maximum_retry_count: u32,
}

/// A health check; times in nanoseconds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct HealthcheckDocument {
    pub test: Vec<String>,
    pub interval: u64,
    pub timeout: u64,
    pub start_period: u64,
    pub start_interval: u64,
    pub retries: u32,
}

pub(super) fn host_config(record: &Record) -> HostConfig {
    let linux = record.spec.linux().as_ref();
    let process = record.spec.process().as_ref();
    let resources = linux.and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let (memory, cpu) = (resources.memory().unwrap_or_default(), resources.cpu().clone().unwrap_or_default());
    let block_io = resources.block_io().clone().unwrap_or_default();
    let security = record.security.as_ref();
    let binds: Vec<String> = record.mounts.iter().filter_map(MountPoint::as_bind).collect();
    let volumes_from = &record.asked.volumes_from;
    HostConfig {
        binds: (!binds.is_empty()).then_some(binds),
        log_config: log_config(record),
        network_mode: record.networking.name(),
        port_bindings: show::bindings(record),
        restart_policy: RestartPolicy {
            name: record.upkeep.restart.name(),
            maximum_retry_count: record.upkeep.restart.limit(),
        },
        auto_remove: record.auto_remove,
        volumes_from: (!volumes_from.is_empty()).then(|| volumes_from.clone()),
        cap_add: security.map(|security| security.cap_add.clone()),
        cap_drop: security.map(|security| security.cap_drop.clone()),
        privileged: security.is_some_and(|security| security.privileged),
        readonly_rootfs: record.spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
        security_opt: security.map(|security| security.options.clone()),
        init: record.init,
        oom_score_adj: process.and_then(oci_spec::runtime::Process::oom_score_adj).unwrap_or(0),
        sysctls: linux.and_then(|linux| linux.sysctl().clone()),
        memory: memory.limit().unwrap_or(0),
        memory_swap: memory.swap().unwrap_or(0),
        memory_reservation: memory.reservation().unwrap_or(0),
        nano_cpus: nano_cpus(cpu.quota(), cpu.period()),
        cpu_shares: cpu.shares().unwrap_or(0),
        cpu_period: cpu.period().unwrap_or(0),
        cpu_quota: cpu.quota().unwrap_or(0),
        cpuset_cpus: cpu.cpus().clone().unwrap_or_default(),
        cpuset_mems: cpu.mems().clone().unwrap_or_default(),
        pids_limit: resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit),
        blkio_device_read_bps: block_io.throttle_read_bps_device().clone(),
        blkio_device_write_bps: block_io.throttle_write_bps_device().clone(),
        blkio_device_read_iops: block_io.throttle_read_iops_device().clone(),
        blkio_device_write_iops: block_io.throttle_write_iops_device().clone(),
        cgroup_parent: linux.and_then(|linux| Some(linux.cgroups_path().as_ref()?.parent()?.to_owned())),
        ulimits: process.and_then(|process| process.rlimits().clone()),
        devices: linux.and_then(|linux| linux.devices().clone()),
        masked_paths: linux.and_then(|linux| linux.masked_paths().clone()),
        readonly_paths: linux.and_then(|linux| linux.readonly_paths().clone()),
    }
}

/// docker counts processors in billionths.
fn nano_cpus(quota: Option<i64>, period: Option<u64>) -> i64 {
    match (quota, period) {
        (Some(quota), Some(period @ 1..)) if quota > 0 => {
            i64::try_from(i128::from(quota) * 1_000_000_000 / i128::from(period)).unwrap_or(i64::MAX)
        }
        _ => 0,
    }
}

fn log_config(record: &Record) -> LogConfig {
    let log = &record.upkeep.log;
    let max_size = log.max_size.map_or("-1".to_owned(), |size| size.to_string());
    LogConfig {
        kind: if log.keep { "json-file" } else { "none" },
        config: LogOptions { max_file: log.max_file.to_string(), max_size },
    }
}

pub(super) fn health_check(record: &Record) -> Option<HealthcheckDocument> {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    record.upkeep.health.as_ref().map(|check| HealthcheckDocument {
        test: check.test.clone(),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
        retries: check.retries,
    })
}
