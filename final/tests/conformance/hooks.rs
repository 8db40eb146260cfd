//! `hooks`: where each runs, what it is given, in which order, and what its failure does (config.md, "POSIX-platform Hooks").

use crate::{Behaviour, Case, behaviour};
use serde_json::{Value, json};
use std::fs;

const HOST_HOOKS: [&str; 4] = ["prestart", "createRuntime", "poststart", "poststop"];
const ALL: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

pub(crate) fn all() -> Vec<Behaviour> {
    [given(), order(), failures()].into_iter().flatten().collect()
}

/// A shell script as a hook. The shell is where the hook's namespace has it.
fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin", "WORD=given"]})
}

/// Has the hook `name` run `script` through a whole life; what it wrote to `/seen` of the container's root.
fn life(case: &Case<'_>, name: &str, script: &str) -> String {
    let (outside, inside) = (case.inside("seen").display().to_string(), "/seen".to_owned());
    let file = if name == "startContainer" { inside } else { outside };
    case.configure(json!({"hooks": {name: [hook(&format!("({script}) > {file}"))]}}));
    case.stopped();
    case.call(&["delete", &case.id]).ok();
    fs::read_to_string(case.inside("seen")).unwrap_or_default()
}

fn given() -> Vec<Behaviour> {
    let mut all = Vec::new();
    for (name, status) in ALL.into_iter().zip([
        "creating created",
        "creating created",
        "creating created",
        "created",
        "running",
        "stopped",
    ]) {
        all.push(behaviour(&format!("{name}_has_the_state_on_its_input"), move |case| {
            case.configure(json!({"annotations": {"key": "value"}}));
            let state: Value = serde_json::from_str(&life(case, name, "cat")).unwrap();
            assert_eq!(state["id"], case.id);
            assert_eq!(state["bundle"], case.bundle().to_str().unwrap());
            assert_eq!(state["annotations"]["key"], "value");
            assert!(status.contains(state["status"].as_str().unwrap()), "{state}");
        }));
        all.push(behaviour(&format!("{name}_has_its_environment"), move |case| {
            assert_eq!(life(case, name, "echo $WORD"), "given\n");
        }));
    }
    all.extend(HOST_HOOKS.map(|name| {
        behaviour(&format!("{name}_runs_in_the_callers_namespaces"), move |case| {
            let ours = ["mnt", "pid"]
                .map(|file| fs::read_link(format!("/proc/self/ns/{file}")).unwrap().display().to_string());
            assert_eq!(
                life(case, name, "readlink /proc/self/ns/mnt /proc/self/ns/pid"),
                format!("{}\n{}\n", ours[0], ours[1])
            );
        })
    }));
    all.extend(["createContainer", "startContainer"].map(|name| {
        behaviour(&format!("{name}_runs_in_the_containers_namespaces"), move |case| {
            let ours = fs::read_link("/proc/self/ns/mnt").unwrap().display().to_string();
            let seen = life(case, name, "readlink /proc/self/ns/mnt");
            assert!(seen.starts_with("mnt:") && seen.trim() != ours, "{seen}");
        })
    }));
    all.push(behaviour("args_arrive_as_they_are", |case| {
        let file = case.inside("seen").display().to_string();
        let script = format!("printf '[%s]' \"$@\" > {file}");
        case.configure(
            json!({"hooks": {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script, "0", "a b", ""]}]}}),
        );
        case.create();
        assert_eq!(fs::read_to_string(case.inside("seen")).unwrap(), "[a b][]");
    }));
    all
}

fn order() -> Vec<Behaviour> {
    vec![behaviour("all_six_run_in_order_and_each_list_too", |case| {
        let hooks: serde_json::Map<String, Value> = ALL
            .into_iter()
            .map(|name| {
                let root = if name == "startContainer" { String::new() } else { case.inside("").display().to_string() };
                let say = |number: u32| hook(&format!("echo {name}{number} >> {root}/seen"));
                (name.to_owned(), json!([say(1), say(2)]))
            })
            .collect();
        case.configure(json!({"hooks": hooks}));
        case.program(&["sh", "-c", "while ! grep -q poststart2 /seen; do sleep 0.01; done; echo program >> /seen"]);
        case.create();
        let created = fs::read_to_string(case.inside("seen")).unwrap();
        let expected = "prestart1 prestart2 createRuntime1 createRuntime2 createContainer1 createContainer2";
        assert_eq!(created.split_whitespace().collect::<Vec<_>>().join(" "), expected);
        case.start();
        case.wait_for("stopped");
        case.call(&["delete", &case.id]).ok();
        let all = fs::read_to_string(case.inside("seen")).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            all,
            format!("{expected} startContainer1 startContainer2 poststart1 poststart2 program poststop1 poststop2")
        );
    })]
}

fn failures() -> Vec<Behaviour> {
    let mut all: Vec<Behaviour> = ["prestart", "createRuntime", "createContainer"]
        .into_iter()
        .map(|name| {
            behaviour(&format!("{name}_that_fails_fails_create"), move |case| {
                case.configure(json!({"hooks": {name: [hook("exit 3")]}}));
                case.assert_refused(&format!("hooks.{name}[0]"));
            })
        })
        .collect();
    all.extend([
        behaviour("start_container_that_fails_fails_start", |case| {
            case.configure(json!({"hooks": {"startContainer": [hook("exit 3")]}}));
            case.program(&["touch", "/ran"]);
            case.create();
            assert_ne!(case.call(&["start", &case.id]).code, 0);
            assert!(!case.inside("ran").exists());
        }),
        behaviour("poststop_that_fails_does_not_keep_the_container", |case| {
            let second = format!("touch {}", case.inside("second").display());
            case.configure(json!({"hooks": {"poststop": [hook("exit 3"), hook(&second)]}}));
            case.stopped();
            case.call(&["delete", &case.id]);
            case.assert_gone();
            assert!(case.inside("second").exists(), "the rest of the hooks did not run");
        }),
        behaviour("hook_that_takes_longer_than_its_timeout_fails", |case| {
            case.configure(
                json!({"hooks": {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "30"], "timeout": 1}]}}),
            );
            case.assert_refused("hooks.createRuntime[0]");
        }),
        behaviour("hook_that_does_not_exist_is_an_error", |case| {
            case.configure(json!({"hooks": {"createRuntime": [{"path": "/no/such/hook"}]}}));
            case.assert_refused("hooks.createRuntime[0].path");
        }),
        behaviour("hook_with_a_relative_path_is_an_error", |case| {
            case.configure(json!({"hooks": {"createRuntime": [{"path": "sh"}]}}));
            case.assert_refused("hooks.createRuntime[0].path");
        }),
        behaviour("hook_with_a_timeout_of_zero_is_an_error", |case| {
            case.configure(json!({"hooks": {"createRuntime": [{"path": "/bin/true", "timeout": 0}]}}));
            case.assert_refused("hooks.createRuntime[0].timeout");
        }),
    ]);
    all
}
