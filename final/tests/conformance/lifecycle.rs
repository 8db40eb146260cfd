//! Lifecycle and operations, in the usual orders and the odd ones (runtime.md, "Lifecycle", "Operations").

use crate::{Behaviour, behaviour};
use serde_json::json;
use std::fs;
use std::os::fd::AsRawFd;
use std::process::Stdio;
use testkit::until;

pub(crate) fn all() -> Vec<Behaviour> {
    [create(), start(), kill(), delete(), run()].into_iter().flatten().collect()
}

fn create() -> Vec<Behaviour> {
    vec![
        behaviour("create_does_not_run_the_program", |case| {
            case.program(&["touch", "/ran"]);
            case.create();
            assert!(!case.inside("ran").exists());
        }),
        behaviour("create_takes_the_bundle_from_the_working_directory", |case| {
            case.create();
            assert_eq!(case.state()["bundle"], case.bundle().to_str().unwrap());
        }),
        behaviour("create_takes_the_bundle_from_an_option", |case| {
            let bundle = case.bundle();
            case.finish(case.command(&["create", "-b", bundle.to_str().unwrap(), &case.id]).current_dir("/")).ok();
            assert_eq!(case.state()["bundle"], bundle.to_str().unwrap());
        }),
        behaviour("create_of_an_id_in_use_is_an_error_and_changes_nothing", |case| {
            case.running();
            let before = case.state();
            assert_ne!(case.call(&["create", &case.id]).code, 0);
            assert_eq!(case.state(), before);
        }),
        behaviour("create_without_an_id_is_an_error", |case| assert_ne!(case.call(&["create"]).code, 0)),
        behaviour("create_without_a_bundle_is_an_error", |case| {
            assert_ne!(case.call(&["create", "--bundle", "/nowhere", &case.id]).code, 0);
            case.assert_gone();
        }),
        behaviour("an_id_may_have_dots_dashes_and_underlines", |case| {
            case.call(&["create", "a.b_c-D9"]).ok();
            case.call(&["delete", "--force", "a.b_c-D9"]).ok();
        }),
        behaviour("an_id_with_a_slash_is_an_error", |case| assert_ne!(case.call(&["create", "a/b"]).code, 0)),
        behaviour("an_id_that_leads_elsewhere_is_an_error", |case| {
            assert_ne!(case.call(&["create", "../elsewhere"]).code, 0);
            assert!(!case.host.path("elsewhere").exists());
        }),
        behaviour("an_empty_id_is_an_error", |case| assert_ne!(case.call(&["create", ""]).code, 0)),
        behaviour("the_pid_file_has_the_pid_of_the_state", |case| {
            let file = case.host.path("pid");
            case.call(&["create", "--pid-file", file.to_str().unwrap(), &case.id]).ok();
            assert_eq!(fs::read_to_string(file).unwrap(), case.pid().to_string());
        }),
        behaviour("changes_of_the_configuration_after_create_do_not_matter", |case| {
            case.program(&["touch", "/first"]);
            case.create();
            case.program(&["touch", "/second"]);
            case.start();
            case.wait_for("stopped");
            assert!(case.inside("first").exists() && !case.inside("second").exists());
        }),
        behaviour("the_configuration_may_be_gone_after_create", |case| {
            case.create();
            fs::remove_file(case.bundle().join("config.json")).unwrap();
            case.start();
            case.wait_for("stopped");
        }),
        behaviour("two_containers_of_one_bundle_live_side_by_side", |case| {
            case.running();
            let parent = case.host.cgroup_parent();
            case.configure(json!({"linux": {"cgroupsPath": format!("{parent}/other")}}));
            case.call(&["create", "other"]).ok();
            assert_eq!(case.state()["status"], "running");
            case.call(&["delete", "--force", "other"]).ok();
            assert_eq!(case.state()["status"], "running");
        }),
    ]
}

fn start() -> Vec<Behaviour> {
    vec![
        behaviour("start_runs_the_program", |case| {
            case.program(&["touch", "/ran"]);
            case.create();
            case.start();
            until("the program's file", || case.inside("ran").exists().then_some(()));
        }),
        behaviour("start_of_a_running_container_is_an_error_and_changes_nothing", |case| {
            case.running();
            let before = case.state();
            assert_ne!(case.call(&["start", &case.id]).code, 0);
            assert_eq!(case.state(), before);
        }),
        behaviour("start_of_a_stopped_container_is_an_error", |case| {
            case.stopped();
            assert_ne!(case.call(&["start", &case.id]).code, 0);
            assert_eq!(case.state()["status"], "stopped");
        }),
        behaviour("start_of_an_unknown_id_is_an_error", |case| assert_ne!(case.call(&["start", "nobody"]).code, 0)),
        behaviour("start_without_an_id_is_an_error", |case| assert_ne!(case.call(&["start"]).code, 0)),
    ]
}

fn kill() -> Vec<Behaviour> {
    let trapped = |words: &'static [&'static str], signal: &'static str| {
        move |case: &crate::Case<'_>| {
            let script = format!("trap 'echo got > /got; exit' {signal}; touch /ready; while :; do sleep 0.01; done");
            case.program(&["sh", "-c", &script]);
            case.create();
            case.start();
            until("the trap is set", || case.inside("ready").exists().then_some(()));
            case.call(&[&["kill", &case.id], words].concat()).ok();
            case.wait_for("stopped");
            assert_eq!(fs::read_to_string(case.inside("got")).unwrap(), "got\n");
        }
    };
    vec![
        behaviour("kill_sends_sigterm", trapped(&[], "TERM")),
        behaviour("kill_takes_a_number", trapped(&["10"], "USR1")),
        behaviour("kill_takes_a_name", trapped(&["USR2"], "USR2")),
        behaviour("kill_takes_a_name_with_sig", trapped(&["SIGHUP"], "HUP")),
        behaviour("kill_of_a_stopped_container_is_an_error", |case| {
            case.stopped();
            assert_ne!(case.call(&["kill", &case.id, "KILL"]).code, 0);
        }),
        behaviour("kill_of_an_unknown_id_is_an_error", |case| {
            assert_ne!(case.call(&["kill", "nobody", "KILL"]).code, 0);
        }),
        behaviour("kill_with_an_unknown_signal_is_an_error", |case| {
            case.running();
            assert_ne!(case.call(&["kill", &case.id, "SIGNOTHING"]).code, 0);
            assert_eq!(case.state()["status"], "running");
        }),
        behaviour("kill_all_ends_every_process_of_a_shared_pid_namespace", |case| {
            let types = crate::bundle::namespaces(&["ipc", "uts", "mount", "network"]);
            case.configure(json!({"linux": {"namespaces": types}}));
            case.program(&["sh", "-c", "sleep 1000 & exec sleep 1000"]);
            case.create();
            case.start();
            let processes = || case.cgroup("pids", "cgroup.procs").lines().count();
            until("both processes", || (processes() == 2).then_some(()));
            case.call(&["kill", "--all", &case.id, "KILL"]).ok();
            until("no process is left", || (processes() == 0).then_some(()));
        }),
    ]
}

fn delete() -> Vec<Behaviour> {
    vec![
        behaviour("delete_of_a_stopped_container_leaves_nothing", |case| {
            case.stopped();
            case.call(&["delete", &case.id]).ok();
            case.assert_gone();
        }),
        behaviour("delete_leaves_what_is_not_the_runtimes", |case| {
            case.stopped();
            case.call(&["delete", &case.id]).ok();
            assert!(case.bundle().join("config.json").exists() && case.inside("bin/sh").exists());
        }),
        behaviour("delete_twice_is_an_error", |case| {
            case.stopped();
            case.call(&["delete", &case.id]).ok();
            assert_ne!(case.call(&["delete", &case.id]).code, 0);
        }),
        behaviour("delete_of_a_running_container_is_an_error_and_changes_nothing", |case| {
            case.running();
            let before = case.state();
            assert_ne!(case.call(&["delete", &case.id]).code, 0);
            assert_eq!(case.state(), before);
        }),
        behaviour("delete_force_ends_a_running_container", |case| {
            case.running();
            case.call(&["delete", "--force", &case.id]).ok();
            case.assert_gone();
        }),
        behaviour("delete_force_ends_a_created_container", |case| {
            case.create();
            case.call(&["delete", "--force", &case.id]).ok();
            case.assert_gone();
        }),
        behaviour("delete_force_ends_a_paused_container", |case| {
            case.running();
            case.call(&["pause", &case.id]).ok();
            case.call(&["delete", "--force", &case.id]).ok();
            case.assert_gone();
        }),
        behaviour("delete_of_an_unknown_id_is_an_error", |case| {
            assert_ne!(case.call(&["delete", "nobody"]).code, 0);
        }),
        behaviour("delete_force_of_an_unknown_id_is_none", |case| {
            case.call(&["delete", "--force", "nobody"]).ok();
        }),
        behaviour("an_id_is_free_again_after_delete", |case| {
            case.stopped();
            case.call(&["delete", &case.id]).ok();
            case.create();
        }),
        behaviour("delete_takes_the_cgroups_away", |case| {
            case.stopped();
            case.call(&["delete", &case.id]).ok();
            let folder = format!("/sys/fs/cgroup/pids{}/c", case.host.cgroup_parent());
            assert!(!std::path::Path::new(&folder).exists());
        }),
    ]
}

fn run() -> Vec<Behaviour> {
    let exits = |script: &'static str, code: i32| {
        move |case: &crate::Case<'_>| {
            case.program(&["sh", "-c", script]);
            assert_eq!(case.run().code, code);
        }
    };
    vec![
        behaviour("run_ends_with_0", exits("exit 0", 0)),
        behaviour("run_ends_with_the_programs_code", exits("exit 7", 7)),
        behaviour("run_ends_with_128_and_the_signal", |case| {
            // PID 1 of a namespace cannot be killed from inside.
            case.configure(json!({"linux": {"namespaces": crate::bundle::namespaces(&["ipc", "uts", "mount"])}}));
            case.program(&["sh", "-c", "kill -9 $$"]);
            assert_eq!(case.run().code, 137);
        }),
        behaviour("run_leaves_nothing", |case| {
            case.run().ok();
            case.assert_gone();
        }),
        behaviour("run_passes_the_output_on", |case| {
            case.program(&["sh", "-c", "echo out; echo err >&2"]);
            let output = case.run();
            assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (0, "out\n", "err\n"));
        }),
        behaviour("run_passes_the_input_on", |case| {
            case.program(&["cat"]);
            let input = case.host.path("input");
            fs::write(&input, "words").unwrap();
            let file = fs::File::open(input).unwrap();
            let output = case.command(&["run", &case.id]).stdin(Stdio::from(file)).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "words");
        }),
        behaviour("run_detached_returns_while_the_program_runs", |case| {
            case.program(&["sleep", "1000"]);
            let file = case.host.path("pid");
            case.call(&["run", "--detach", "--pid-file", file.to_str().unwrap(), &case.id]).ok();
            assert_eq!(case.state()["status"], "running");
            assert_eq!(fs::read_to_string(file).unwrap(), case.pid().to_string());
        }),
        behaviour("a_program_that_is_missing_is_an_error_that_leaves_nothing", |case| {
            case.program(&["/no/such/program"]);
            assert_ne!(case.run().code, 0);
            case.assert_gone();
        }),
        behaviour("descriptors_of_the_caller_stay_outside", |case| {
            let file = fs::File::open("/etc/passwd").unwrap();
            nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
            case.program(&["probe", "facts"]);
            let facts = case.run().facts();
            assert_eq!(
                facts.descriptors.keys().copied().collect::<Vec<_>>(),
                [0, 1, 2],
                "{} was open",
                file.as_raw_fd()
            );
        }),
        behaviour("preserve_fds_hands_the_first_ones_on", |case| {
            let mut command = case.command(&["run", "--preserve-fds", "1", &case.id]);
            case.program(&["sh", "-c", "cat <&3; test ! -e /proc/self/fd/4"]);
            assert_eq!(case.finish(with_descriptor_3(&mut command, case)).ok(), "handed on");
        }),
        behaviour("listen_fds_are_handed_on_and_named", |case| {
            let mut command = case.command(&["run", &case.id]);
            command.env("LISTEN_FDS", "1");
            case.program(&["sh", "-c", "cat <&3; echo \" $LISTEN_FDS $LISTEN_PID\""]);
            assert_eq!(case.finish(with_descriptor_3(&mut command, case)).ok(), "handed on 1 1\n");
        }),
    ]
}

/// Has the shell open a file as descriptor 3 of the runtime.
fn with_descriptor_3<'c>(
    command: &'c mut std::process::Command,
    case: &crate::Case<'_>,
) -> &'c mut std::process::Command {
    let file = case.host.path("handed-on");
    fs::write(&file, "handed on").unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("export LISTEN_PID=$$; exec \"$@\" 3<{}", file.display()), "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).current_dir(case.bundle());
    shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    *command = shell;
    command
}
