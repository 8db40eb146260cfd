//! The share of the machine: docker's words, as step 5 reads them.

use crate::report::Refusal;
use crate::spec::from_limits;
use anyhow::Result;
use clap::{Args, ValueEnum};
use oci_spec::runtime::LinuxResources;
use step05_cgroups::{Bytes, Cpus, DeviceRate, Limits, Maximum, Set};

/// What the container may use; also what `update` can change.
#[derive(Debug, Args)]
#[command(next_help_heading = "Resources")]
pub(crate) struct LimitOptions {
    /// Memory, page cache included: 64m, 1.5g.
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<Bytes>,
    /// Memory and swap together; -1 is unlimited.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<Maximum<Bytes>>,
    /// Memory that it is left with when the machine runs short.
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<Bytes>,
    /// Processors: .5, 2.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["cpu_period", "cpu_quota"])]
    cpus: Option<Cpus>,
    /// Its part when processors are contended; 1024 is usual.
    #[arg(short, long, value_name = "NUMBER")]
    cpu_shares: Option<u64>,
    /// Microseconds that `--cpu-quota` counts in.
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Microseconds of processor time in each period.
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// The processors that it may run on: 0-2,5.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<Set>,
    /// The memory nodes that it may allocate from.
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<Set>,
    /// How many processes and threads; -1 is unlimited.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<Maximum<u64>>,
}

/// Limits and the cgroup that keeps them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Resources")]
pub(crate) struct ResourceOptions {
    #[command(flatten)]
    limits: LimitOptions,
    /// Bytes a second read from a disk.
    #[arg(long, value_name = "DISK:RATE")]
    device_read_bps: Vec<DeviceRate>,
    /// Bytes a second written to a disk.
    #[arg(long, value_name = "DISK:RATE")]
    device_write_bps: Vec<DeviceRate>,
    /// Its part when disks are contended, 10 to 1000; 500 is usual.
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u16).range(10..=1000))]
    blkio_weight: Option<u16>,
    /// Reads a second from a disk.
    #[arg(long, value_name = "DISK:RATE")]
    device_read_iops: Vec<DeviceRate>,
    /// Writes a second to a disk.
    #[arg(long, value_name = "DISK:RATE")]
    device_write_iops: Vec<DeviceRate>,
    /// The cgroup below which it gets its own [default: /tara].
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
    /// Whether it gets a cgroup of its own.
    #[arg(long, value_enum, default_value_t)]
    cgroups: Cgroups,
}

/// podman's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Cgroups {
    /// Limits, statistics, a list of devices.
    #[default]
    Enabled,
    /// None of these: for where nobody lets us make cgroups.
    Disabled,
}

impl LimitOptions {
    /// What was asked for.
    pub(crate) fn limits(&self) -> Result<Limits> {
        Ok(Limits {
            memory: self.memory,
            memory_swap: self.memory_swap,
            memory_reservation: self.memory_reservation,
            cpus: self.cpus()?,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids: self.pids_limit,
            ..Limits::default()
        })
    }

    /// `--cpus`, or period and quota, whose usual period is 100 ms.
    fn cpus(&self) -> Result<Option<Cpus>> {
        let (Some(quota), period) = (self.cpu_quota, self.cpu_period) else {
            if self.cpu_period.is_some() {
                return Err(Refusal::new("`--cpu-period` limits nothing without `--cpu-quota`")
                    .help("or write `--cpus`")
                    .into());
            }
            return Ok(self.cpus);
        };
        let period_us = period.unwrap_or(100_000);
        match u64::try_from(quota) {
            Ok(quota_us) if quota_us >= 1000 && (1000..=1_000_000).contains(&period_us) => {
                Ok(Some(Cpus { quota_us, period_us }))
            }
            Err(_) => Ok(None),
            _ => {
                let refusal =
                    Refusal::new("`--cpu-quota` is at least 1000, `--cpu-period` 1000 to 1000000 microseconds");
                Err(refusal.help("-1 is no quota").into())
            }
        }
    }
}

impl ResourceOptions {
    /// What was asked for, in OCI's words.
    pub(crate) fn resources(&self) -> Result<LinuxResources> {
        let limits = Limits {
            device_read_bps: self.device_read_bps.clone(),
            device_write_bps: self.device_write_bps.clone(),
            device_read_iops: self.device_read_iops.clone(),
            device_write_iops: self.device_write_iops.clone(),
            ..self.limits.limits()?
        };
        limits.check()?;
        if !self.has_cgroup() && (!limits.is_empty() || self.blkio_weight.is_some()) {
            let refusal = Refusal::new("without a cgroup nothing can be limited");
            return Err(refusal.help("leave out the limits, or `--cgroups disabled`").into());
        }
        let mut resources = from_limits(&limits)?;
        if let (Some(weight), Some(block_io)) = (self.blkio_weight, resources.block_io_mut().as_mut()) {
            block_io.set_weight(Some(weight));
        }
        Ok(resources)
    }

    pub(crate) fn has_cgroup(&self) -> bool {
        self.cgroups == Cgroups::Enabled
    }
}
