//! What a start costs in numbers that every machine has in common: system calls, processes, bytes. Times are for `bench`.
//!
//! When a number grows, something was put on the way of every start. If that is wanted: `INSTA_UPDATE=always cargo test -p tara --test counts`,
//! and the difference is part of the change.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Engine;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use testkit::{BUSYBOX, Host, Need};

const STRACE: Need = Need::Program("strace", "strace");

testkit::suite! {
    a_start_without_a_network_is_one_exec_one_clone: [Need::Root, BUSYBOX, STRACE],
    a_start_on_the_bridge_is_one_exec_one_clone: [Need::Root, BUSYBOX, STRACE],
}

/// Calls whose number is the same on every kernel and with every kind of cgroups.
const EXACT: [&str; 27] = [
    "capset",
    "clone",
    "clone3",
    "execve",
    "fork",
    "fsync",
    "fdatasync",
    "sync",
    "syncfs",
    "mknodat",
    "pidfd_open",
    "pivot_root",
    "prctl",
    "seccomp",
    "sethostname",
    "setns",
    "setsid",
    "signalfd4",
    "socket",
    "socketpair",
    "symlinkat",
    "umount2",
    "unshare",
    "vfork",
    "wait4",
    "waitid",
    "flock",
];

/// At most so many of all calls, and bytes read: what was measured and a tenth, for other kernels and libraries.
struct AtMost {
    /// Until the program runs or tara ends, in all processes but the one that empties the trash.
    calls: usize,
    /// Read from files and sockets in that time.
    bytes: usize,
}

fn a_start_without_a_network_is_one_exec_one_clone(host: &Host) {
    check(host, "none", &["--network", "none"], &AtMost { calls: 850, bytes: 24 * 1024 });
}

fn a_start_on_the_bridge_is_one_exec_one_clone(host: &Host) {
    check(host, "bridge", &[], &AtMost { calls: 1100, bytes: 32 * 1024 });
}

fn check(host: &Host, name: &str, options: &[&str], at_most: &AtMost) {
    let engine = Engine::with_box(host);
    // What only the first container of a machine pays for: bridge, rules, parent cgroup.
    engine.run(options, &["/bin/true"]).ok();
    let trace = trace(&engine, options);
    let start = Start::read(&trace);
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, start.exact()) });
    assert!(start.calls <= at_most.calls, "{} system calls, and {} were enough", start.calls, at_most.calls);
    assert!(start.bytes <= at_most.bytes, "{} bytes read, and {} were enough", start.bytes, at_most.bytes);
    println!("{name}: {} calls, {} bytes read", start.calls, start.bytes);
}

fn trace(engine: &Engine<'_>, options: &[&str]) -> String {
    let file = engine.host.path("trace");
    let run = engine.command(&[&["run", "--rm"], options, &["box", "/bin/true"]].concat());
    let mut strace = engine.host.command("strace");
    strace.args(["--follow-forks", "--output"]).arg(&file).arg(run.get_program()).args(run.get_args());
    engine.host.run(&mut strace).ok();
    fs::read_to_string(file).unwrap()
}

/// What is counted of a trace.
#[derive(Default)]
struct Start {
    /// Programs executed, in order.
    programs: Vec<String>,
    /// Of [`EXACT`].
    exact: BTreeMap<String, usize>,
    calls: usize,
    bytes: usize,
}

impl Start {
    fn read(trace: &str) -> Self {
        let mut start = Self::default();
        let calls = whole_calls(trace);
        // The process that empties the trash comes after all that anybody waits for; it may be at work before its parent hears of it.
        let mut others: BTreeSet<&str> = calls.iter().filter_map(|(_, call)| child_of_clone(call)).collect();
        for (pid, call) in &calls {
            if others.contains(pid) {
                continue;
            }
            start.bytes += bytes_read(call);
            start.calls += 1;
            start.count(call);
            if call.starts_with("execve(") && call.ends_with("= 0") {
                start.programs.push(call.split('"').nth(1).unwrap().to_owned());
                // The program's own calls are not ours.
                others.extend((start.programs.len() > 1).then_some(*pid));
            }
        }
        start
    }

    fn count(&mut self, call: &str) {
        let (name, arguments) = call.split_once('(').unwrap();
        if EXACT.contains(&name) {
            let kind = match name {
                "clone3" if arguments.contains("CLONE_THREAD") => "clone3, a thread",
                "clone3" => "clone3, namespaces",
                "prctl" if arguments.starts_with("PR_CAPBSET_DROP") => return,
                other => other,
            };
            *self.exact.entry(kind.to_owned()).or_default() += 1;
        }
    }

    fn exact(&self) -> String {
        let mut text = String::new();
        for program in &self.programs {
            writeln!(text, "execute {}", program.rsplit('/').next().unwrap()).unwrap();
        }
        for (call, count) in &self.exact {
            writeln!(text, "{call}: {count}").unwrap();
        }
        text
    }
}

/// The calls by process, in the order of their ends: what another process has interrupted in the trace is one call all the same.
fn whole_calls(trace: &str) -> Vec<(&str, String)> {
    let mut begun = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        match (call.split_once(" <unfinished ...>"), call.split_once(" resumed>")) {
            (Some((beginning, _)), _) => drop(begun.insert(pid, beginning)),
            (_, Some((_, end))) => calls.push((pid, format!("{}{end}", begun.remove(pid).unwrap_or_default()))),
            _ if call.starts_with(['+', '-']) => {}
            _ => calls.push((pid, call.to_owned())),
        }
    }
    calls
}

/// Whom a clone that makes no thread has made.
fn child_of_clone(call: &str) -> Option<&str> {
    let made = call.starts_with("clone(") && !call.contains("CLONE_THREAD");
    made.then(|| call.rsplit_once("= ").unwrap().1)
}

/// The result of a read.
fn bytes_read(call: &str) -> usize {
    let reads = ["read(", "pread64(", "recvfrom(", "recvmsg("];
    let result = call.rsplit_once(" = ").and_then(|(_, result)| result.split(' ').next()?.parse().ok());
    if reads.iter().any(|read| call.starts_with(read)) { result.unwrap_or(0) } else { 0 }
}
