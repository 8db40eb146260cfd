//! What is mounted, from texts recorded on machines of all kinds: these run anywhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use step05_cgroups::{Controller, Hierarchy, Parent, Version};

/// `memory=v1 cpu=v2 …`, and `-` for what is nowhere.
fn places(found: &Hierarchy) -> String {
    let place = |(name, place): (&str, Option<(Version, &Path)>)| {
        format!("{name}={}", place.map_or("-".to_owned(), |(version, _)| version.to_string()))
    };
    found.describe().into_iter().map(place).collect::<Vec<_>>().join(" ")
}

const ALL_V1: &str = "memory=v1 cpu=v1 cpuacct=v1 cpuset=v1 pids=v1 blkio=v1 devices=v1 freezer=v1";
const ALL_V2: &str = "memory=v2 cpu=v2 cpuacct=v2 cpuset=v2 pids=v2 blkio=v2 devices=v2 freezer=v2";

fn own(found: &Hierarchy, controller: Controller) -> Option<&Path> {
    found.tree_of(controller).and_then(|tree| tree.own.as_deref())
}

#[test]
fn v2_as_systemd_mounts_it() {
    let mountinfo = "\
23 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
32 23 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
    let own_cgroup = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n";
    let found = Hierarchy::parse(mountinfo, own_cgroup, |path| {
        assert_eq!(path, Path::new("/sys/fs/cgroup"));
        "cpuset cpu io memory hugetlb pids rdma misc dmem\n".to_owned()
    });
    assert_eq!((found.kind(), places(&found).as_str()), ("v2", ALL_V2));
    let expected = Path::new("user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope");
    assert_eq!(own(&found, Controller::Memory), Some(expected));
}

#[test]
fn v2_without_a_controller_has_none() {
    let mountinfo = "32 23 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n";
    let found = Hierarchy::parse(mountinfo, "0::/\n", |_| "cpu pids\n".to_owned());
    let expected = "memory=- cpu=v2 cpuacct=v2 cpuset=- pids=v2 blkio=- devices=v2 freezer=v2";
    assert_eq!(places(&found), expected);
}

#[test]
fn v1_of_systemd_has_controllers_in_pairs_and_a_tree_without_any() {
    let mountinfo = "\
25 24 0:22 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:9 - cgroup cgroup rw,xattr,name=systemd
28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:13 - cgroup cgroup rw,cpu,cpuacct
29 25 0:26 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid shared:14 - cgroup cgroup rw,net_cls,net_prio
30 25 0:27 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,memory
31 25 0:28 / /sys/fs/cgroup/devices rw,nosuid shared:16 - cgroup cgroup rw,devices
32 25 0:29 / /sys/fs/cgroup/pids rw,nosuid shared:17 - cgroup cgroup rw,pids
33 25 0:30 / /sys/fs/cgroup/blkio rw,nosuid shared:18 - cgroup cgroup rw,blkio
34 25 0:31 / /sys/fs/cgroup/freezer rw,nosuid shared:19 - cgroup cgroup rw,freezer
35 25 0:32 / /sys/fs/cgroup/cpuset rw,nosuid shared:20 - cgroup cgroup rw,cpuset
";
    let own_cgroup = "\
11:memory:/user.slice/user-0.slice/session-1.scope
4:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/user-0.slice/session-1.scope
";
    let found = Hierarchy::parse(mountinfo, own_cgroup, |_| unreachable!("no v2"));
    assert_eq!((found.kind(), places(&found).as_str()), ("v1", ALL_V1));
    let both = [Controller::Cpu, Controller::Cpuacct].map(|controller| found.tree_of(controller).unwrap());
    assert_eq!(both[0], both[1]);
    assert_eq!(both[0].mount_point, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    assert_eq!(own(&found, Controller::Cpu), Some(Path::new("user.slice")));
    assert_eq!(own(&found, Controller::Pids), None, "not in /proc/self/cgroup");
}

/// systemd's hybrid mode, and the machine this project is built on: v2 is there, and empty.
#[test]
fn hybrid_has_a_v2_without_controllers() {
    let mountinfo = "\
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    let found = Hierarchy::parse(mountinfo, "4:memory:/a\n0::/b\n", |_| "\n".to_owned());
    let expected = "memory=v1 cpu=v1 cpuacct=v2 cpuset=- pids=v1 blkio=- devices=v2 freezer=v2";
    assert_eq!((found.kind(), places(&found).as_str()), ("hybrid", expected));
    assert_eq!(own(&found, Controller::Freezer), Some(Path::new("b")));
}

#[test]
fn split_controllers_are_found_in_both() {
    let mountinfo = "\
32 31 0:29 / /sys/fs/cgroup/net_cls rw - cgroup cgroup rw,net_cls
33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
    let found = Hierarchy::parse(mountinfo, "0::/\n", |_| "cpu io pids\n".to_owned());
    let expected = "memory=v1 cpu=v2 cpuacct=v2 cpuset=- pids=v2 blkio=v2 devices=v2 freezer=v2";
    assert_eq!(places(&found), expected);
}

/// A container sees only its own cgroup, bound to where the root usually is; its paths still begin at the host's root.
#[test]
fn docker_in_docker_on_v1_is_below_its_own_cgroup() {
    let id = "a".repeat(64);
    let mountinfo = format!(
        "\
2412 2411 0:30 /docker/{id} /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory
2413 2411 0:36 /docker/{id} /sys/fs/cgroup/pids ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,pids
"
    );
    let own_cgroup = format!("8:pids:/\n4:memory:/docker/{id}\n");
    let found = Hierarchy::parse(&mountinfo, &own_cgroup, |_| String::new());
    assert_eq!(own(&found, Controller::Memory), Some(Path::new("")));
    assert_eq!(own(&found, Controller::Pids), None, "our cgroup is not below what is mounted");
    assert!(found.tree_of(Controller::Pids).unwrap().read_only);
    assert!(!found.tree_of(Controller::Memory).unwrap().read_only);
}

/// With a namespace of cgroups all paths begin at the container's own; a mount from outside of it has `..` for a root.
#[test]
fn docker_in_docker_on_v2_is_the_root_of_its_namespace() {
    let inside = "1500 1499 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n";
    let found = Hierarchy::parse(inside, "0::/\n", |_| "cpu memory pids io cpuset\n".to_owned());
    assert_eq!(own(&found, Controller::Memory), Some(Path::new("")));
    assert!(found.trees()[0].read_only);

    let from_outside = "1500 1499 0:27 /../../.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
    let found = Hierarchy::parse(from_outside, "0::/\n", |_| "memory\n".to_owned());
    assert_eq!(own(&found, Controller::Memory), None);
}

/// WSL2 without systemd: v1 in a tmpfs, and v2 beside it.
#[test]
fn wsl2_is_hybrid() {
    let mountinfo = "\
69 61 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
70 69 0:28 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw,nsdelegate
71 69 0:29 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpuset
72 69 0:30 / /sys/fs/cgroup/cpu rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpu
73 69 0:31 / /sys/fs/cgroup/cpuacct rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,cpuacct
74 69 0:32 / /sys/fs/cgroup/blkio rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,blkio
75 69 0:33 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,memory
76 69 0:34 / /sys/fs/cgroup/devices rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,devices
77 69 0:35 / /sys/fs/cgroup/freezer rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,freezer
82 69 0:40 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime - cgroup cgroup rw,pids
";
    let found = Hierarchy::parse(mountinfo, "5:memory:/\n0::/\n", |_| String::new());
    assert_eq!((found.kind(), places(&found).as_str()), ("hybrid", ALL_V1));
}

#[test]
fn nothing_mounted_is_none() {
    let mountinfo = "23 28 0:21 / /sys rw - sysfs sysfs rw\nbroken line\n1 2 3 - cgroup\n";
    let found = Hierarchy::parse(mountinfo, "", |_| String::new());
    assert_eq!((found.kind(), found.trees().len()), ("none", 0));
    assert!(found.to_string().starts_with("cgroups: none\nmemory: nowhere\n"));
}

#[test]
fn a_mount_point_with_a_space_is_understood() {
    let mountinfo = "32 23 0:27 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n";
    let found = Hierarchy::parse(mountinfo, "0::/\n", |_| "memory\n".to_owned());
    assert_eq!(found.trees()[0].mount_point, PathBuf::from("/mnt/my groups"));
}

#[test]
fn the_files_are_read_below_a_root() {
    let root = std::env::temp_dir().join(format!("step05-root-{}", std::process::id()));
    fs::create_dir_all(root.join("proc/self")).unwrap();
    fs::create_dir_all(root.join("sys/fs/cgroup")).unwrap();
    fs::write(root.join("proc/self/mountinfo"), "32 23 0:27 / /sys/fs/cgroup rw - cgroup2 c rw\n").unwrap();
    fs::write(root.join("proc/self/cgroup"), "0::/a\n").unwrap();
    fs::write(root.join("sys/fs/cgroup/cgroup.controllers"), "memory pids\n").unwrap();
    let found = Hierarchy::find_below(&root).unwrap();
    fs::remove_dir_all(&root).unwrap();
    assert!(found.tree_of(Controller::Pids).is_some() && found.tree_of(Controller::Cpu).is_none());
    assert_eq!(
        Hierarchy::find_below(&root).unwrap_err().to_string(),
        format!("read `{}/proc/self/mountinfo`: no such file or directory (ENOENT)", root.display())
    );
}

#[test]
fn a_parent_cannot_lead_elsewhere() {
    let parent = |name| Parent::new(Hierarchy::default(), Some(name));
    for good in ["/tara", "tara", "/", "/system.slice/tara.slice", "/a/b/"] {
        assert!(parent(good).is_ok(), "{good}");
    }
    for bad in ["", "..", "/a/../b", "/a//b", "/./a", "/a b", "/.a", "/a/cg\n"] {
        assert!(parent(bad).is_err(), "{bad}");
    }
}
