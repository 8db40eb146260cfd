//! `mounts`: every kind and option, where they land, and in which order (config.md, "Mounts"; config-linux.md, "Default filesystems").

use crate::{Behaviour, Case, behaviour};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;

pub(crate) fn all() -> Vec<Behaviour> {
    [kinds(), options(), recursive(), places()].into_iter().flatten().collect()
}

/// A folder of the host with the file `name` in it.
fn source(case: &Case<'_>) -> String {
    let folder = case.host.folder("source");
    fs::write(folder.join("name"), "outside").unwrap();
    folder.to_str().unwrap().to_owned()
}

/// A container with one more mount at `/m`, a folder of the host by default, and what a script says in it.
fn mounted(name: &str, mount: Value, script: &'static str, expected: &'static str) -> Behaviour {
    behaviour(name, move |case| {
        let mut all = json!({"destination": "/m", "source": source(case)});
        crate::bundle::merge(&mut all, mount.clone());
        case.mount(all);
        assert_eq!(case.shell(script), expected);
    })
}

fn bind(options: &[&str]) -> Value {
    let options = [&["bind"], options].concat();
    json!({"type": "bind", "options": options})
}

fn tmpfs(options: &[&str]) -> Value {
    json!({"type": "tmpfs", "source": "tmpfs", "options": options})
}

/// The options of the mount at `/m`, one a line.
const HAS: &str = "grep ' /m ' /proc/self/mountinfo | cut -d' ' -f6 | tr , '\\n'";

fn kinds() -> Vec<Behaviour> {
    vec![
        mounted("bind_shows_the_hosts_files", bind(&[]), "cat /m/name", "outside"),
        behaviour("bind_writes_to_the_hosts_files", |case| {
            case.mount(json!({"destination": "/m", "type": "bind", "source": source(case), "options": ["bind"]}));
            case.shell("echo inside > /m/name");
            assert_eq!(fs::read_to_string(case.host.path("source/name")).unwrap(), "inside\n");
        }),
        mounted("bind_needs_no_type", json!({"options": ["bind"]}), "cat /m/name", "outside"),
        behaviour("bind_of_a_relative_source_is_relative_to_the_bundle", |case| {
            fs::create_dir(case.bundle().join("near")).unwrap();
            fs::write(case.bundle().join("near/name"), "near").unwrap();
            case.mount(json!({"destination": "/m", "type": "bind", "source": "near", "options": ["bind"]}));
            assert_eq!(case.shell("cat /m/name"), "near");
        }),
        behaviour("bind_of_a_file_onto_a_file", |case| {
            let file = format!("{}/name", source(case));
            case.mount(json!({"destination": "/etc/passwd", "type": "bind", "source": file, "options": ["bind"]}));
            assert_eq!(case.shell("cat /etc/passwd"), "outside");
        }),
        behaviour("bind_of_a_source_that_is_missing_is_an_error", |case| {
            case.mount(json!({"destination": "/m", "type": "bind", "source": "/no/such", "options": ["bind"]}));
            case.assert_refused("mounts[6].source");
        }),
        mounted("tmpfs_is_empty_and_writable", tmpfs(&[]), "ls /m; echo x > /m/f; cat /m/f", "x\n"),
        mounted("tmpfs_size", tmpfs(&["size=64k"]), "df -k /m | tail -1 | tr -s ' ' | cut -d' ' -f2", "64\n"),
        mounted("tmpfs_mode", tmpfs(&["mode=0710"]), "stat -c %a /m", "710\n"),
        behaviour("tmpcopyup_keeps_what_was_there", |case| {
            fs::create_dir(case.inside("m")).unwrap();
            fs::write(case.inside("m/below"), "kept").unwrap();
            case.mount(json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
            assert_eq!(case.shell("cat /m/below; rm /m/below"), "kept");
            assert_eq!(fs::read_to_string(case.inside("m/below")).unwrap(), "kept");
        }),
        mounted("proc", json!({"type": "proc", "source": "proc"}), "cat /m/1/comm", "cat\n"),
        mounted("sysfs", json!({"type": "sysfs", "source": "sysfs"}), "ls /m/class/net", "lo\n"),
        mounted("mqueue", json!({"type": "mqueue", "source": "mqueue"}), "stat -f -c %t /m", "19800202\n"),
        mounted(
            "devpts",
            json!({"type": "devpts", "source": "devpts", "options": ["newinstance", "mode=0620"]}),
            "ls /m",
            "ptmx\n",
        ),
        mounted(
            "cgroup_shows_the_containers_own",
            json!({"type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]}),
            "grep -c . /m/pids/cgroup.procs; mkdir /m/pids/x 2>/dev/null || echo refused",
            "2\nrefused\n",
        ),
        behaviour("idmap_shows_other_owners", |case| {
            fs::create_dir(case.host.path("owned")).unwrap();
            case.mount(json!({
                "destination": "/m", "type": "bind", "source": case.host.path("owned"), "options": ["bind", "idmap"],
                "uidMappings": [{"containerID": 0, "hostID": 5000, "size": 100}],
                "gidMappings": [{"containerID": 0, "hostID": 5000, "size": 100}],
            }));
            assert_eq!(case.shell("stat -c '%u %g' /m"), "5000 5000\n");
        }),
        behaviour("type_that_is_unknown_is_an_error", |case| {
            case.mount(json!({"destination": "/m", "type": "nosuchfs", "source": "x"}));
            case.assert_refused("mounts[6]");
        }),
    ]
}

fn options() -> Vec<Behaviour> {
    let mut all: Vec<Behaviour> = [
        ("ro", "ro"),
        ("rw", "rw"),
        ("nosuid", "nosuid"),
        ("nodev", "nodev"),
        ("noexec", "noexec"),
        ("noatime", "noatime"),
        ("nodiratime", "nodiratime"),
        ("relatime", "relatime"),
        ("nosymfollow", "nosymfollow"),
    ]
    .into_iter()
    .flat_map(|(option, shown)| {
        let expected: &'static str = format!("{shown}\n").leak();
        let script: &'static str = format!("{HAS} | grep -x {shown}").leak();
        [
            mounted(&format!("bind_with_{option}"), bind(&[option]), script, expected),
            mounted(&format!("tmpfs_with_{option}"), tmpfs(&[option]), script, expected),
        ]
    })
    .collect();
    all.push(mounted("later_option_wins", bind(&["ro", "rw"]), "touch /m/new && echo written", "written\n"));
    all.push(mounted(
        "suid_undoes_nosuid",
        bind(&["nosuid", "suid"]),
        "grep ' /m ' /proc/self/mountinfo | grep -c nosuid || true",
        "0\n",
    ));
    all.push(mounted(
        "strictatime",
        tmpfs(&["strictatime"]),
        "grep ' /m ' /proc/self/mountinfo | grep -c relatime || true",
        "0\n",
    ));
    all.push(mounted("ro_refuses_a_write", bind(&["ro"]), "touch /m/new 2>/dev/null || echo refused", "refused\n"));
    all.extend(
        [
            ("private", "-"),
            ("rprivate", "-"),
            ("shared", "shared:"),
            ("rshared", "shared:"),
            ("unbindable", "unbindable"),
        ]
        .map(|(option, shown)| {
            behaviour(&format!("propagation_{option}"), move |case| {
                case.mount(
                    json!({"destination": "/m", "type": "bind", "source": source(case), "options": ["bind", option]}),
                );
                let line = case.shell("grep ' /m ' /proc/self/mountinfo");
                let field = line.split(' ').nth(6).unwrap();
                assert!(field.starts_with(shown), "{line}");
            })
        }),
    );
    all
}

/// A folder of the host with another file system in it, as long as it lives.
struct Nested(std::path::PathBuf);

impl Nested {
    fn new(case: &Case<'_>) -> Self {
        let below = case.host.folder("source/below");
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("none"), &below, Some("tmpfs"), flags, None::<&str>).unwrap();
        fs::write(below.join("deep"), "deep").unwrap();
        Self(below)
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

fn recursive() -> Vec<Behaviour> {
    let nested = |name: &str, options: &'static [&'static str], script: &'static str, expected: &'static str| {
        behaviour(name, move |case| {
            let _below = Nested::new(case);
            case.mount(json!({"destination": "/m", "type": "bind", "source": source(case), "options": options}));
            assert_eq!(case.shell(script), expected);
        })
    };
    vec![
        nested("bind_leaves_mounts_below_out", &["bind"], "ls /m/below", ""),
        nested("rbind_takes_mounts_below_along", &["rbind"], "cat /m/below/deep", "deep"),
        nested(
            "ro_leaves_mounts_below_writable",
            &["rbind", "ro"],
            "touch /m/new 2>/dev/null || touch /m/below/new && echo below",
            "below\n",
        ),
        nested(
            "rro_makes_mounts_below_read_only",
            &["rbind", "rro"],
            "touch /m/below/new 2>/dev/null || echo refused",
            "refused\n",
        ),
        nested(
            "rnosuid_reaches_mounts_below",
            &["rbind", "rnosuid"],
            "grep -c ' /m.* [^ ]*nosuid' /proc/self/mountinfo",
            "2\n",
        ),
        nested(
            "rnoexec_reaches_mounts_below",
            &["rbind", "rnoexec"],
            "grep -c ' /m.* [^ ]*noexec' /proc/self/mountinfo",
            "2\n",
        ),
        nested(
            "rnodev_reaches_mounts_below",
            &["rbind", "rnodev"],
            "grep -c ' /m.* [^ ]*nodev' /proc/self/mountinfo",
            "2\n",
        ),
        nested(
            "rnoatime_reaches_mounts_below",
            &["rbind", "rnoatime"],
            "grep -c ' /m.* [^ ]*noatime' /proc/self/mountinfo",
            "2\n",
        ),
    ]
}

fn places() -> Vec<Behaviour> {
    vec![
        mounted(
            "destination_that_is_missing_is_made",
            json!({"destination": "/deep/er/m", "options": ["bind"]}),
            "cat /deep/er/m/name",
            "outside",
        ),
        behaviour("destination_for_a_file_is_made_a_file", |case| {
            let file = format!("{}/name", source(case));
            case.mount(json!({"destination": "/new/file", "type": "bind", "source": file, "options": ["bind"]}));
            assert_eq!(case.shell("cat /new/file"), "outside");
        }),
        behaviour("destination_symlink_stays_inside", |case| {
            let outside = case.host.folder("outside");
            symlink(&outside, case.inside("link")).unwrap();
            fs::create_dir_all(case.inside(outside.to_str().unwrap())).unwrap();
            case.mount(json!({"destination": "/link", "type": "bind", "source": source(case), "options": ["bind"]}));
            assert_eq!(case.shell("cat /link/name"), "outside");
            assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
        }),
        behaviour("destination_with_dots_stays_inside", |case| {
            case.mount(
                json!({"destination": "/a/../../../m", "type": "bind", "source": source(case), "options": ["bind"]}),
            );
            assert_eq!(case.shell("cat /m/name"), "outside");
        }),
        behaviour("mounts_are_made_in_order", |case| {
            case.mount(json!({"destination": "/m", "type": "bind", "source": source(case), "options": ["bind"]}));
            case.mount(json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs"}));
            assert_eq!(case.shell("ls /m"), "");
        }),
        behaviour("a_mount_may_be_within_an_earlier_one", |case| {
            case.mount(json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs"}));
            case.mount(json!({"destination": "/m/in", "type": "bind", "source": source(case), "options": ["bind"]}));
            assert_eq!(case.shell("ls /m; cat /m/in/name"), "in\noutside");
        }),
        behaviour("mounts_stay_out_of_the_hosts_sight", |case| {
            case.mount(json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs"}));
            case.running();
            let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!table.contains("bundle/rootfs"), "{table}");
        }),
        behaviour("no_mounts_at_all", |case| {
            case.configure(json!({"mounts": null}));
            assert_eq!(case.shell("ls /proc"), "");
        }),
    ]
}
