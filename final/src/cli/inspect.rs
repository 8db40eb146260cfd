//! `tara inspect`.

use super::{print, ps};
use crate::container::{Container, Record, Status};
use crate::engine::Engine;
use crate::network::show;
use crate::report;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use step07_images::{Error, Image};

/// Show all about containers and images, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Only objects of this kind.
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "NAME|ID")]
    objects: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Container,
    Image,
}

impl Inspect {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let mut code = 0;
        let mut found = Vec::new();
        for object in &self.objects {
            match self.find(engine, object) {
                Ok(value) => found.push(value),
                Err(error) => {
                    eprint!("{}", report::text(&error));
                    code = 1;
                }
            }
        }
        print(&format!("{}\n", serde_json::to_string_pretty(&found)?));
        Ok(code)
    }

    fn find(&self, engine: &Engine, object: &str) -> Result<Value> {
        let container = Container::find(engine.dirs(), object);
        match (self.kind, container) {
            (None | Some(Kind::Container), Ok(found)) => Ok(of_container(engine, &found)),
            (Some(Kind::Container), Err(error)) => Err(error),
            (kind, _) => match engine.store().resolve(object) {
                Ok(image) => Ok(of_image(&image)),
                Err(Error::NoSuchImage { .. } | Error::Reference { .. }) if kind.is_none() => {
                    let refusal = report::Refusal::new(format!("no such object: `{object}`"));
                    Err(refusal.help("`tara ps -a` and `tara images` list what is there").code(1).into())
                }
                Err(error) => Err(error.into()),
            },
        }
    }
}

fn of_container(engine: &Engine, Container { record, status }: &Container) -> Value {
    let process = record.spec.process().as_ref();
    let command = record.command();
    let (program, arguments) = command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let folder = engine.dirs().container(&record.id);
    json!({
        "Id": record.id,
        "Created": record.created,
        "Path": program,
        "Args": arguments,
        "State": state(status),
        "Image": record.image_id,
        "Name": format!("/{}", record.name),
        "HostConfig": host_config(record),
        "NetworkSettings": show::settings(engine.dirs(), record),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": record.layers.iter().rev().map(|layer| layer.display().to_string()).collect::<Vec<_>>().join(":"),
                "UpperDir": folder.join("diff"),
                "WorkDir": folder.join("work"),
            },
        },
        "Mounts": record.spec.mounts().iter().flatten().map(mount).collect::<Vec<_>>(),
        "Config": {
            "Hostname": record.spec.hostname(),
            "Domainname": record.networking.domainname.clone().unwrap_or_default(),
            "ExposedPorts": record.networking.expose.iter().map(|port| (port.clone(), json!({}))).collect::<serde_json::Map<_, _>>(),
            "User": process.map(|process| format!("{}:{}", process.user().uid(), process.user().gid())),
            "Tty": process.and_then(oci_spec::runtime::Process::terminal).unwrap_or(false),
            "OpenStdin": record.interactive,
            "Env": process.and_then(|process| process.env().clone()),
            "Cmd": command,
            "Image": record.image,
            "WorkingDir": process.map(oci_spec::runtime::Process::cwd),
        },
    })
}

/// docker's words for what the specification says.
fn host_config(record: &Record) -> Value {
    let linux = record.spec.linux().as_ref();
    let process = record.spec.process().as_ref();
    let resources = linux.and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let (memory, cpu) = (resources.memory().unwrap_or_default(), resources.cpu().clone().unwrap_or_default());
    let block_io = resources.block_io().clone().unwrap_or_default();
    let security = record.security.as_ref();
    json!({
        "AutoRemove": record.auto_remove,
        "NetworkMode": record.networking.name(),
        "PortBindings": show::bindings(record),
        "ReadonlyRootfs": record.spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
        "Init": record.init,
        "Memory": memory.limit().unwrap_or(0),
        "MemorySwap": memory.swap().unwrap_or(0),
        "MemoryReservation": memory.reservation().unwrap_or(0),
        "NanoCpus": nano_cpus(cpu.quota(), cpu.period()),
        "CpuShares": cpu.shares().unwrap_or(0),
        "CpuPeriod": cpu.period().unwrap_or(0),
        "CpuQuota": cpu.quota().unwrap_or(0),
        "CpusetCpus": cpu.cpus().clone().unwrap_or_default(),
        "CpusetMems": cpu.mems().clone().unwrap_or_default(),
        "PidsLimit": resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit),
        "BlkioDeviceReadBps": block_io.throttle_read_bps_device(),
        "BlkioDeviceWriteBps": block_io.throttle_write_bps_device(),
        "BlkioDeviceReadIOps": block_io.throttle_read_iops_device(),
        "BlkioDeviceWriteIOps": block_io.throttle_write_iops_device(),
        "CgroupParent": linux.and_then(|linux| linux.cgroups_path().as_ref()?.parent()),
        "CapAdd": security.map(|security| &security.cap_add),
        "CapDrop": security.map(|security| &security.cap_drop),
        "Privileged": security.is_some_and(|security| security.privileged),
        "SecurityOpt": security.map(|security| &security.options),
        "OomScoreAdj": process.and_then(|process| process.oom_score_adj()).unwrap_or(0),
        "Ulimits": process.and_then(|process| process.rlimits().clone()),
        "Sysctls": linux.and_then(|linux| linux.sysctl().clone()),
        "Devices": linux.and_then(|linux| linux.devices().clone()),
        "MaskedPaths": linux.and_then(|linux| linux.masked_paths().clone()),
        "ReadonlyPaths": linux.and_then(|linux| linux.readonly_paths().clone()),
    })
}

/// docker counts processors in billionths.
fn nano_cpus(quota: Option<i64>, period: Option<u64>) -> i128 {
    match (quota, period) {
        (Some(quota), Some(period @ 1..)) if quota > 0 => i128::from(quota) * 1_000_000_000 / i128::from(period),
        _ => 0,
    }
}

fn state(status: &Status) -> Value {
    let never = "0001-01-01T00:00:00Z";
    let (pid, started, code, finished) = match status {
        Status::Running(state) => (state.host_pid, json!(state.started), 0, json!(never)),
        Status::Exited(exit) => {
            (0, exit.started.map_or(json!(never), |time| json!(time)), exit.code, json!(exit.finished))
        }
        Status::Created | Status::Starting | Status::Abandoned(_) => (0, json!(never), 0, json!(never)),
    };
    json!({
        "Status": ps::state(status),
        "Running": matches!(status, Status::Running(_)),
        "Paused": matches!(status, Status::Running(state) if state.paused),
        "OOMKilled": matches!(status, Status::Exited(exit) if exit.oom_killed),
        "Dead": matches!(status, Status::Abandoned(_)),
        "Pid": pid,
        "ExitCode": code,
        "StartedAt": started,
        "FinishedAt": finished,
    })
}

fn mount(mount: &oci_spec::runtime::Mount) -> Value {
    let options = mount.options().clone().unwrap_or_default();
    json!({
        "Type": mount.typ(),
        "Source": mount.source(),
        "Destination": mount.destination(),
        "RW": !options.iter().any(|option| option == "ro" || option == "rro"),
        "Mode": options.join(","),
    })
}

fn of_image(image: &Image) -> Value {
    json!({
        "Id": image.id.to_string(),
        "RepoTags": image.names,
        "Digest": image.manifest.to_string(),
        "Created": image.created,
        "Architecture": image.config.architecture(),
        "Os": image.config.os(),
        "Size": image.size,
        "Config": image.config.config(),
        "RootFS": { "Type": "layers", "Layers": image.config.rootfs().diff_ids() },
        "Layers": image.layers,
    })
}
