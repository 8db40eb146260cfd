//! What a container has and may, beside one of Debian's docker on the same machine, asked by the same commands.
//!
//! Every difference is written here, and explained in ARCHITECTURE.md ("Where a container differs from docker's").

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Engine;
use common::docker::{DOCKERD, Docker};
use serde_json::Value;
use std::time::Duration;
use sys::arch::ABIS;
use testkit::probe::{Call, Entry};
use testkit::{BUSYBOX, Host, Need};

const IPTABLES: Need = Need::Program("iptables", "iptables");
const MINUTES: Need = Need::Time(Duration::from_secs(180));

testkit::suite! {
    privileges_are_as_in_docker: [Need::Root, IPTABLES, DOCKERD, BUSYBOX, MINUTES],
    every_system_call_is_answered_as_in_docker: [Need::Root, IPTABLES, DOCKERD, BUSYBOX, MINUTES],
    mounts_are_as_in_docker: [Need::Root, IPTABLES, DOCKERD, BUSYBOX, MINUTES],
    devices_are_as_in_docker: [Need::Root, IPTABLES, DOCKERD, BUSYBOX, MINUTES],
    nothing_is_shown_as_in_docker: [Need::Root, IPTABLES, DOCKERD, BUSYBOX, MINUTES],
}

/// The two engines with one image.
struct Both<'h> {
    ours: Engine<'h>,
    docker: Docker<'h>,
}

impl<'h> Both<'h> {
    fn start(host: &'h Host) -> Self {
        host.run(host.command("/bin/sh").args(["-c", "busybox ip link set lo up"])).ok();
        Self { ours: Engine::with_box(host), docker: Docker::with_box(host) }
    }

    /// Standard output of `script` in a container of ours; and of docker's, which may refuse the options.
    fn ask(&self, options: &str, script: &str) -> (String, Option<String>) {
        let words: Vec<&str> = ["--network", "none"].into_iter().chain(options.split_whitespace()).collect();
        let file = self.ours.host.path("script");
        std::fs::write(&file, script).unwrap();
        let volume = format!("{}:/script", file.display());
        let ours = self.ours.run(&[&words[..], &["-v", &volume]].concat(), &["sh", "/script"]).ok();
        let theirs = format!("docker run --rm --network none {options} -v {volume} box sh /script");
        (ours, self.docker.shell(&theirs))
    }

    fn stop(self) {
        self.docker.stop();
        self.ours.assert_clean();
    }
}

/// Lines of both as `key` gives them, `-` for those of docker alone and `+` for ours alone.
fn differences(ours: &[String], theirs: &[String]) -> Vec<String> {
    let only = |some: &[String], others: &[String], sign: &str| -> Vec<String> {
        some.iter().filter(|line| !others.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut all = [only(theirs, ours, "-"), only(ours, theirs, "+")].concat();
    all.sort_by(|a, b| a[2..].cmp(&b[2..]));
    all
}

fn privileges_are_as_in_docker(host: &Host) {
    let both = Both::start(host);
    let script = "grep -E '^(Cap|Seccomp:|NoNewPrivs|Uid|Gid|Groups)' /proc/self/status";
    for options in [
        "",
        "--cap-drop ALL --cap-add CHOWN",
        "--cap-drop CHOWN --cap-add NET_ADMIN",
        "-u 1000",
        "-u 1000 --cap-add NET_ADMIN",
        "-u 1000:7 --group-add 9",
        "--security-opt no-new-privileges",
        "--security-opt seccomp=unconfined",
        "--privileged",
    ] {
        match both.ask(options, script) {
            (ours, Some(theirs)) => assert_eq!(ours, theirs, "{options}"),
            // docker wants every capability that the kernel knows; a machine may have taken some away from it.
            (_, None) => assert!(options == "--privileged" && !has_every_capability(), "docker refuses `{options}`"),
        }
    }
    both.stop();
}

fn has_every_capability() -> bool {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    u64::from_str_radix(bounding, 16).unwrap() == (1 << (last.trim().parse::<u32>().unwrap() + 1)) - 1
}

/// These act whatever their arguments are: they end or stop the caller, signal everybody, or make others wait.
const ACTING: [&str; 13] = [
    "exit",
    "exit_group",
    "pause",
    "fork",
    "vfork",
    "kill",
    "rt_sigreturn",
    "sigreturn",
    "sigsuspend",
    "vhangup",
    "sync",
    "idle",
    "restart_syscall",
];

/// docker's profile has closed io_uring since 25.0. Of `socketcall`, a way of 32-bit programs, no filter sees the address family.
const CLOSED: [&str; 4] = ["io_uring_setup", "io_uring_enter", "io_uring_register", "socketcall"];

/// And has opened these since 23.0, for every container.
const OPEN_SINCE: [&str; 6] =
    ["name_to_handle_at", "process_vm_readv", "process_vm_writev", "pkey_mprotect", "pkey_alloc", "pkey_free"];

/// Calls above this are newer than the profile of docker 20.10, for which nothing newer exists.
const LAST_OF_20_10: u32 = 440;

/// Every number that there may be. x32, which docker leaves to the kernel, is closed as a whole: step 6's tests.
fn calls(entry: Entry) -> Vec<u32> {
    let abi = abi(entry);
    let acting: Vec<u32> = ACTING.iter().filter_map(|name| abi.number(name)).collect();
    (0..480).filter(|number| !acting.contains(number)).collect()
}

fn abi(entry: Entry) -> &'static sys::arch::Abi {
    let wanted = if entry == Entry::I386 { "SCMP_ARCH_X86" } else { ABIS[0].name };
    ABIS.iter().find(|abi| abi.name == wanted).unwrap()
}

fn every_system_call_is_answered_as_in_docker(host: &Host) {
    let both = Both::start(host);
    let entries = if ABIS.iter().any(|abi| abi.name == "SCMP_ARCH_X86") {
        vec![Entry::Native, Entry::I386]
    } else {
        vec![Entry::Native]
    };
    let mut wrong = Vec::new();
    for entry in entries {
        let numbers = calls(entry);
        let arguments = [u64::from(u32::MAX), 1, 1, 1, 1];
        let words: Vec<String> = numbers.iter().map(|&number| Call { entry, number, arguments }.to_string()).collect();
        let (ours, theirs) = both.ask("", &format!("exec probe calls {}", words.join(" ")));
        let (ours, theirs) = (ours, theirs.unwrap());
        assert_eq!((ours.lines().count(), theirs.lines().count()), (numbers.len(), numbers.len()));
        for ((number, ours), theirs) in numbers.iter().zip(ours.lines()).zip(theirs.lines()) {
            let name = abi(entry).name(u64::from(*number)).unwrap_or("unknown");
            let is_right = match theirs {
                _ if CLOSED.contains(&name) => ours == "EPERM",
                "EPERM" if OPEN_SINCE.contains(&name) => ours != "EPERM",
                "ENOSYS" | "EPERM" if *number > LAST_OF_20_10 => true,
                theirs => ours == theirs,
            };
            if !is_right {
                wrong.push(format!("{entry:?} {name} ({number}): {ours}, docker {theirs}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    both.stop();
}

/// A line a mount: where, of what kind, how.
fn mounts(mountinfo: &str) -> Vec<String> {
    let line = |line: &str| {
        let (mount, of) = line.split_once(" - ").unwrap();
        let fields: Vec<&str> = mount.split(' ').collect();
        let of: Vec<&str> = of.split(' ').collect();
        format!("{} {} {}", fields[4], of[0], fields[5])
    };
    mountinfo.lines().map(line).collect()
}

fn mounts_are_as_in_docker(host: &Host) {
    let both = Both::start(host);
    let (ours, theirs) = both.ask("", "cat /proc/self/mountinfo");
    let mut different = differences(&mounts(&ours), &mounts(&theirs.unwrap()));
    // Which driver makes the root, and which trees of cgroups there are, is a matter of the machine.
    different.retain(|line| !["+ / ", "- / ", "- /sys/fs/cgroup/"].iter().any(|begin| line.starts_with(begin)));
    let explained = [
        "- /etc/hostname ",
        "- /etc/hosts ",
        "- /etc/resolv.conf ",
        "- /proc/acpi tmpfs ro,relatime",
        "+ /proc/acpi tmpfs ro,nosuid,nodev,noexec,relatime",
        "- /sys/firmware tmpfs ro,relatime",
        "+ /sys/firmware tmpfs ro,nosuid,nodev,noexec,relatime",
        "+ /proc/interrupts ",
        "- /sys/fs/cgroup tmpfs rw,nosuid,nodev,noexec,relatime",
        "+ /sys/fs/cgroup tmpfs ro,nosuid,nodev,noexec,relatime",
    ];
    different.retain(|line| !explained.iter().any(|begin| line.starts_with(begin)));
    assert_eq!(different, Vec::<String>::new());
    both.stop();
}

fn devices_are_as_in_docker(host: &Host) {
    let both = Both::start(host);
    let script = "cd /dev; find . -xdev ! -type f | sort | while read f; do \
                  echo \"$f $(stat -c '%A %t:%T %u:%g' $f) $(readlink $f)\"; done; \
                  sort /sys/fs/cgroup/devices/devices.list 2>/dev/null; true";
    let (ours, theirs) = both.ask("", script);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let mut different = differences(&lines(&ours), &lines(&theirs.unwrap()));
    let explained = ["+ ./core lrwxrwxrwx 0:0 0:0 /proc/kcore", "- c 10:200 rwm"];
    different.retain(|line| !explained.contains(&line.as_str()));
    assert_eq!(different, Vec::<String>::new());
    both.stop();
}

/// The paths of what is null, `.HostConfig.CapAdd`.
fn nulls(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Null => vec![path.to_owned()],
        Value::Object(map) => map.iter().flat_map(|(name, value)| nulls(value, &format!("{path}.{name}"))).collect(),
        _ => Vec::new(),
    }
}

/// What is null has a type in docker's documents, and is shown by it in a template.
fn nothing_is_shown_as_in_docker(host: &Host) {
    let both = Both::start(host);
    let create = "create --name web --network none box true";
    both.docker.shell(&format!("docker {create}")).unwrap();
    both.ours.tara(&create.split(' ').collect::<Vec<_>>()).ok();
    let of = |text: String| nulls(&serde_json::from_str::<Value>(&text).unwrap()[0], "");
    let theirs = of(both.docker.shell("docker inspect web").unwrap());
    let mut paths = of(both.ours.tara(&["inspect", "web"]).ok());
    paths.retain(|path| theirs.contains(path));
    assert!(paths.len() > 10, "{paths:?}");
    let template: String = paths.iter().map(|path| format!("{path} {{{{{path}}}}}; ")).collect();
    let ours = both.ours.tara(&["inspect", "-f", &template, "web"]).ok();
    assert_eq!(Some(ours), both.docker.shell(&format!("docker inspect -f '{template}' web")));
    both.ours.tara(&["rm", "web"]).ok();
    both.stop();
}
