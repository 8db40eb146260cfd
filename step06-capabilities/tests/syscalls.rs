//! The table of system calls: what docker's default profile answers to each, by its number and through every entry.
//!
//! Each call has arguments that the kernel itself refuses, so nothing happens where a filter lets it pass.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::wait::{WaitStatus, waitpid};
use std::fs;
use std::path::Path;
use step06_capabilities::{Capabilities, Filter, Profile};
use sys::arch::{ABIS, Abi};
use testkit::probe::{Call, Entry};
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    the_filter_alone_answers_as_dockers: [Need::Root],
    the_container_answers_as_dockers: [Need::Root, BUSYBOX],
    unconfined_answers_as_the_kernel: [Need::Root, BUSYBOX],
    other_actions_do_what_they_say: [Need::Root, BUSYBOX],
}

const STEP: &str = env!("CARGO_BIN_EXE_step06-capabilities");
/// No address of this process, and no descriptor.
const BAD: u64 = 1;
const NONE: u64 = u32::MAX as u64;

/// What the filter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// Let it pass: the answer is the kernel's own.
    Yes,
    /// EPERM.
    No,
    /// ENOSYS: it does not exist.
    NotThere,
}
use Says::{No, NotThere, Yes};

#[rustfmt::skip]
const TABLE: &[(&str, [u64; 5], Says)] = &[
    // Mounts, roots, namespaces.
    ("mount", [BAD, BAD, BAD, 0, 0], No), ("umount2", [BAD, 0, 0, 0, 0], No), ("pivot_root", [BAD, BAD, 0, 0, 0], No),
    ("mount_setattr", [NONE, BAD, NONE, 0, 0], No), ("move_mount", [NONE, BAD, NONE, BAD, NONE], No),
    ("open_tree", [NONE, BAD, NONE, 0, 0], No), ("fsopen", [BAD, 0, 0, 0, 0], No), ("fsconfig", [NONE, NONE, 0, 0, 0], No),
    ("fsmount", [NONE, 0, 0, 0, 0], No), ("fspick", [NONE, BAD, 0, 0, 0], No), ("setns", [NONE, 0, 0, 0, 0], No),
    ("unshare", [0x1000_0000, 0, 0, 0, 0], No), ("unshare", [0x0002_0000, 0, 0, 0, 0], No), ("unshare", [0, 0, 0, 0, 0], No),
    ("clone", [0x1000_0011, 0, 0, 0, 0], No), ("clone", [0x0002_0011, 0, 0, 0, 0], No), ("clone", [0x2000_0011, 0, 0, 0, 0], No),
    ("clone", [0x4000_0011, 0, 0, 0, 0], No), ("clone3", [BAD, NONE, 0, 0, 0], NotThere), ("clone", [0x11, 0, 0, 0, 0], Yes),
    ("sethostname", [BAD, 5, 0, 0, 0], No), ("setdomainname", [BAD, 5, 0, 0, 0], No),
    // The kernel itself: modules, another kernel, its log, its memory of keys.
    ("init_module", [BAD, 8, BAD, 0, 0], No), ("finit_module", [NONE, BAD, 0, 0, 0], No), ("delete_module", [BAD, 0, 0, 0, 0], No),
    ("kexec_load", [0, 0, 0, 0x7777, 0], No), ("kexec_file_load", [NONE, NONE, 0, 0, 0x7777], No),
    ("reboot", [BAD, BAD, 0, 0, 0], No), ("syslog", [99, 0, 0, 0, 0], No), ("add_key", [BAD, 0, 0, 0, 0], No),
    ("request_key", [BAD, 0, 0, 0, 0], No), ("keyctl", [9999, 0, 0, 0, 0], No), ("bpf", [9999, BAD, 8, 0, 0], No),
    ("perf_event_open", [BAD, 0, 0, NONE, 0], No), ("userfaultfd", [NONE, 0, 0, 0, 0], No),
    ("io_uring_setup", [1, BAD, 0, 0, 0], No), ("io_uring_enter", [NONE, 0, 0, 0, 0], No), ("io_uring_register", [NONE, 0, 0, 0, 0], No),
    ("lookup_dcookie", [0, BAD, 0, 0, 0], No), ("fanotify_init", [NONE, 0, 0, 0, 0], No), ("open_by_handle_at", [NONE, BAD, 0, 0, 0], No),
    // The machine: clocks, disks, accounts, ports.
    ("settimeofday", [BAD, BAD, 0, 0, 0], No), ("clock_settime", [NONE, BAD, 0, 0, 0], No), ("swapon", [BAD, 0, 0, 0, 0], No),
    ("swapoff", [BAD, 0, 0, 0, 0], No), ("quotactl", [NONE, BAD, 0, BAD, 0], No), ("acct", [BAD, 0, 0, 0, 0], No),
    ("iopl", [9, 0, 0, 0, 0], No), ("ioperm", [NONE, NONE, 1, 0, 0], No),
    // Other processes, memory on other nodes.
    ("kcmp", [NONE, NONE, 99, 0, 0], No), ("pidfd_getfd", [NONE, 0, 0, 0, 0], No), ("process_madvise", [NONE, 0, 0, 0, 0], No),
    ("mbind", [BAD, 0, 99, 0, 0], No), ("set_mempolicy", [99, 0, 0, 0, 0], No), ("get_mempolicy", [BAD, 0, 0, 0, 99], No),
    ("migrate_pages", [NONE, 0, BAD, BAD, 0], No), ("move_pages", [NONE, 1, BAD, BAD, 0], No),
    // Leftovers.
    ("ustat", [0, BAD, 0, 0, 0], No), ("sysfs", [99, 0, 0, 0, 0], No), ("personality", [4, 0, 0, 0, 0], No),
    ("socket", [40, 1, 0, 0, 0], No), ("socket", [38, 5, 0, 0, 0], No),
    // Newer than the profile.
    ("open_tree_attr", [NONE, BAD, NONE, 0, 0], NotThere), ("file_setattr", [NONE, BAD, 0, 0, 0], NotThere),
    // What programs live on.
    ("getpid", [0; 5], Yes), ("read", [NONE, 0, 0, 0, 0], Yes), ("openat", [NONE, BAD, 0, 0, 0], Yes),
    ("socket", [1, 1, 0, 0, 0], Yes), ("socket", [2, 1, 0, 0, 0], Yes), ("socket", [99, 1, 0, 0, 0], Yes),
    ("personality", [NONE, 0, 0, 0, 0], Yes), ("ptrace", [9999, 0, 0, 0, 0], Yes), ("process_vm_readv", [NONE, 0, 0, 0, 0], Yes),
    ("chroot", [BAD, 0, 0, 0, 0], Yes), ("mknodat", [NONE, BAD, 0, 0, 0], Yes), ("seccomp", [99, 0, 0, 0, 0], Yes),
    ("prctl", [9999, 0, 0, 0, 0], Yes), ("capget", [BAD, 0, 0, 0, 0], Yes), ("adjtimex", [BAD, 0, 0, 0, 0], Yes),
    ("setgroups", [NONE, 0, 0, 0, 0], Yes), ("name_to_handle_at", [NONE, BAD, 0, 0, 0], Yes), ("sched_yield", [0; 5], Yes),
    ("landlock_create_ruleset", [0, 0, 1, 0, 0], Yes), ("statmount", [BAD, 0, 0, 0, 0], Yes), ("memfd_create", [BAD, 0, 0, 0, 0], Yes),
];

fn entries() -> Vec<(Entry, &'static Abi)> {
    let entry = |abi: &Abi| match abi.name {
        "SCMP_ARCH_X32" => Some(Entry::X32),
        "SCMP_ARCH_X86" => Some(Entry::I386),
        _ if abi.name == ABIS[0].name => Some(Entry::Native),
        _ => None,
    };
    ABIS.iter().filter_map(|abi| Some((entry(abi)?, abi))).collect()
}

/// Every line of the table through every entry that has the call.
fn calls() -> Vec<(Call, &'static str, Says)> {
    let mut calls = Vec::new();
    for (entry, abi) in entries() {
        for (name, arguments, says) in TABLE {
            let Some(number) = abi.number(name) else { continue };
            let call = Call { entry, number: number - abi.first, arguments: *arguments };
            // x32 is closed as a whole.
            calls.push((call, *name, if entry == Entry::X32 { NotThere } else { *says }));
        }
    }
    calls
}

/// The answers of a child that has loaded `filter`, and keeps all its capabilities.
fn answers(host: &Host, filter: Option<&Filter>) -> Vec<String> {
    let file = host.path("answers");
    let child = sys::clone::fork(|| {
        filter.map_or(Ok(()), Filter::load).unwrap();
        let answers: Vec<String> = calls().iter().map(|(call, ..)| call.ask()).collect();
        fs::write(&file, answers.join("\n")).unwrap();
        0
    });
    assert!(matches!(waitpid(child.unwrap(), None), Ok(WaitStatus::Exited(_, 0))));
    fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect()
}

fn the_filter_alone_answers_as_dockers(host: &Host) {
    assert!(TABLE.len() >= 60);
    let filter = Filter::compile(&Profile::standard().unwrap(), Capabilities::docker()).unwrap();
    let (without, with) = (answers(host, None), answers(host, Some(&filter)));
    let mut wrong = Vec::new();
    for (((call, name, says), kernel), answer) in calls().iter().zip(&without).zip(&with) {
        // A process with every capability: an EPERM here is the filter's.
        let expected = match says {
            Yes => kernel.as_str(),
            No => "EPERM",
            NotThere => "ENOSYS",
        };
        // `lookup_dcookie` and its like are gone from this kernel; everything else has to prove that the filter did it.
        let proves = *says != No || kernel != "EPERM";
        if answer != expected || !proves {
            wrong.push(format!("{name} ({call}): {answer}, expected {expected}; without the filter {kernel}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn in_container(host: &Host, options: &[&str]) -> Vec<String> {
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    let words: Vec<String> = calls().iter().map(|(call, ..)| call.to_string()).collect();
    let output = host.run(host.command(STEP).arg("run").args(options).arg(&root).args(["probe", "calls"]).args(words));
    output.ok().lines().map(str::to_owned).collect()
}

fn the_container_answers_as_dockers(host: &Host) {
    for options in [&[][..], &["--keep-new-privs"], &["-u", "65534"]] {
        for ((call, name, says), answer) in calls().iter().zip(in_container(host, options)) {
            match says {
                No => assert_eq!(answer, "EPERM", "{name} ({call})"),
                NotThere => assert_eq!(answer, "ENOSYS", "{name} ({call})"),
                // chroot and the like may need a capability that the user does not have.
                Yes => assert!(answer != "ENOSYS" && !answer.starts_with("SIG"), "{name} ({call}): {answer}"),
            }
        }
    }
}

fn unconfined_answers_as_the_kernel(host: &Host) {
    let kernel = answers(host, None);
    let unconfined = in_container(host, &["--privileged"]);
    for (((call, name, _), kernel), answer) in calls().iter().zip(kernel).zip(unconfined) {
        assert_eq!(answer, kernel, "{name} ({call})");
    }
}

fn other_actions_do_what_they_say(host: &Host) {
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    let native = |name: &str| {
        let number = ABIS[0].number(name).unwrap();
        Call { entry: Entry::Native, number, arguments: [0; 5] }.to_string()
    };
    let entry =
        |name: &str, action: &str| format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_{action}","errnoRet":95}}"#);
    let entries =
        [entry("getsid", "ERRNO"), entry("getpgid", "KILL_PROCESS"), entry("getppid", "TRAP"), entry("getuid", "LOG")];
    let profile = host.path("profile.json");
    let text = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#, entries.join(","));
    fs::write(&profile, text).unwrap();
    let words = ["getsid", "getpgid", "getppid", "getuid", "getgid"].map(native);
    let output = run_with(host, &profile, &root, &words);
    assert_eq!(output, "EOPNOTSUPP\nSIGSYS\nSIGSYS\ndone\ndone\n");
}

fn run_with(host: &Host, profile: &Path, root: &Path, words: &[String]) -> String {
    let mut command = host.command(STEP);
    command.args(["run", "--seccomp"]).arg(profile).arg(root).args(["probe", "calls"]).args(words);
    host.run(&mut command).ok()
}
