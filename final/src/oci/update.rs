//! `update`.

use super::bundle::parse;
use super::pause::share;
use super::state::{Folder, Status};
use crate::report::Refusal;
use crate::spec::to_limits;
use anyhow::{Context, Result, ensure};
use clap::Args;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use step05_cgroups::Limits;

/// Change the limits of a container.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// A file with `linux.resources`; `-` is standard input. With it no other option counts.
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Its part of the disks when they are contended, 10 to 1000.
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// The period of `--cpu-quota`, in microseconds.
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,
    /// Processor time in a period, in microseconds.
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// What may be saved up for a later period, in microseconds.
    #[arg(long, value_name = "US")]
    cpu_burst: Option<u64>,
    /// Its part when processors are contended.
    #[arg(long, alias = "cpu-shares", value_name = "SHARES")]
    cpu_share: Option<u64>,
    /// The period of `--cpu-rt-runtime`, in microseconds.
    #[arg(long, value_name = "US")]
    cpu_rt_period: Option<u64>,
    /// Time for real-time processes in a period, in microseconds.
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// 1: only what nobody else wants.
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// The processors it may run on.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// The memory nodes it may allocate from.
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Accepted: kernels do not limit it any more.
    #[arg(long, hide = true, value_name = "BYTES")]
    kernel_memory: Option<String>,
    /// Memory for the buffers of TCP.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    kernel_memory_tcp: Option<i64>,
    /// Memory.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Memory that it is left with when the machine runs short.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_reservation: Option<i64>,
    /// Memory and swap together.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// How many processes.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Not supported.
    #[arg(long, hide = true)]
    l3_cache_schema: Option<String>,
    /// Not supported.
    #[arg(long, hide = true)]
    mem_bw_schema: Option<String>,
    /// The container.
    id: String,
}

impl Update {
    pub(super) fn run(&self, root: &Path) -> Result<u8> {
        let unsupported =
            || Refusal::new("Intel RDT (`--l3-cache-schema`, `--mem-bw-schema`) is not supported").code(1);
        ensure!(self.l3_cache_schema.is_none() && self.mem_bw_schema.is_none(), unsupported());
        let folder = Folder::find(root, &self.id)?;
        let saved = folder.read()?;
        let stopped = || Refusal::new(format!("container `{}` not running", self.id)).code(1);
        ensure!(!matches!(folder.status(&saved), Status::Stopped | Status::Creating), stopped());
        let resources = self.resources()?;
        // The devices stay as they are: who sends the whole list again, as CRI-O does, does not want others.
        let limits = Limits { devices: None, ..to_limits(&resources)? };
        share(&saved)?.update(&limits).map_err(super::create::name_the_field)?;
        Ok(0)
    }

    fn resources(&self) -> Result<LinuxResources> {
        let text = match self.resources.as_deref() {
            None => self.options().to_string().into_bytes(),
            Some(file) if file == Path::new("-") => {
                let mut text = Vec::new();
                stdin().read_to_end(&mut text).context("read standard input")?;
                text
            }
            Some(file) => fs::read(file).with_context(|| format!("read `{}`", file.display()))?,
        };
        parse(&text, self.resources.as_deref().unwrap_or(Path::new("options")))
    }

    fn options(&self) -> Value {
        let given = |fields: &[(&str, Value)]| -> Map<String, Value> {
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect()
        };
        let memory = given(&[
            ("limit", json!(self.memory)),
            ("reservation", json!(self.memory_reservation)),
            ("swap", json!(self.memory_swap)),
            ("kernelTCP", json!(self.kernel_memory_tcp)),
        ]);
        let cpu = given(&[
            ("shares", json!(self.cpu_share)),
            ("quota", json!(self.cpu_quota)),
            ("period", json!(self.cpu_period)),
            ("burst", json!(self.cpu_burst)),
            ("realtimePeriod", json!(self.cpu_rt_period)),
            ("realtimeRuntime", json!(self.cpu_rt_runtime)),
            ("idle", json!(self.cpu_idle)),
            ("cpus", json!(self.cpuset_cpus)),
            ("mems", json!(self.cpuset_mems)),
        ]);
        let pids = given(&[("limit", json!(self.pids_limit))]);
        let block_io = given(&[("weight", json!(self.blkio_weight))]);
        let mut all = json!({ "memory": memory, "cpu": cpu, "blockIO": block_io });
        if !pids.is_empty() {
            all["pids"] = Value::Object(pids);
        }
        all
    }
}
