//! The rest of `linux`: devices, hidden paths, kernel parameters, personality, network devices (config-linux.md).

use crate::{Behaviour, behaviour, shows};
use serde_json::{Value, json};
use std::process::Command;

pub(crate) fn all() -> Vec<Behaviour> {
    [devices(), paths(), kernel()].into_iter().flatten().collect()
}

fn linux(patch: Value) -> Value {
    json!({"linux": patch})
}

fn devices() -> Vec<Behaviour> {
    let defaults =
        [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")];
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    let mut all: Vec<Behaviour> = Vec::new();
    all.extend(defaults.map(|(name, number)| {
        let script = format!("test -c /dev/{name} && stat -c '%t:%T %a' /dev/{name}").leak();
        shows(&format!("default_device_{name}"), json!({}), script, format!("{number} 666\n").leak())
    }));
    all.extend(links.map(|(name, target)| {
        shows(
            &format!("default_link_{name}"),
            json!({}),
            format!("readlink /dev/{name}").leak(),
            format!("{target}\n").leak(),
        )
    }));
    let device = |patch: Value| {
        let mut device = json!({"path": "/dev/mine", "type": "c", "major": 1, "minor": 3});
        crate::bundle::merge(&mut device, patch);
        linux(json!({"devices": [device]}))
    };
    all.extend([
        shows("default_link_ptmx_leads_to_the_containers_own", json!({}), "readlink -f /dev/ptmx", "/dev/pts/ptmx\n"),
        shows("device_is_made", device(json!({})), "stat -c '%F %t:%T' /dev/mine", "character special file 1:3\n"),
        shows("device_file_mode", device(json!({"fileMode": 0o640})), "stat -c %a /dev/mine", "640\n"),
        shows("device_owner", device(json!({"uid": 5, "gid": 6})), "stat -c '%u %g' /dev/mine", "5 6\n"),
        shows(
            "device_fifo",
            linux(json!({"devices": [{"path": "/dev/pipe", "type": "p"}]})),
            "stat -c %F /dev/pipe",
            "fifo\n",
        ),
        shows(
            "device_in_a_new_folder",
            device(json!({"path": "/dev/a/b/c"})),
            "echo x > /dev/a/b/c; test -c /dev/a/b/c && echo is",
            "is\n",
        ),
        behaviour("device_of_an_unknown_type_is_an_error", move |case| {
            case.configure(device(json!({"type": "z"})));
            case.assert_refused("linux.devices[0].type");
        }),
    ]);
    all
}

fn paths() -> Vec<Behaviour> {
    vec![
        shows("masked_file_is_empty", linux(json!({"maskedPaths": ["/etc/passwd"]})), "cat /etc/passwd", ""),
        shows(
            "masked_folder_is_empty",
            linux(json!({"maskedPaths": ["/etc"]})),
            "ls /etc; touch /etc/x 2>/dev/null || echo refused",
            "refused\n",
        ),
        shows("masked_path_may_be_missing", linux(json!({"maskedPaths": ["/no/such"]})), "echo runs", "runs\n"),
        shows(
            "masked_proc_file_is_empty",
            linux(json!({"maskedPaths": ["/proc/timer_list"]})),
            "cat /proc/timer_list",
            "",
        ),
        shows(
            "readonly_path",
            linux(json!({"readonlyPaths": ["/etc"]})),
            "touch /etc/x 2>/dev/null || echo refused; cat /etc/group | wc -l",
            "refused\n2\n",
        ),
        shows("readonly_path_may_be_missing", linux(json!({"readonlyPaths": ["/no/such"]})), "echo runs", "runs\n"),
        shows(
            "readonly_proc_sys",
            linux(json!({"readonlyPaths": ["/proc/sys"]})),
            "(echo x > /proc/sys/kernel/hostname) 2>/dev/null || echo refused",
            "refused\n",
        ),
        shows(
            "rootfs_propagation_private",
            linux(json!({"rootfsPropagation": "private"})),
            "grep ' / / ' /proc/self/mountinfo | grep -c -e shared -e master || true",
            "0\n",
        ),
        behaviour("rootfs_propagation_shared", |case| {
            case.configure(linux(json!({"rootfsPropagation": "shared"})));
            let line = case.shell("grep -E '^[0-9]+ [0-9]+ [^ ]+ [^ ]+ / ' /proc/self/mountinfo");
            assert!(line.contains("shared:"), "{line}");
        }),
        behaviour("rootfs_propagation_that_is_unknown_is_an_error", |case| {
            case.configure(linux(json!({"rootfsPropagation": "sideways"})));
            case.assert_refused("linux.rootfsPropagation");
        }),
    ]
}

fn kernel() -> Vec<Behaviour> {
    vec![
        shows(
            "sysctl_of_the_network",
            linux(json!({"sysctl": {"net.ipv4.ip_forward": "1"}})),
            "cat /proc/sys/net/ipv4/ip_forward",
            "1\n",
        ),
        shows(
            "sysctl_of_ipc",
            linux(json!({"sysctl": {"kernel.shm_rmid_forced": "1"}})),
            "cat /proc/sys/kernel/shm_rmid_forced",
            "1\n",
        ),
        behaviour("sysctl_of_the_whole_host_is_an_error", |case| {
            case.configure(linux(json!({"sysctl": {"kernel.panic_on_warn": "0"}})));
            case.assert_refused("linux.sysctl");
        }),
        behaviour("sysctl_of_the_callers_network_is_an_error", |case| {
            let types = crate::bundle::namespaces(&["pid", "ipc", "uts", "mount"]);
            case.configure(linux(json!({"namespaces": types, "sysctl": {"net.ipv4.ip_forward": "1"}})));
            case.assert_refused("linux.sysctl");
        }),
        shows(
            "personality_linux32",
            linux(json!({"personality": {"domain": "LINUX32"}})),
            "cat /proc/self/personality",
            "00000008\n",
        ),
        behaviour("personality_that_is_unknown_is_an_error", |case| {
            case.configure(linux(json!({"personality": {"domain": "BEOS"}})));
            case.assert_refused("linux.personality.domain");
        }),
        behaviour("net_devices_are_moved_and_renamed", |case| {
            let ip = |words: &[&str]| assert!(Command::new("ip").args(words).status().unwrap().success());
            ip(&["link", "add", "given", "type", "veth", "peer", "name", "peer"]);
            case.configure(linux(json!({"netDevices": {"given": {"name": "taken"}}})));
            let links = case.facts().links;
            let _moved = Command::new("ip").args(["link", "del", "given"]).output();
            assert!(links.contains(&"taken".to_owned()), "{links:?}");
        }),
        behaviour("net_device_that_is_missing_is_an_error", |case| {
            case.configure(linux(json!({"netDevices": {"nosuch": {}}})));
            case.assert_refused("linux.netDevices");
        }),
    ]
}
