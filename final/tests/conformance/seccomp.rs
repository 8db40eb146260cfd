//! `linux.seccomp`: actions, arguments, flags, the listener (config-linux.md, "Seccomp").

use crate::{Behaviour, behaviour, shows};
use serde_json::{Value, json};
use std::os::unix::net::UnixListener;

fn profile(default: &str, rules: Value) -> Value {
    json!({"linux": {"seccomp": {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules}}})
}

fn denied(rule: Value) -> Value {
    let mut all = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"});
    crate::bundle::merge(&mut all, rule);
    profile("SCMP_ACT_ALLOW", json!([all]))
}

pub(crate) fn all() -> Vec<Behaviour> {
    const MKDIR: &str =
        "mkdir /x 2>&1 | grep -o -e 'not permitted' -e 'No space' -e 'not implemented'; test -d /x && echo made; true";
    vec![
        shows("a_filter_is_in_force", denied(json!({})), "grep Seccomp: /proc/self/status", "Seccomp:\t2\n"),
        shows("no_filter_without_a_profile", json!({}), "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"),
        shows("errno_is_eperm_by_default", denied(json!({})), MKDIR, "not permitted\n"),
        shows("errno_ret", denied(json!({"errnoRet": 28})), MKDIR, "No space\n"),
        shows("allow", profile("SCMP_ACT_ALLOW", json!([])), MKDIR, "made\n"),
        shows("log_lets_the_call_through", denied(json!({"action": "SCMP_ACT_LOG"})), MKDIR, "made\n"),
        shows("kill_process", denied(json!({"action": "SCMP_ACT_KILL_PROCESS"})), "mkdir /x; echo $?", "159\n"),
        shows("kill_thread", denied(json!({"action": "SCMP_ACT_KILL"})), "mkdir /x; echo $?", "159\n"),
        shows("trap", denied(json!({"action": "SCMP_ACT_TRAP"})), "mkdir /x; echo $?", "159\n"),
        shows(
            "argument_that_matches",
            denied(json!({"args": [{"index": 1, "value": 0o777, "op": "SCMP_CMP_EQ"}]})),
            MKDIR,
            "not permitted\n",
        ),
        shows(
            "argument_that_does_not_match",
            denied(json!({"args": [{"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]})),
            MKDIR,
            "made\n",
        ),
        shows(
            "argument_masked",
            denied(json!({"args": [{"index": 1, "value": 0o700, "valueTwo": 0o700, "op": "SCMP_CMP_MASKED_EQ"}]})),
            MKDIR,
            "not permitted\n",
        ),
        shows(
            "argument_greater",
            denied(json!({"args": [{"index": 1, "value": 0o776, "op": "SCMP_CMP_GT"}]})),
            MKDIR,
            "not permitted\n",
        ),
        shows(
            "name_that_no_kernel_knows_is_ignored",
            denied(json!({"names": ["mkdir", "no_such_call"]})),
            MKDIR,
            "not permitted\n",
        ),
        shows(
            "no_new_privileges_with_a_filter",
            json!({"process": {"noNewPrivileges": true}, "linux": denied(json!({}))["linux"]}),
            MKDIR,
            "not permitted\n",
        ),
        shows(
            "flag_log",
            json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}}}),
            MKDIR,
            "not permitted\n",
        ),
        behaviour("the_filter_holds_for_exec", |case| {
            case.configure(denied(json!({})));
            case.running();
            assert_ne!(case.exec(&["mkdir", "/x"]).code, 0);
            assert!(!case.inside("x").exists());
        }),
        behaviour("the_listener_gets_the_state", |case| {
            let path = case.host.path("listener");
            let listener = UnixListener::bind(&path).unwrap();
            case.configure(json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "words",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}}}));
            let received = std::thread::spawn(move || crate::console::receive(&listener));
            case.program(&["sleep", "1000"]);
            case.create();
            let (text, descriptors) = received.join().unwrap();
            let state: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!((&state["metadata"], &state["state"]["id"]), (&json!("words"), &json!(case.id)));
            assert_eq!(state["fds"].as_array().unwrap().len(), descriptors.len());
        }),
        behaviour("action_that_is_unknown_is_an_error", |case| {
            case.configure(profile("SCMP_ACT_DANCE", json!([])));
            case.assert_refused("linux.seccomp.defaultAction");
        }),
        behaviour("operator_that_is_unknown_is_an_error", |case| {
            case.configure(denied(json!({"args": [{"index": 1, "value": 1, "op": "SCMP_CMP_ALMOST"}]})));
            case.assert_refused("linux.seccomp.syscalls[0].args[0].op");
        }),
        behaviour("architecture_that_is_unknown_is_an_error", |case| {
            case.configure(json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]}}}));
            case.assert_refused("linux.seccomp.architectures[0]");
        }),
        behaviour("notify_without_a_listener_is_an_error", |case| {
            case.configure(denied(json!({"action": "SCMP_ACT_NOTIFY"})));
            case.assert_refused("linux.seccomp");
        }),
    ]
}
