//! `linux.namespaces`, mappings of ids, offsets of clocks (config-linux.md, "Namespaces", "User namespace mappings").

use crate::bundle::namespaces;
use crate::{Behaviour, behaviour, shows};
use serde_json::json;
use std::fs;
use std::process::Command;

const TYPES: [(&str, &str); 6] =
    [("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("mount", "mnt"), ("network", "net"), ("cgroup", "cgroup")];

pub(crate) fn all() -> Vec<Behaviour> {
    [fresh_and_absent(), by_path(), user(), time(), names()].into_iter().flatten().collect()
}

fn ours(file: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{file}")).unwrap().to_str().unwrap().to_owned()
}

fn fresh_and_absent() -> Vec<Behaviour> {
    let fresh = TYPES.map(|(_, file)| {
        behaviour(&format!("new_{file}"), move |case| {
            case.configure(json!({"linux": {"namespaces": namespaces(&TYPES.map(|(name, _)| name))}}));
            assert_ne!(case.facts().namespaces[file], ours(file));
        })
    });
    // A container without a mount namespace would change the caller's root.
    let absent = TYPES.into_iter().filter(|(name, _)| *name != "mount").map(|(absent, file)| {
        behaviour(&format!("absent_{file}_is_the_callers"), move |case| {
            let others: Vec<&str> = TYPES.iter().map(|(name, _)| *name).filter(|name| *name != absent).collect();
            case.configure(json!({"linux": {"namespaces": namespaces(&others)}}));
            if absent == "uts" {
                case.configure(json!({"hostname": null}));
            }
            if absent == "network" {
                case.configure(json!({"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]}));
            }
            assert_eq!(case.facts().namespaces[file], ours(file));
        })
    });
    fresh.into_iter().chain(absent).collect()
}

fn by_path() -> Vec<Behaviour> {
    let mut all: Vec<Behaviour> = TYPES
        .into_iter()
        .filter(|(name, _)| !matches!(*name, "mount" | "cgroup"))
        .map(|(joined, file)| {
            behaviour(&format!("path_joins_{file}"), move |case| {
                let mut holder = Command::new("unshare").args(["-piun", "--fork", "sleep", "1000"]).spawn().unwrap();
                let children = format!("/proc/{0}/task/{0}/children", holder.id());
                let child = testkit::until("the holder's child", || {
                    fs::read_to_string(&children).ok()?.split_whitespace().next().map(str::to_owned)
                });
                let path = format!("/proc/{child}/ns/{file}");
                let all: Vec<_> = TYPES
                    .iter()
                    .map(
                        |(name, _)| {
                            if *name == joined { json!({"type": name, "path": path}) } else { json!({"type": name}) }
                        },
                    )
                    .collect();
                case.configure(json!({"linux": {"namespaces": all}}));
                let (inside, expected) = (case.facts().namespaces[file].clone(), fs::read_link(&path).unwrap());
                Command::new("kill").args(["-9", &child]).status().unwrap();
                holder.wait().unwrap();
                assert_eq!(inside, expected.to_str().unwrap());
            })
        })
        .collect();
    all.push(behaviour("path_that_is_missing_is_an_error", |case| {
        let types = json!([{"type": "mount"}, {"type": "pid"}, {"type": "network", "path": "/no/such"}]);
        case.configure(json!({"linux": {"namespaces": types}}));
        case.assert_refused("linux.namespaces[2].path");
    }));
    all.push(behaviour("path_of_another_kind_is_an_error", |case| {
        let types = json!([{"type": "mount"}, {"type": "pid"}, {"type": "network", "path": "/proc/self/ns/uts"}]);
        case.configure(json!({"linux": {"namespaces": types}}));
        case.assert_refused("linux.namespaces[2].path");
    }));
    all.push(behaviour("type_given_twice_is_an_error", |case| {
        case.configure(json!({"linux": {"namespaces": namespaces(&["mount", "pid", "pid"])}}));
        case.assert_refused("linux.namespaces[2]");
    }));
    all.push(behaviour("type_that_is_unknown_is_an_error", |case| {
        case.configure(json!({"linux": {"namespaces": namespaces(&["mount", "pid", "dream"])}}));
        case.assert_refused("linux.namespaces[2].type");
    }));
    all
}

fn user() -> Vec<Behaviour> {
    let mapped = || {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let types = namespaces(&["pid", "ipc", "uts", "mount", "network", "user"]);
        json!({"linux": {"namespaces": types, "uidMappings": map, "gidMappings": map}})
    };
    vec![
        shows("uid_mappings", mapped(), "tr -s ' ' < /proc/self/uid_map", " 0 100000 65536\n"),
        shows("gid_mappings", mapped(), "tr -s ' ' < /proc/self/gid_map", " 0 100000 65536\n"),
        shows("root_of_a_user_namespace_is_0_inside", mapped(), "id -u; id -g", "0\n0\n"),
        behaviour("root_of_a_user_namespace_is_mapped_outside", move |case| {
            case.configure(mapped());
            case.running();
            let status = fs::read_to_string(format!("/proc/{}/status", case.pid())).unwrap();
            assert!(status.contains("Uid:\t100000\t100000"), "{status}");
        }),
        behaviour("mappings_without_a_user_namespace_are_an_error", |case| {
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
            case.configure(json!({"linux": {"uidMappings": map, "gidMappings": map}}));
            case.assert_refused("linux.uidMappings");
        }),
    ]
}

fn time() -> Vec<Behaviour> {
    let types = namespaces(&["pid", "ipc", "uts", "mount", "network", "time"]);
    let offsets =
        json!({"linux": {"namespaces": types, "timeOffsets": {"boottime": {"secs": 10_000_000, "nanosecs": 0}}}});
    vec![
        shows(
            "time_offset_of_boottime",
            offsets,
            "test $(cut -d. -f1 /proc/uptime) -gt 10000000 && echo later",
            "later\n",
        ),
        behaviour("time_offsets_without_a_time_namespace_are_an_error", |case| {
            case.configure(json!({"linux": {"timeOffsets": {"boottime": {"secs": 1, "nanosecs": 0}}}}));
            case.assert_refused("linux.timeOffsets");
        }),
    ]
}

fn names() -> Vec<Behaviour> {
    vec![
        shows("hostname", json!({"hostname": "other"}), "hostname", "other\n"),
        behaviour("hostname_stays_inside", |case| {
            let before = nix::unistd::gethostname().unwrap();
            case.running();
            assert_eq!(nix::unistd::gethostname().unwrap(), before);
        }),
        behaviour("hostname_without_a_uts_namespace_is_an_error", |case| {
            case.configure(json!({"linux": {"namespaces": namespaces(&["pid", "ipc", "mount", "network"])}}));
            case.assert_refused("hostname");
        }),
        shows("domainname", json!({"domainname": "example.org"}), "cat /proc/sys/kernel/domainname", "example.org\n"),
    ]
}
