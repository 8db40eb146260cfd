//! `HostConfig` and what goes with it: docker's words for what the specification says.

use crate::container::Record;
use crate::network::show;
use crate::users;
use crate::volumes::MountPoint;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
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
    pub blkio_weight: u16,
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
    pub pid_mode: String,
    pub ipc_mode: String,
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    pub userns_mode: String,
    pub cgroupns_mode: &'static str,
    pub publish_all_ports: bool,
    pub dns: Vec<IpAddr>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    pub extra_hosts: Option<Vec<String>>,
    pub group_add: Option<Vec<String>>,
    pub shm_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    pub never: Value,
}

/// What docker's document has and nobody can ask for here: scripts that read it find what docker says of a plain container.
fn never() -> Value {
    json!({
        "BlkioWeightDevice": [], "Cgroup": "", "ConsoleSize": [0, 0], "ContainerIDFile": "", "CpuCount": 0,
        "CpuPercent": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "DeviceCgroupRules": null, "DeviceRequests": null,
        "IOMaximumBandwidth": 0, "IOMaximumIOps": 0, "Isolation": "", "KernelMemory": 0, "KernelMemoryTCP": 0, "Links": null,
        "MemorySwappiness": null, "OomKillDisable": false, "Runtime": "tara", "VolumeDriver": "",
    })
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
    let of_memory = record.mounts.iter().filter(|mount| mount.kind == "tmpfs");
    let tmpfs: BTreeMap<String, String> =
        of_memory.map(|mount| (mount.destination.display().to_string(), mount.mode.clone())).collect();
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
        volumes_from: some(&record.asked.volumes_from),
        cap_add: security.and_then(|security| some(&security.cap_add)),
        cap_drop: security.and_then(|security| some(&security.cap_drop)),
        privileged: security.is_some_and(|security| security.privileged),
        readonly_rootfs: record.spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
        security_opt: security.and_then(|security| some(&security.options)),
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
        blkio_weight: block_io.weight().unwrap_or(0),
        blkio_device_read_bps: block_io.throttle_read_bps_device().clone(),
        blkio_device_write_bps: block_io.throttle_write_bps_device().clone(),
        blkio_device_read_iops: block_io.throttle_read_iops_device().clone(),
        blkio_device_write_iops: block_io.throttle_write_iops_device().clone(),
        cgroup_parent: linux.and_then(|linux| Some(linux.cgroups_path().as_ref()?.parent()?.to_owned())),
        ulimits: process.and_then(|process| process.rlimits().clone()),
        devices: linux.and_then(|linux| linux.devices().clone()),
        masked_paths: linux.and_then(|linux| linux.masked_paths().clone()),
        readonly_paths: linux.and_then(|linux| linux.readonly_paths().clone()),
        pid_mode: record.networking.pid.word(""),
        ipc_mode: record.networking.ipc.word("private"),
        uts_mode: record.networking.uts.word(""),
        userns_mode: if users::are_own(&record.spec) { "auto".to_owned() } else { String::new() },
        cgroupns_mode: "private",
        publish_all_ports: record.networking.publish_all,
        dns: record.networking.dns.clone(),
        dns_options: record.networking.dns_option.clone(),
        dns_search: record.networking.dns_search.clone(),
        extra_hosts: extra_hosts(record),
        group_add: security.and_then(|security| some(&security.groups)),
        shm_size: mounts(record).find(|mount| mount.destination() == Path::new("/dev/shm")).map_or(0, size_of),
        tmpfs: (!tmpfs.is_empty()).then_some(tmpfs),
        never: never(),
    }
}

/// docker writes a list without anything in it as `null`.
fn some(words: &[String]) -> Option<Vec<String>> {
    (!words.is_empty()).then(|| words.to_vec())
}

fn extra_hosts(record: &Record) -> Option<Vec<String>> {
    let hosts = &record.networking.add_host;
    (!hosts.is_empty()).then(|| hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect())
}

fn mounts(record: &Record) -> impl Iterator<Item = &oci_spec::runtime::Mount> {
    record.spec.mounts().iter().flatten()
}

/// A tmpfs's bytes, as its options say.
fn size_of(mount: &oci_spec::runtime::Mount) -> u64 {
    let mut options = mount.options().iter().flatten();
    let size = options.find_map(|option| option.strip_prefix("size=")).unwrap_or_default();
    let (digits, factor) = match size.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => size.strip_suffix(['m', 'M']).map_or((size, 1), |digits| (digits, 1024 * 1024)),
    };
    digits.parse::<u64>().unwrap_or(0) * factor
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
