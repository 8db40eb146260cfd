//! A container, as the Engine API's `ContainerInspect`.

use super::NEVER;
use crate::container::{Container, Record, Status};
use crate::dirs::Dirs;
use crate::volumes::MountPoint;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything about a container.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are docker's, and so is their meaning: Engine API, ContainerInspect")]
pub struct ContainerDocument {
    pub id: String,
    pub created: String,
    pub path: String,
    pub args: Vec<String>,
    pub state: RunState,
    pub image: String,
    pub resolv_conf_path: String,
    pub hostname_path: String,
    pub hosts_path: String,
    pub log_path: PathBuf,
    pub name: String,
    pub restart_count: u32,
    pub driver: &'static str,
    pub platform: &'static str,
    pub mount_label: &'static str,
    pub process_label: &'static str,
    pub app_armor_profile: &'static str,
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    pub host_config: HostConfig,
    pub graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    pub mounts: Vec<MountPoint>,
    pub config: Config,
    pub network_settings: NetworkSettings,
}

/// What the program is doing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct RunState {
    pub status: String,
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub dead: bool,
    pub pid: i32,
    pub exit_code: u8,
    pub error: String,
    pub started_at: String,
    pub finished_at: String,
}

/// What was asked of the host.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct HostConfig {
    pub binds: Option<Vec<String>>,
    pub network_mode: String,
    pub auto_remove: bool,
    pub volumes_from: Option<Vec<String>>,
    pub readonly_rootfs: bool,
    pub init: bool,
}

/// Where the files are.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct GraphDriver {
    pub data: GraphData,
    pub name: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct GraphData {
    pub lower_dir: String,
    pub merged_dir: PathBuf,
    pub upper_dir: PathBuf,
    pub work_dir: PathBuf,
}

/// What the program was given.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct Config {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub tty: bool,
    pub open_stdin: bool,
    pub env: Vec<String>,
    pub cmd: Option<Vec<String>>,
    pub image: String,
    pub volumes: Option<BTreeMap<String, Empty>>,
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
}

/// `{}`: docker's sets are maps to it.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[allow(clippy::empty_structs_with_brackets, reason = "written as a map")]
pub struct Empty {}

/// Its place in networks.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct NetworkSettings {
    pub ports: BTreeMap<String, Option<Vec<BTreeMap<String, String>>>>,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    pub gateway: String,
    pub mac_address: String,
    pub networks: BTreeMap<String, serde_json::Value>,
}

/// The document of a container.
#[must_use]
pub fn container(dirs: &Dirs, Container { record, status }: &Container) -> ContainerDocument {
    let command = record.command();
    let (path, args) =
        command.split_first().map_or((String::new(), Vec::new()), |(first, rest)| (first.clone(), rest.to_vec()));
    ContainerDocument {
        id: record.id.clone(),
        created: record.created.to_string(),
        path,
        args,
        state: state(status),
        image: record.image_id.clone(),
        resolv_conf_path: String::new(),
        hostname_path: String::new(),
        hosts_path: String::new(),
        log_path: dirs.log(&record.id),
        name: format!("/{}", record.name),
        restart_count: 0,
        driver: "overlay2",
        platform: "linux",
        mount_label: "",
        process_label: "",
        app_armor_profile: "",
        exec_ids: None,
        host_config: host_config(record),
        graph_driver: graph_driver(dirs, record),
        size_rw: None,
        size_root_fs: None,
        mounts: record.mounts.clone(),
        config: config(record),
        network_settings: network_settings(record),
    }
}

fn state(status: &Status) -> RunState {
    let never = || NEVER.to_owned();
    let (pid, started_at, exit_code, finished_at) = match status {
        Status::Running(state) => (state.host_pid, state.started.to_string(), 0, never()),
        Status::Exited(exit) => {
            (0, exit.started.map_or_else(never, |time| time.to_string()), exit.code, exit.finished.to_string())
        }
        Status::Created | Status::Starting | Status::Abandoned(_) => (0, never(), 0, never()),
    };
    RunState {
        status: status.word().to_owned(),
        running: matches!(status, Status::Running(_)),
        paused: false,
        restarting: false,
        oom_killed: false,
        dead: matches!(status, Status::Abandoned(_)),
        pid,
        exit_code,
        error: String::new(),
        started_at,
        finished_at,
    }
}

fn host_config(record: &Record) -> HostConfig {
    let binds: Vec<String> = record.mounts.iter().filter_map(MountPoint::as_bind).collect();
    let volumes_from = &record.asked.volumes_from;
    HostConfig {
        binds: (!binds.is_empty()).then_some(binds),
        network_mode: record.network.clone(),
        auto_remove: record.auto_remove,
        volumes_from: (!volumes_from.is_empty()).then(|| volumes_from.clone()),
        readonly_rootfs: record.spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
        init: record.init,
    }
}

fn graph_driver(dirs: &Dirs, record: &Record) -> GraphDriver {
    let folder = dirs.container(&record.id);
    let lower: Vec<String> = record.layers.iter().rev().map(|layer| layer.display().to_string()).collect();
    let data = GraphData {
        lower_dir: lower.join(":"),
        merged_dir: folder.join("merged"),
        upper_dir: folder.join("diff"),
        work_dir: folder.join("work"),
    };
    GraphDriver { data, name: "overlay2" }
}

fn config(record: &Record) -> Config {
    let process = record.spec.process().as_ref();
    let asked = &record.asked;
    let volumes: BTreeMap<String, Empty> =
        asked.volumes.iter().map(|destination| (destination.clone(), Empty::default())).collect();
    Config {
        hostname: record.spec.hostname().clone().unwrap_or_default(),
        domainname: String::new(),
        user: asked.user.clone(),
        tty: process.and_then(oci_spec::runtime::Process::terminal).unwrap_or(false),
        open_stdin: record.interactive,
        env: process.and_then(|process| process.env().clone()).unwrap_or_default(),
        cmd: asked.cmd.clone(),
        image: record.image.clone(),
        volumes: (!volumes.is_empty()).then_some(volumes),
        working_dir: process.map(|process| process.cwd().display().to_string()).unwrap_or_default(),
        entrypoint: asked.entrypoint.clone(),
        labels: asked.labels.clone(),
        stop_signal: record.stop_signal.clone(),
    }
}

fn network_settings(record: &Record) -> NetworkSettings {
    let networks =
        [(record.network.clone(), serde_json::json!({ "IPAddress": "", "Gateway": "", "MacAddress": "" }))].into();
    NetworkSettings { networks, ..NetworkSettings::default() }
}
