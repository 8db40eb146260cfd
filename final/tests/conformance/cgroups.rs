//! `linux.cgroupsPath` and `linux.resources` on cgroup v1 (config-linux.md, "Control groups").

use crate::{Behaviour, Case, behaviour};
use serde_json::{Value, json};
use std::fs;

pub(crate) fn all() -> Vec<Behaviour> {
    [paths(), resources(), devices()].into_iter().flatten().collect()
}

/// A line of `/proc/PID/cgroup` of the container's first process: its path.
fn path_of(case: &Case<'_>, controller: &str) -> String {
    let table = fs::read_to_string(format!("/proc/{}/cgroup", case.pid())).unwrap();
    let mut lines = table.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
    lines.find(|fields| fields[1] == controller).unwrap()[2].to_owned()
}

fn paths() -> Vec<Behaviour> {
    vec![
        behaviour("absolute_path_is_taken_as_it_is", |case| {
            case.running();
            assert_eq!(path_of(case, "pids"), format!("{}/c", case.host.cgroup_parent()));
        }),
        behaviour("relative_path_is_a_cgroup_of_its_own", |case| {
            let parent = case.host.cgroup_parent();
            case.configure(json!({"linux": {"cgroupsPath": format!("{}/relative", &parent[1..])}}));
            case.running();
            assert!(path_of(case, "pids").ends_with(&format!("{parent}/relative")));
        }),
        behaviour("no_path_is_still_a_cgroup_of_its_own", |case| {
            case.configure(json!({"linux": {"cgroupsPath": null}}));
            case.running();
            assert_ne!(path_of(case, "pids"), "/");
        }),
        behaviour("first_process_is_in_it_before_start", |case| {
            case.create();
            assert!(case.cgroup("pids", "cgroup.procs").lines().any(|line| line == case.pid().to_string()));
        }),
        behaviour("cgroup_namespace_has_the_containers_cgroup_as_root", |case| {
            let types = crate::bundle::namespaces(&["pid", "ipc", "uts", "mount", "network", "cgroup"]);
            case.configure(json!({"linux": {"namespaces": types}}));
            assert_eq!(case.shell("grep :pids: /proc/self/cgroup | cut -d: -f3"), "/\n");
        }),
    ]
}

fn resources() -> Vec<Behaviour> {
    let limits: [(&str, Value, &str, &str, &str); 11] = [
        ("memory_limit", json!({"memory": {"limit": 33_554_432}}), "memory", "memory.limit_in_bytes", "33554432"),
        (
            "memory_reservation",
            json!({"memory": {"reservation": 16_777_216}}),
            "memory",
            "memory.soft_limit_in_bytes",
            "16777216",
        ),
        ("memory_swappiness", json!({"memory": {"swappiness": 10}}), "memory", "memory.swappiness", "10"),
        (
            "memory_without_oom_killer",
            json!({"memory": {"limit": 33_554_432, "disableOOMKiller": true}}),
            "memory",
            "memory.oom_control",
            "oom_kill_disable 1",
        ),
        ("cpu_shares", json!({"cpu": {"shares": 512}}), "cpu", "cpu.shares", "512"),
        ("cpu_quota", json!({"cpu": {"quota": 50000, "period": 100_000}}), "cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu_period", json!({"cpu": {"quota": 25000, "period": 50000}}), "cpu", "cpu.cfs_period_us", "50000"),
        ("cpuset_cpus", json!({"cpu": {"cpus": "1"}}), "cpuset", "cpuset.cpus", "1"),
        ("cpuset_mems", json!({"cpu": {"mems": "0"}}), "cpuset", "cpuset.mems", "0"),
        ("pids_limit", json!({"pids": {"limit": 20}}), "pids", "pids.max", "20"),
        (
            "block_io_throttle",
            json!({"blockIO": {"throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": 1_048_576}]}}),
            "blkio",
            "blkio.throttle.read_bps_device",
            "254:0 1048576",
        ),
    ];
    let mut all: Vec<Behaviour> = limits
        .into_iter()
        .map(|(name, resources, controller, file, expected)| {
            behaviour(name, move |case| {
                case.configure(json!({"linux": {"resources": resources}}));
                case.create();
                assert_eq!(case.cgroup(controller, file).lines().next(), Some(expected));
            })
        })
        .collect();
    all.push(behaviour("memory_limit_holds", |case| {
        case.configure(json!({"linux": {"resources": {"memory": {"limit": 16_777_216, "swap": 16_777_216}}}}));
        case.program(&["sh", "-c", "dd if=/dev/zero of=/dev/shm/f bs=1M count=40"]);
        assert_ne!(case.run().code, 0);
    }));
    all.push(behaviour("pids_limit_holds", |case| {
        case.configure(json!({"linux": {"resources": {"pids": {"limit": 8}}}}));
        case.program(&["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done"]);
        assert_ne!(case.run().code, 0);
    }));
    all.push(behaviour("cpuset_of_a_cpu_that_is_missing_is_an_error", |case| {
        case.configure(json!({"linux": {"resources": {"cpu": {"cpus": "4000"}}}}));
        case.assert_refused("linux.resources.cpu.cpus");
    }));
    all
}

fn devices() -> Vec<Behaviour> {
    let rules = |devices: Value| json!({"linux": {"resources": {"devices": devices}}});
    let deny = json!({"allow": false, "access": "rwm"});
    vec![
        behaviour("devices_are_denied", move |case| {
            case.configure(rules(json!([deny])));
            assert_eq!(
                case.shell("(mknod /dev/fuse c 10 229 && : < /dev/fuse) 2>&1 | grep -o 'not permitted'; true"),
                "not permitted\n"
            );
        }),
        behaviour("devices_are_allowed_again", move |case| {
            case.configure(rules(json!([
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rm"},
            ])));
            assert_eq!(case.shell("mknod /dev/fuse c 10 229 && : < /dev/fuse && echo opened"), "opened\n");
        }),
        behaviour("default_devices_work_whatever_is_denied", move |case| {
            case.configure(rules(json!([{"allow": false, "access": "rwm"}])));
            assert_eq!(case.shell("echo x > /dev/null && head -c 2 /dev/zero | wc -c"), "2\n");
        }),
    ]
}
