//! State: what `state` prints, at each point of a container's life (runtime.md, "State").

use crate::{Behaviour, behaviour};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn all() -> Vec<Behaviour> {
    let mut all = fields();
    all.extend(statuses());
    all
}

fn fields() -> Vec<Behaviour> {
    vec![
        behaviour("oci_version_is_a_version", |case| {
            case.create();
            let version = case.state()["ociVersion"].as_str().unwrap().to_owned();
            assert!(version.starts_with("1."), "{version}");
        }),
        behaviour("id_is_the_containers", |case| {
            case.create();
            assert_eq!(case.state()["id"], case.id);
        }),
        behaviour("bundle_is_an_absolute_path", |case| {
            case.call(&["create", "--bundle", ".", &case.id]).ok();
            assert_eq!(case.state()["bundle"], case.bundle().to_str().unwrap());
        }),
        behaviour("annotations_are_those_of_the_configuration", |case| {
            case.configure(json!({"annotations": {"org.example.key": "value", "empty": ""}}));
            case.create();
            assert_eq!(case.state()["annotations"], json!({"org.example.key": "value", "empty": ""}));
        }),
        behaviour("annotations_may_be_absent", |case| {
            case.create();
            let annotations = case.state()["annotations"].clone();
            assert!(annotations.is_null() || annotations == json!({}), "{annotations}");
        }),
        behaviour("pid_is_a_process_of_the_callers_namespace", |case| {
            case.create();
            assert!(Path::new(&format!("/proc/{}", case.pid())).exists());
        }),
        behaviour("pid_stays_through_start", |case| {
            case.program(&["sleep", "1000"]);
            case.create();
            let created = case.pid();
            case.start();
            assert_eq!(case.pid(), created);
        }),
        behaviour("pid_is_the_program_after_start", |case| {
            case.running();
            let words = std::fs::read(format!("/proc/{}/cmdline", case.pid())).unwrap();
            assert_eq!(words, b"sleep\x001000\0");
        }),
        behaviour("stopped_has_no_pid", |case| {
            case.stopped();
            let pid = case.state()["pid"].clone();
            assert!(pid.is_null() || pid == 0, "{pid}");
        }),
        behaviour("prints_json_and_nothing_else", |case| {
            case.create();
            let printed = case.call(&["state", &case.id]);
            assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
            assert!(serde_json::from_str::<Value>(&printed.stdout).unwrap().is_object());
        }),
    ]
}

fn statuses() -> Vec<Behaviour> {
    vec![
        behaviour("created_after_create", |case| {
            case.create();
            assert_eq!(case.state()["status"], "created");
        }),
        behaviour("running_after_start", |case| {
            case.running();
            assert_eq!(case.state()["status"], "running");
        }),
        behaviour("stopped_after_the_program_ends", |case| {
            case.stopped();
            assert_eq!(case.state()["status"], "stopped");
        }),
        behaviour("stopped_after_a_kill", |case| {
            case.running();
            case.call(&["kill", &case.id, "KILL"]).ok();
            case.wait_for("stopped");
        }),
        behaviour("created_that_is_killed_is_stopped", |case| {
            case.create();
            case.call(&["kill", &case.id, "KILL"]).ok();
            case.wait_for("stopped");
        }),
        behaviour("paused_while_paused", |case| {
            case.running();
            case.call(&["pause", &case.id]).ok();
            assert_eq!(case.state()["status"], "paused");
            case.call(&["resume", &case.id]).ok();
            assert_eq!(case.state()["status"], "running");
        }),
        behaviour("unknown_id_is_an_error", |case| {
            let refused = case.call(&["state", "nobody"]);
            assert_ne!(refused.code, 0);
            assert_eq!(refused.stdout, "");
        }),
        behaviour("deleted_id_is_an_error", |case| {
            case.stopped();
            case.call(&["delete", &case.id]).ok();
            assert_ne!(case.call(&["state", &case.id]).code, 0);
        }),
        behaviour("no_id_is_an_error", |case| assert_ne!(case.call(&["state"]).code, 0)),
    ]
}
