//! A container, as the Engine API's `ContainerInspect`.

use super::NEVER;
use super::host::{HealthcheckDocument, HostConfig, health_check, host_config};
use crate::container::{Container, Record, Status};
use crate::dirs::Dirs;
use crate::monitor::health::Health;
use crate::network::show;
use crate::volumes::MountPoint;
use serde::Serialize;
use serde_json::Value;
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
    pub network_settings: Value,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: Vec<String>,
    pub cmd: Option<Vec<String>>,
    pub image: String,
    pub volumes: Option<BTreeMap<String, Empty>>,
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    pub on_build: Option<Vec<String>>,
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthcheckDocument>,
}

/// `{}`: docker's sets are maps to it.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[allow(clippy::empty_structs_with_brackets, reason = "written as a map")]
pub struct Empty {}

/// The document of a container.
#[must_use]
pub fn container(dirs: &Dirs, Container { record, status, health }: &Container) -> ContainerDocument {
    let command = record.command();
    let (path, args) =
        command.split_first().map_or((String::new(), Vec::new()), |(first, rest)| (first.clone(), rest.to_vec()));
    let of_network = |file: &str| {
        let path = dirs.live(&record.id).join(file);
        if record.networking.has_files() { path.display().to_string() } else { String::new() }
    };
    ContainerDocument {
        id: record.id.clone(),
        created: record.created.to_string(),
        path,
        args,
        state: state(status, health.clone().or_else(|| Health::at_rest(record, status))),
        image: record.image_id.clone(),
        resolv_conf_path: of_network("resolv.conf"),
        hostname_path: of_network("hostname"),
        hosts_path: of_network("hosts"),
        log_path: dirs.log(&record.id),
        name: format!("/{}", record.name),
        restart_count: record.upkeep.restarts,
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
        network_settings: show::settings(dirs, record),
    }
}

fn state(status: &Status, health: Option<Health>) -> RunState {
    let never = || NEVER.to_owned();
    let (pid, started_at, exit_code, finished_at) = match status {
        Status::Running(state) => (state.host_pid, state.started.to_string(), 0, never()),
        Status::Exited(exit) | Status::Restarting(exit) => {
            (0, exit.started.map_or_else(never, |time| time.to_string()), exit.code, exit.finished.to_string())
        }
        Status::Created | Status::Starting | Status::Abandoned(_) => (0, never(), 0, never()),
    };
    RunState {
        status: status.word().to_owned(),
        running: matches!(status, Status::Running(_)),
        paused: matches!(status, Status::Running(state) if state.paused),
        restarting: matches!(status, Status::Restarting(_)),
        oom_killed: matches!(status, Status::Exited(exit) if exit.oom_killed),
        dead: matches!(status, Status::Abandoned(_)),
        pid,
        exit_code,
        error: String::new(),
        started_at,
        finished_at,
        health,
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
    // What is published is exposed too.
    let published = record.networking.ports().into_iter();
    let published = published.flat_map(|spec| spec.container.map(move |port| format!("{port}/{}", spec.protocol)));
    let exposed = record.networking.expose.iter().cloned().chain(published);
    let exposed: BTreeMap<String, Empty> = exposed.map(|port| (port, Empty::default())).collect();
    Config {
        hostname: record.spec.hostname().clone().unwrap_or_default(),
        domainname: record.networking.domainname.clone().unwrap_or_default(),
        exposed_ports: (!exposed.is_empty()).then_some(exposed),
        user: asked.user.clone(),
        tty: process.and_then(oci_spec::runtime::Process::terminal).unwrap_or(false),
        attach_stdin: false,
        attach_stdout: false,
        attach_stderr: false,
        open_stdin: record.interactive,
        stdin_once: false,
        env: process.and_then(|process| process.env().clone()).unwrap_or_default(),
        cmd: asked.cmd.clone(),
        image: record.image.clone(),
        volumes: (!volumes.is_empty()).then_some(volumes),
        working_dir: process.map(|process| process.cwd().display().to_string()).unwrap_or_default(),
        entrypoint: asked.entrypoint.clone(),
        on_build: None,
        labels: asked.labels.clone(),
        stop_signal: record.upkeep.stop_signal.clone().or_else(|| record.stop_signal.clone()),
        stop_timeout: record.upkeep.stop_timeout,
        healthcheck: health_check(record),
    }
}
