//! `process` and `root`: what the program is given, and what it may do (config.md, "Process", "Root").

use crate::{Behaviour, behaviour, shows};
use serde_json::{Value, json};
use std::fs;

pub(crate) fn all() -> Vec<Behaviour> {
    [user(), surroundings(), capabilities(), limits(), scheduling(), root()].into_iter().flatten().collect()
}

fn process(patch: Value) -> Value {
    json!({"process": patch})
}

fn user() -> Vec<Behaviour> {
    vec![
        shows("uid", process(json!({"user": {"uid": 1234}})), "id -u", "1234\n"),
        shows("gid", process(json!({"user": {"gid": 5678}})), "id -g", "5678\n"),
        shows("no_groups_but_its_own", json!({}), "grep Groups: /proc/self/status | tr -d '\\t '", "Groups:\n"),
        shows(
            "additional_gids",
            process(json!({"user": {"uid": 1, "gid": 2, "additionalGids": [30, 40]}})),
            "id -G",
            "2 30 40\n",
        ),
        shows("umask", process(json!({"user": {"umask": 0o27}})), "umask", "0027\n"),
        shows("umask_without_one_is_022", json!({}), "umask", "0022\n"),
        behaviour("uid_and_gid_are_those_that_the_host_sees", |case| {
            case.configure(process(json!({"user": {"uid": 1234, "gid": 5678}})));
            case.running();
            let status = fs::read_to_string(format!("/proc/{}/status", case.pid())).unwrap();
            assert!(status.contains("Uid:\t1234\t1234\t1234\t1234"), "{status}");
            assert!(status.contains("Gid:\t5678\t5678\t5678\t5678"), "{status}");
        }),
        behaviour("another_user_owns_the_standard_streams", |case| {
            case.configure(process(json!({"user": {"uid": 1234, "gid": 5678}})));
            case.program(&["sh", "-c", "echo out > /proc/self/fd/1; echo err > /proc/self/fd/2"]);
            let output = std::process::Command::output(&mut case.command(&["run", &case.id])).unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n");
        }),
    ]
}

fn surroundings() -> Vec<Behaviour> {
    vec![
        behaviour("args_arrive_as_they_are", |case| {
            case.program(&["sh", "-c", "printf '[%s]' \"$@\"", "name", "", "a b", "ü\n"]);
            assert_eq!(case.run().ok(), "[][a b][ü\n]");
        }),
        behaviour("env_is_what_is_given_and_nothing_of_the_callers", |case| {
            case.configure(process(json!({"env": ["PATH=/bin", "A=1", "B=x=y", "HOME=/h"]})));
            case.program(&["probe", "facts"]);
            let environment = case.finish(case.command(&["run", &case.id]).env("SECRET", "caller")).facts().environment;
            let found: Vec<_> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(found, ["A=1", "B=x=y", "HOME=/h", "PATH=/bin"]);
        }),
        shows(
            "the_program_is_looked_up_in_the_containers_path",
            process(json!({"env": ["PATH=/bin"]})),
            "echo found",
            "found\n",
        ),
        shows("cwd", process(json!({"cwd": "/tmp"})), "pwd", "/tmp\n"),
        shows("cwd_that_is_missing_is_made", process(json!({"cwd": "/not/there/yet"})), "pwd", "/not/there/yet\n"),
        behaviour("cwd_that_is_relative_is_an_error", |case| {
            case.configure(process(json!({"cwd": "tmp"})));
            case.assert_refused("process.cwd");
        }),
        behaviour("cwd_that_is_no_directory_is_an_error", |case| {
            case.configure(process(json!({"cwd": "/etc/passwd"})));
            case.assert_refused("process.cwd");
        }),
        behaviour("cwd_through_a_descriptor_of_the_runtime_is_an_error", |case| {
            for number in 3..12 {
                case.configure(process(json!({"cwd": format!("/proc/self/fd/{number}")})));
                let output = {
                    case.program(&["sh", "-c", "cat ../../../../etc/hostname ../../../bundle/config.json"]);
                    case.run()
                };
                assert!(output.code != 0 && output.stdout.is_empty(), "{number}: {}", output.stdout);
            }
        }),
        behaviour("program_is_the_first_process", |case| assert_eq!(case.facts().pid, 1)),
        behaviour("no_signal_is_blocked", |case| assert_eq!(case.facts().status["SigBlk"], "0000000000000000")),
    ]
}

/// `CapInh`, `CapPrm`, … of the program with these sets of capabilities.
fn sets(patch: Value, script: &'static str, expected: &'static str) -> impl Fn(&crate::Case<'_>) {
    move |case| {
        case.configure(process(json!({"capabilities": null})));
        case.configure(process(json!({"capabilities": patch})));
        assert_eq!(case.shell(script), expected);
    }
}

fn capabilities() -> Vec<Behaviour> {
    const KILL: &str = "CAP_KILL"; // bit 5
    let all =
        json!({"bounding": [KILL], "permitted": [KILL], "effective": [KILL], "inheritable": [KILL], "ambient": [KILL]});
    vec![
        behaviour(
            "bounding_set",
            sets(json!({"bounding": [KILL]}), "grep CapBnd /proc/self/status", "CapBnd:\t0000000000000020\n"),
        ),
        behaviour(
            "permitted_and_effective_set",
            sets(
                json!({"bounding": [KILL], "permitted": [KILL], "effective": [KILL]}),
                "grep -E 'CapPrm|CapEff' /proc/self/status",
                "CapPrm:\t0000000000000020\nCapEff:\t0000000000000020\n",
            ),
        ),
        behaviour("ambient_set", sets(all.clone(), "grep CapAmb /proc/self/status", "CapAmb:\t0000000000000020\n")),
        behaviour("inheritable_set", sets(all, "grep CapInh /proc/self/status", "CapInh:\t0000000000000020\n")),
        behaviour(
            "no_capabilities",
            sets(
                json!({"bounding": [], "permitted": [], "effective": [], "inheritable": [], "ambient": []}),
                "grep -c 'Cap.*0000000000000000' /proc/self/status",
                "5\n",
            ),
        ),
        behaviour("ambient_ones_reach_another_user", |case| {
            let kill = json!([KILL]);
            case.configure(process(json!({
                "user": {"uid": 1000, "gid": 1000},
                "capabilities": {"bounding": kill, "permitted": kill, "effective": kill, "inheritable": kill, "ambient": kill},
            })));
            assert_eq!(case.shell("grep CapEff /proc/self/status"), "CapEff:\t0000000000000020\n");
        }),
        behaviour("another_user_has_no_effective_ones", |case| {
            case.configure(process(json!({"user": {"uid": 1000, "gid": 1000}})));
            assert_eq!(case.shell("grep CapEff /proc/self/status"), "CapEff:\t0000000000000000\n");
        }),
        shows(
            "no_new_privileges",
            process(json!({"noNewPrivileges": true})),
            "grep NoNewPrivs /proc/self/status",
            "NoNewPrivs:\t1\n",
        ),
        shows("new_privileges_unless_told", json!({}), "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0\n"),
    ]
}

fn limits() -> Vec<Behaviour> {
    let limit =
        |name: &str, soft: u64, hard: u64| process(json!({"rlimits": [{"type": name, "soft": soft, "hard": hard}]}));
    vec![
        shows("rlimit_nofile", limit("RLIMIT_NOFILE", 100, 200), "ulimit -Sn; ulimit -Hn", "100\n200\n"),
        shows("rlimit_core", limit("RLIMIT_CORE", 0, 0), "ulimit -c", "0\n"),
        shows(
            "rlimit_nproc",
            limit("RLIMIT_NPROC", 500, 600),
            "grep processes /proc/self/limits | tr -s ' '",
            "Max processes 500 600 processes \n",
        ),
        shows("rlimit_stack", limit("RLIMIT_STACK", 1_048_576, 2_097_152), "ulimit -Ss; ulimit -Hs", "1024\n2048\n"),
        behaviour("rlimit_that_is_unknown_is_an_error", move |case| {
            case.configure(limit("RLIMIT_NOTHING", 1, 1));
            case.assert_refused("process.rlimits[0].type");
        }),
        behaviour("rlimit_given_twice_is_an_error", |case| {
            let nofile = json!({"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10});
            case.configure(process(json!({"rlimits": [nofile, nofile]})));
            case.assert_refused("process.rlimits[1]");
        }),
        shows("oom_score_adj", process(json!({"oomScoreAdj": 321})), "cat /proc/self/oom_score_adj", "321\n"),
        behaviour("oom_score_adj_without_one_is_the_callers", |case| {
            assert_eq!(
                case.shell("cat /proc/self/oom_score_adj"),
                fs::read_to_string("/proc/self/oom_score_adj").unwrap()
            );
        }),
    ]
}

fn scheduling() -> Vec<Behaviour> {
    vec![
        shows(
            "scheduler_batch_with_nice",
            process(json!({"scheduler": {"policy": "SCHED_BATCH", "nice": 5}})),
            "cut -d' ' -f19,41 /proc/1/stat",
            "5 3\n",
        ),
        shows(
            "scheduler_idle",
            process(json!({"scheduler": {"policy": "SCHED_IDLE"}})),
            "cut -d' ' -f41 /proc/1/stat",
            "5\n",
        ),
        behaviour("scheduler_that_is_unknown_is_an_error", |case| {
            case.configure(process(json!({"scheduler": {"policy": "SCHED_NEVER"}})));
            case.assert_refused("process.scheduler.policy");
        }),
        shows(
            "io_priority_best_effort",
            process(json!({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}})),
            "ionice -p 1",
            "best-effort: prio 6\n",
        ),
        shows(
            "io_priority_idle",
            process(json!({"ioPriority": {"class": "IOPRIO_CLASS_IDLE"}})),
            "ionice -p 1 | cut -d: -f1",
            "idle\n",
        ),
        behaviour("exec_cpu_affinity_holds_for_exec", |case| {
            case.configure(process(json!({"execCPUAffinity": {"initial": "0", "final": "1"}})));
            case.running();
            assert_eq!(
                case.exec(&["sh", "-c", "grep Cpus_allowed_list /proc/self/status"]).ok(),
                "Cpus_allowed_list:\t1\n"
            );
        }),
        behaviour("apparmor_profile_is_an_error_where_there_is_no_apparmor", |case| {
            case.configure(process(json!({"apparmorProfile": "some-profile"})));
            case.assert_refused("process.apparmorProfile");
        }),
        behaviour("selinux_label_is_an_error_where_there_is_no_selinux", |case| {
            case.configure(process(json!({"selinuxLabel": "system_u:system_r:svirt_lxc_net_t:s0:c124,c675"})));
            case.assert_refused("process.selinuxLabel");
        }),
    ]
}

fn root() -> Vec<Behaviour> {
    vec![
        shows("root_is_writable", json!({}), "echo x > /file && cat /file", "x\n"),
        shows(
            "root_readonly",
            json!({"root": {"readonly": true}}),
            "touch /file 2>/dev/null || echo refused",
            "refused\n",
        ),
        shows(
            "root_readonly_leaves_mounts_writable",
            json!({"root": {"readonly": true}}),
            "echo x > /dev/shm/f && cat /dev/shm/f",
            "x\n",
        ),
        behaviour("root_path_may_be_absolute", |case| {
            case.configure(json!({"root": {"path": case.bundle().join("rootfs")}}));
            assert_eq!(case.shell("echo inside"), "inside\n");
        }),
        behaviour("root_path_is_relative_to_the_bundle", |case| {
            let bundle = case.bundle();
            case.program(&["echo", "inside"]);
            let mut command = case.command(&["run", "--bundle", bundle.to_str().unwrap(), &case.id]);
            assert_eq!(case.finish(command.current_dir("/")).ok(), "inside\n");
        }),
        behaviour("root_of_the_host_is_out_of_reach", |case| {
            fs::write(case.host.path("outside"), "secret").unwrap();
            let way = case.host.path("outside");
            case.program(&["probe", "double-chroot", way.to_str().unwrap()]);
            let output = case.run();
            assert!(output.code != 0 && output.stdout.is_empty(), "{}", output.stdout);
        }),
        behaviour("root_shows_no_mount_of_the_host", |case| {
            let points = case.facts().mount_points().join(" ");
            assert_eq!(points, "/ /proc /dev /dev/pts /dev/shm /dev/mqueue /sys");
        }),
    ]
}
