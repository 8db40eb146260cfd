//! `exec`: one more program in a running container.

use crate::{Behaviour, behaviour};
use serde_json::json;
use std::fs;

pub(crate) fn all() -> Vec<Behaviour> {
    // With options before the id, as callers give them.
    let says = |name: &str, options: &'static [&'static str], script: &'static str, expected: &'static str| {
        behaviour(name, move |case| {
            case.running();
            let words = [&["exec"], options, &[case.id.as_str(), "sh", "-c", script]].concat();
            assert_eq!(case.call(&words).ok(), expected);
        })
    };
    let mut all = vec![
        says("a_program_runs", &[], "echo ran", "ran\n"),
        says("cwd", &["--cwd", "/tmp"], "pwd", "/tmp\n"),
        says("env", &["--env", "A=1", "--env", "B=2"], "echo $A$B", "12\n"),
        says("user", &["--user", "1234:5678"], "id -u; id -g", "1234\n5678\n"),
        says("user_without_a_group", &["-u", "1234"], "id -u; id -g", "1234\n0\n"),
        says("no_new_privs", &["--no-new-privs"], "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1\n"),
        says(
            "cap",
            &["--cap", "CAP_SYS_ADMIN"],
            "test $((0x$(grep CapEff /proc/self/status | cut -f2) >> 21 & 1)) = 1 && echo has",
            "has\n",
        ),
        says("the_containers_environment", &[], "echo $PATH", "/bin:/sbin:/usr/bin\n"),
        says("the_containers_processes_are_in_sight", &[], "cat /proc/1/comm", "sleep\n"),
    ];
    all.extend([
        behaviour("all_namespaces_are_the_containers", |case| {
            case.running();
            let inside = case.exec(&["probe", "facts"]).facts().namespaces;
            for file in ["pid", "ipc", "uts", "mnt", "net", "cgroup", "user"] {
                let outside = fs::read_link(format!("/proc/{}/ns/{file}", case.pid())).unwrap();
                assert_eq!(inside[file], outside.to_str().unwrap());
            }
        }),
        behaviour("the_cgroup_is_the_containers", |case| {
            case.running();
            case.call(&["exec", "--detach", &case.id, "sleep", "1000"]).ok();
            assert_eq!(case.cgroup("pids", "cgroup.procs").lines().count(), 2);
        }),
        behaviour("the_exit_code_is_the_programs", |case| {
            case.running();
            assert_eq!(case.exec(&["sh", "-c", "exit 42"]).code, 42);
        }),
        behaviour("a_signal_is_128_and_its_number", |case| {
            case.running();
            assert_eq!(case.exec(&["sh", "-c", "kill -9 $$"]).code, 137);
        }),
        behaviour("process_file", |case| {
            case.running();
            let file = case.host.path("process.json");
            let process = json!({"user": {"uid": 7, "gid": 8}, "cwd": "/tmp", "env": ["PATH=/bin", "A=1"], "args": ["sh", "-c", "id -u; pwd; echo $A"]});
            fs::write(&file, process.to_string()).unwrap();
            assert_eq!(case.call(&["exec", "--process", file.to_str().unwrap(), &case.id]).ok(), "7\n/tmp\n1\n");
        }),
        behaviour("detach_returns_and_the_pid_file_has_the_pid", |case| {
            case.running();
            let file = case.host.path("pid");
            case.call(&["exec", "--detach", "--pid-file", file.to_str().unwrap(), &case.id, "sleep", "999"]).ok();
            let pid = fs::read_to_string(file).unwrap();
            assert_eq!(fs::read(format!("/proc/{pid}/cmdline")).unwrap(), b"sleep\x00999\0");
        }),
        behaviour("tty_with_a_console_socket", |case| {
            case.running();
            let words = ["exec", "--tty", "--detach", &case.id, "sh", "-c", "test -t 0 && echo yes"];
            assert_eq!(crate::console::shown(crate::console::with_console(case, &words)), "yes\r\n");
        }),
        behaviour("in_a_created_container_is_possible_or_an_error_but_does_not_start_it", |case| {
            case.program(&["touch", "/ran"]);
            case.create();
            case.exec(&["true"]);
            assert!(!case.inside("ran").exists());
        }),
        behaviour("in_a_stopped_container_is_an_error", |case| {
            case.stopped();
            assert_ne!(case.exec(&["true"]).code, 0);
        }),
        behaviour("in_an_unknown_container_is_an_error", |case| assert_ne!(case.call(&["exec", "nobody", "true"]).code, 0)),
        behaviour("a_program_that_is_missing_is_an_error", |case| {
            case.running();
            assert_ne!(case.exec(&["/no/such/program"]).code, 0);
            assert_eq!(case.state()["status"], "running");
        }),
    ]);
    all
}
