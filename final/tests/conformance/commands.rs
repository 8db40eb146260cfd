//! Commands and options that callers count on beside the specification's five: the command line that runc made the custom.

use crate::{Behaviour, Case, behaviour};
use serde_json::{Value, json};
use std::fs;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn all() -> Vec<Behaviour> {
    [listing(), changing(), about()].into_iter().flatten().collect()
}

fn listing() -> Vec<Behaviour> {
    vec![
        behaviour("list_is_a_table", |case| {
            case.running();
            let table = case.call(&["list"]).ok();
            assert!(table.lines().any(|line| line.contains(&case.id) && line.contains("running")), "{table}");
        }),
        behaviour("list_quiet_is_ids", |case| {
            case.running();
            assert_eq!(case.call(&["list", "-q"]).ok(), format!("{}\n", case.id));
        }),
        behaviour("list_as_json", |case| {
            case.running();
            let list = parsed(&case.call(&["list", "--format", "json"]).ok());
            assert_eq!(
                (&list[0]["id"], &list[0]["status"], &list[0]["pid"]),
                (&json!(case.id), &json!("running"), &json!(case.pid()))
            );
        }),
        behaviour("list_of_nothing_is_good", |case| {
            case.call(&["list"]).ok();
        }),
        behaviour("ps_as_json_is_pids", |case| {
            case.running();
            assert_eq!(parsed(&case.call(&["ps", "--format", "json", &case.id]).ok()), json!([case.pid()]));
        }),
        behaviour("ps_is_a_table", |case| {
            case.running();
            assert!(case.call(&["ps", &case.id]).ok().contains(&case.pid().to_string()));
        }),
        behaviour("events_stats_once", |case| {
            case.running();
            let event = parsed(&case.call(&["events", "--stats", &case.id]).ok());
            assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(case.id)));
            assert_eq!(event["data"]["pids"]["current"], 1);
        }),
    ]
}

fn updated(
    name: &str,
    options: &'static [&'static str],
    controller: &'static str,
    file: &'static str,
    expected: &'static str,
) -> Behaviour {
    behaviour(name, move |case| {
        case.running();
        case.call(&[&["update"], options, &[case.id.as_str()]].concat()).ok();
        assert_eq!(case.cgroup(controller, file).trim(), expected);
    })
}

fn frozen(case: &Case<'_>) -> String {
    case.cgroup("freezer", "freezer.state").trim().to_owned()
}

fn changing() -> Vec<Behaviour> {
    vec![
        updated("update_memory", &["--memory", "33554432"], "memory", "memory.limit_in_bytes", "33554432"),
        updated("update_pids_limit", &["--pids-limit", "9"], "pids", "pids.max", "9"),
        updated("update_cpu_share", &["--cpu-share", "256"], "cpu", "cpu.shares", "256"),
        updated(
            "update_cpu_quota",
            &["--cpu-period", "100000", "--cpu-quota", "40000"],
            "cpu",
            "cpu.cfs_quota_us",
            "40000",
        ),
        updated("update_cpuset", &["--cpuset-cpus", "0"], "cpuset", "cpuset.cpus", "0"),
        behaviour("update_from_a_file_of_resources", |case| {
            case.running();
            let file = case.host.path("resources.json");
            fs::write(&file, json!({"pids": {"limit": 11}}).to_string()).unwrap();
            case.call(&["update", "--resources", file.to_str().unwrap(), &case.id]).ok();
            assert_eq!(case.cgroup("pids", "pids.max").trim(), "11");
        }),
        behaviour("update_of_an_unknown_id_is_an_error", |case| {
            assert_ne!(case.call(&["update", "--pids-limit", "9", "nobody"]).code, 0);
        }),
        behaviour("pause_freezes_and_resume_thaws", |case| {
            case.running();
            case.call(&["pause", &case.id]).ok();
            assert_eq!(frozen(case), "FROZEN");
            case.call(&["resume", &case.id]).ok();
            assert_eq!(frozen(case), "THAWED");
        }),
        behaviour("pause_of_a_stopped_container_is_an_error", |case| {
            case.stopped();
            assert_ne!(case.call(&["pause", &case.id]).code, 0);
        }),
        behaviour("resume_of_a_running_container_is_an_error", |case| {
            case.running();
            assert_ne!(case.call(&["resume", &case.id]).code, 0);
        }),
    ]
}

fn about() -> Vec<Behaviour> {
    vec![
        behaviour("version_says_the_specifications", |case| {
            assert!(case.call(&["--version"]).ok().lines().any(|line| line.starts_with("spec: 1.")));
        }),
        behaviour("features_are_those_of_the_specification", |case| {
            let features = parsed(&case.call(&["features"]).ok());
            assert!(features["ociVersionMin"].as_str().unwrap().starts_with("1."));
            assert!(features["linux"]["namespaces"].as_array().unwrap().contains(&json!("pid")));
            assert_eq!(features["linux"]["seccomp"]["enabled"], true);
        }),
        behaviour("spec_writes_a_configuration", |case| {
            let folder = case.host.folder("new");
            case.finish(case.command(&["spec"]).current_dir(&folder)).ok();
            let spec = parsed(&fs::read_to_string(folder.join("config.json")).unwrap());
            assert_eq!(spec["root"]["path"], "rootfs");
        }),
        behaviour("spec_does_not_overwrite", |case| assert_ne!(case.call(&["spec"]).code, 0)),
        behaviour("errors_reach_the_log_as_json", |case| {
            let log = case.host.path("log");
            case.call(&["--log", log.to_str().unwrap(), "--log-format", "json", "start", "nobody"]);
            let line = parsed(fs::read_to_string(log).unwrap().lines().last().unwrap());
            assert_eq!(line["level"], "error");
            assert!(!line["msg"].as_str().unwrap().is_empty());
        }),
        behaviour("a_root_keeps_its_containers_to_itself", |case| {
            case.running();
            assert_ne!(case.call(&["--root", "/run/testkit/other", "state", &case.id]).code, 0);
        }),
        behaviour("an_unknown_command_is_an_error", |case| assert_ne!(case.call(&["dance"]).code, 0)),
    ]
}
