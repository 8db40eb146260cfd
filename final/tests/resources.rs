//! A share of the machine: limits, statistics, pause and update, on this host's cgroups and on v2 in a machine of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, cgroups, error};
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use step05_cgroups::{Hierarchy, Version};
use testkit::{BUSYBOX, Host, Need, until};

const LONG: Need = Need::Time(Duration::from_secs(120));

testkit::suite! {
    an_allocator_dies_with_137_and_the_reason_is_told: [Need::Root, BUSYBOX, Need::Machine],
    a_fork_bomb_stops_at_its_limit_while_the_host_forks_on: [Need::Root, BUSYBOX, Need::Machine],
    half_a_processor_does_half_the_work: [Need::Root, BUSYBOX, Need::Machine, LONG],
    writes_to_a_disk_keep_to_their_rate: [BUSYBOX, Need::MachineOnly],
    the_container_sees_its_own_limits: [Need::Root, BUSYBOX, Need::Machine],
    each_limit_is_in_its_file: [Need::Root, BUSYBOX, Need::Machine],
    limits_change_while_it_runs_and_stay: [Need::Root, BUSYBOX, Need::Machine],
    paused_processes_stand_still: [Need::Root, BUSYBOX, Need::Machine],
    a_paused_container_can_be_stopped_killed_and_removed: [Need::Root, BUSYBOX, Need::Machine],
    statistics_are_dockers: [Need::Root, BUSYBOX, Need::Machine],
    nothing_stays_after_rm_and_after_a_kill: [Need::Root, BUSYBOX, Need::Machine],
    a_failed_start_leaves_no_cgroup: [Need::Root, BUSYBOX, Need::Machine],
    info_says_where_the_controllers_are: [BUSYBOX],
    without_cgroups_on_request: [Need::Root, BUSYBOX],
    wrong_limits_are_refused: [BUSYBOX],
    a_weight_of_disks_is_kept_or_refused_by_name: [Need::Root, BUSYBOX, Need::Machine],
    an_ordinary_user_limits_what_was_delegated: [Need::Root, BUSYBOX, Need::Machine],
    an_ordinary_user_is_told_what_a_limit_needs: [Need::Root, BUSYBOX, Need::Machine],
}

fn inspect(engine: &Engine<'_>, name: &str) -> Value {
    let all: Value = serde_json::from_str(&engine.tara(&["inspect", name]).ok()).unwrap();
    all[0].clone()
}

fn an_allocator_dies_with_137_and_the_reason_is_told(host: &Host) {
    let engine = Engine::with_box(host);
    // tail keeps the one line that never ends.
    let options = ["run", "--name", "eater", "-m", "16m", "--memory-swap", "16m", "box"];
    let output = engine.tara(&[&options[..], &["tail", "/dev/zero"]].concat());
    assert_eq!(output.code, 137, "{}", output.stderr);
    let state = inspect(&engine, "eater")["State"].clone();
    assert_eq!((&state["OOMKilled"], &state["ExitCode"]), (&Value::Bool(true), &Value::from(137)));
    engine.tara(&["run", "--name", "killed", "--init", "box", "sh", "-c", "kill -KILL $$"]);
    assert_eq!(inspect(&engine, "killed")["State"]["OOMKilled"], Value::Bool(false));
    engine.tara(&["rm", "eater", "killed"]).ok();
}

fn a_fork_bomb_stops_at_its_limit_while_the_host_forks_on(host: &Host) {
    let engine = Engine::with_box(host);
    let bomb = "i=0; while [ $i -lt 40 ]; do sleep 30 & i=$((i+1)); done; echo all started";
    let started = Instant::now();
    let output = engine.shell(&["--pids-limit", "20"], bomb);
    assert!(output.stderr.contains("fork") && !output.stdout.contains("all started"), "{output:?}");
    assert!(Command::new("true").status().unwrap().success() && started.elapsed() < Duration::from_secs(30));
}

/// Half a processor: what was used, against the time that went by inside, and how often it had to wait.
fn half_a_processor_does_half_the_work(host: &Host) {
    let engine = Engine::with_box(host);
    // A busy machine would not even give it its half, and then its limit is not seen: it goes first.
    engine.shell(&["--cpus", ".5"], "true").ok();
    for place in common::cgroups(host) {
        for (file, most) in [("cpu.shares", "262144"), ("cpu.weight", "10000")] {
            let file = place.join(file);
            file.exists().then(|| fs::write(file, most).unwrap());
        }
    }
    // Until it has been held back ten times, which takes a second.
    let script = "throttled() { cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null | sed -n 's/nr_throttled //p'; }
                  cat /proc/uptime
                  rounds=0; while [ $(throttled) -lt 10 ] && [ $rounds -lt 1000 ]; do
                      i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; rounds=$((rounds+1))
                  done
                  cat /proc/uptime
                  sed -n 's/usage_usec //p' /sys/fs/cgroup/cpu.stat 2>/dev/null
                  cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null | sed 's/...$//'
                  throttled";
    let share = || {
        let output = engine.shell(&["--cpus", ".5"], script);
        let numbers: Vec<f64> =
            output.stdout.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        let [begin, end, used_us, throttled] = numbers[..] else { panic!("{output:?}") };
        assert!(throttled >= 10.0, "{output:?}");
        used_us / 1e6 / (end - begin)
    };
    // The clock of a machine whose own processor is taken away goes astray: there it is tried again.
    assert!((0..10).any(|_| share() < 0.65), "more than half a processor in each of ten tries");
}

/// 8 MiB, by the clock inside: to start takes its time in a machine without a processor of its own.
fn writes_to_a_disk_keep_to_their_rate(host: &Host) {
    let engine = Engine::with_box(host);
    let script =
        "cat /proc/uptime; dd if=/dev/zero of=/dev/ubda bs=1M count=8 oflag=direct 2>/dev/null; cat /proc/uptime";
    let seconds = |options: &[&str]| {
        let text = engine.shell(&[&["--device", "/dev/ubda"], options].concat(), script).ok();
        let times: Vec<f64> = text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        times[1] - times[0]
    };
    let (free, limited) = (seconds(&[]), seconds(&["--device-write-bps", "/dev/ubda:4mb"]));
    assert!(limited > 1.5 && free < limited / 2.0, "{free} s, with a limit {limited} s");
}

fn the_container_sees_its_own_limits(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; \
                  cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; cat /proc/self/cgroup; \
                  ls -d /sys/fs/cgroup/*/tara* /sys/fs/cgroup/tara* 2>/dev/null; true";
    let inside = engine.shell(&["-m", "32m", "--pids-limit", "77"], script).ok();
    assert!(inside.starts_with("33554432\n77\n"), "{inside}");
    // It is at the root of what it sees.
    assert!(inside.lines().skip(2).all(|line| line.ends_with(":/")), "{inside}");
}

/// A disk of the machine that has a device file: its path and its number.
fn disk() -> Option<(String, String)> {
    let names = fs::read_dir("/sys/block").ok()?.flatten().map(|entry| entry.file_name().into_string().unwrap());
    let mut disks = names.filter_map(|name| {
        let number = fs::read_to_string(format!("/sys/block/{name}/dev")).ok()?;
        let path = format!("/dev/{name}");
        fs::metadata(&path).is_ok().then(|| (path, number.trim().to_owned()))
    });
    disks.next()
}

/// The files and what is in them: on v1, and on v2. Source: Linux, cgroup-v1/ and cgroup-v2.rst.
fn each_limit_is_in_its_file(host: &Host) {
    let engine = Engine::with_box(host);
    let check = |option: &str, value: &str, v1: (&str, &str), v2: (&str, &str)| {
        let script = format!("cat /sys/fs/cgroup/{} || cat /sys/fs/cgroup/{}", v1.0, v2.0);
        let inside = engine.shell(&[option, value], &format!("{{ {script}; }} 2>/dev/null")).ok();
        assert!([v1.1, v2.1].contains(&inside.trim()), "{option} {value}: {inside}");
    };
    let soft = ("memory/memory.soft_limit_in_bytes", "33554432");
    check("--memory-reservation", "32m", soft, ("memory.low", "33554432"));
    check("--cpu-shares", "512", ("cpu/cpu.shares", "512"), ("cpu.weight", "20"));
    let Some((path, number)) = disk() else { return };
    for (option, rate, v1, v2) in [
        ("--device-read-bps", "1mb", "read_bps", "rbps"),
        ("--device-write-bps", "1mb", "write_bps", "wbps"),
        ("--device-read-iops", "1048576", "read_iops", "riops"),
        ("--device-write-iops", "1048576", "write_iops", "wiops"),
    ] {
        let all = ["rbps", "wbps", "riops", "wiops"];
        let all = all.map(|name| format!("{name}={}", if name == v2 { "1048576" } else { "max" })).join(" ");
        let (line, lines) = (format!("{number} 1048576"), format!("{number} {all}"));
        check(
            option,
            &format!("{path}:{rate}"),
            (&format!("blkio/blkio.throttle.{v1}_device"), &line),
            ("io.max", &lines),
        );
    }
}

fn detached(engine: &Engine<'_>, options: &[&str], script: &str) {
    engine.tara(&[&["run", "-d", "--name", "web"], options, &["box", "sh", "-c", script]].concat()).ok();
}

fn limits_change_while_it_runs_and_stay(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["-m", "64m"], "sleep 1000");
    let limit = || {
        let files = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true";
        engine.tara(&["exec", "web", "sh", "-c", files]).ok()
    };
    assert_eq!(limit(), "67108864\n");
    assert_eq!(engine.tara(&["update", "--memory", "128m", "--pids-limit", "50", "web"]).ok(), "web\n");
    assert_eq!(limit(), "134217728\n");
    // The monitor writes the end down, and not the old limits.
    engine.tara(&["stop", "-t", "0", "web"]).ok();
    let config = inspect(&engine, "web")["HostConfig"].clone();
    assert_eq!((&config["Memory"], &config["PidsLimit"]), (&Value::from(128 << 20), &Value::from(50)));
    engine.tara(&["start", "web"]).ok();
    assert_eq!(limit(), "134217728\n");
    assert_eq!(error(&engine.tara(&["update", "--memory", "1m", "web"])), (1, "error: `--memory` is at least 6m"));
    engine.tara(&["rm", "-f", "web"]).ok();
}

const COUNTER: &str = "i=0; while :; do i=$((i+1)); echo $i > /shared/new; mv /shared/new /shared/count; done";

fn counter(host: &Host) -> u64 {
    until("the counter counts", || fs::read_to_string(host.path("shared/count")).ok()?.trim().parse().ok())
}

fn start_counter(engine: &Engine<'_>) {
    let volume = format!("{}:/shared", engine.host.folder("shared").display());
    detached(engine, &["-v", &volume], COUNTER);
    counter(engine.host);
}

fn paused_processes_stand_still(host: &Host) {
    let engine = Engine::with_box(host);
    start_counter(&engine);
    assert_eq!(engine.tara(&["pause", "web"]).ok(), "web\n");
    let before = counter(host);
    assert!(engine.tara(&["ps"]).ok().contains("(Paused)"));
    let state = inspect(&engine, "web")["State"].clone();
    assert_eq!((&state["Status"], &state["Paused"]), (&Value::from("paused"), &Value::Bool(true)));
    let refused = engine.tara(&["exec", "web", "true"]);
    assert_eq!(error(&refused), (1, "error: container `web` is paused"));
    assert_eq!(engine.tara(&["pause", "web"]).code, 1);
    assert_eq!(counter(host), before);
    engine.tara(&["unpause", "web"]).ok();
    until("the counter goes on", || (counter(host) > before).then_some(()));
    assert_eq!(engine.tara(&["unpause", "web"]).code, 1);
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn a_paused_container_can_be_stopped_killed_and_removed(host: &Host) {
    let engine = Engine::with_box(host);
    for end in [&["stop", "-t", "1", "web"][..], &["kill", "web"], &["rm", "-f", "web"]] {
        start_counter(&engine);
        engine.tara(&["pause", "web"]).ok();
        let begin = Instant::now();
        engine.tara(end).ok();
        assert!(begin.elapsed() < Duration::from_secs(4), "{end:?}");
        if end[0] != "rm" {
            engine.tara(&["wait", "web"]).ok();
            engine.tara(&["rm", "web"]).ok();
        }
    }
    engine.assert_clean();
}

fn statistics_are_dockers(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["-m", "64m"], "while :; do :; done");
    let table = engine.tara(&["stats", "--no-stream"]).ok();
    let header = table.lines().next().unwrap().split("  ").map(str::trim).filter(|word| !word.is_empty());
    let expected = ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];
    assert_eq!(header.collect::<Vec<_>>(), expected, "{table}");
    let line: Value =
        serde_json::from_str(&engine.tara(&["stats", "--no-stream", "--format", "json", "web"]).ok()).unwrap();
    assert!(line["MemUsage"].as_str().unwrap().ends_with(" / 64MiB") && line["PIDs"] == "1", "{line}");
    assert!(line["CPUPerc"].as_str().unwrap().trim_end_matches('%').parse::<f64>().unwrap() > 1.0, "{line}");
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn nothing_stays_after_rm_and_after_a_kill(host: &Host) {
    let engine = Engine::with_box(host);
    let containers = || -> usize {
        let folders = cgroups(host).into_iter().flat_map(|parent| fs::read_dir(parent).into_iter().flatten().flatten());
        folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count()
    };
    for options in [&["--rm"][..], &[]] {
        engine.tara(&[&["run", "--name", "short", "-m", "32m"], options, &["box", "true"]].concat()).ok();
        until("the cgroups are gone", || (containers() == 0).then_some(()));
    }
    engine.tara(&["rm", "short"]).ok();
    let mut child = engine
        .command(&["run", "--rm", "--name", "killed", "box", "sleep", "1000"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    until("it runs", || engine.tara(&["ps", "-q"]).stdout.lines().next().map(drop));
    assert!(containers() > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    // The container's own process, which dies with it, may hold the lock a moment longer.
    until("it is found", || (engine.tara(&["system", "check"]).code == 1).then_some(()));
    engine.tara(&["system", "reclaim"]).ok();
    assert_eq!(containers(), 0);
    engine.assert_clean();
}

fn a_failed_start_leaves_no_cgroup(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.run(&["-m", "32m"], &["no-such-program"]).code, 127);
    assert_eq!(engine.run(&["--cpuset-cpus", "4000"], &["true"]).code, 125);
    let left: Vec<_> = cgroups(host).into_iter().flat_map(fs::read_dir).flatten().flatten().collect();
    let left: Vec<_> = left.iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn info_says_where_the_controllers_are(host: &Host) {
    let engine = Engine::new(host);
    let info = engine.tara(&["info"]).ok();
    let found = Hierarchy::find().unwrap();
    assert!(info.contains(&format!("Cgroups: {}\n", found.kind())), "{info}");
    for (name, place) in found.describe() {
        let version = place.map_or_else(|| "none".to_owned(), |(version, _): (Version, _)| version.to_string());
        assert!(info.contains(&format!("{name}={version}")), "{name}: {info}");
    }
}

fn without_cgroups_on_request(host: &Host) {
    let engine = Engine::with_box(host);
    engine.run(&["--cgroups", "disabled"], &["true"]).ok();
    let refused = engine.run(&["--cgroups", "disabled", "-m", "64m"], &["true"]);
    assert_eq!(error(&refused), (125, "error: without a cgroup nothing can be limited"));
}

fn wrong_limits_are_refused(host: &Host) {
    let engine = Engine::with_box(host);
    for (options, said) in [
        (["-m", "1m"], "`--memory` is at least 6m"),
        (["--cpu-period", "1000"], "`--cpu-quota`"),
        (["--memory-swap", "64m"], "`--memory-swap` needs `--memory`"),
        (["--device-write-bps", "/dev/null:1m"], "no block device"),
        (["--cgroup-parent", "../x"], "is no name for a cgroup"),
    ] {
        let mut command = host.command(common::TARA);
        command.arg("--root").arg(engine.root()).arg("--run-root").arg(engine.run_root());
        let output = host.run(command.args(["run", "--rm"]).args(options).args(["box", "true"]));
        assert!(output.code == 125 && output.stderr.contains(said), "{options:?}: {}", output.stderr);
    }
    engine.assert_clean();
}

/// Without a limit nothing is missing; with one, nothing is silently left out.
/// Only a kernel with BFQ knows it.
fn a_weight_of_disks_is_kept_or_refused_by_name(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "cat /sys/fs/cgroup/blkio/blkio.bfq.weight /sys/fs/cgroup/io.bfq.weight /sys/fs/cgroup/io.weight 2>/dev/null; true";
    let output = engine.shell(&["--blkio-weight", "300"], script);
    if output.code == 0 {
        let kept = ["300", "default 300", "default 2930"];
        assert!(output.stdout.lines().any(|line| kept.contains(&line)), "{output:?}");
    } else {
        assert!(output.code == 125 && output.stderr.contains("`--blkio-weight`"), "{output:?}");
    }
    let refused = engine.run(&["--blkio-weight", "9"], &["true"]);
    assert_eq!(refused.code, 125);
}

/// A cgroup that belongs to the user in every tree that matters, as systemd's `Delegate=` makes one, and below it that of the session.
fn delegate(host: &Host) -> Vec<std::path::PathBuf> {
    use std::os::unix::fs::chown;
    let of_user = |path: &std::path::Path| chown(path, Some(1000), Some(1000)).unwrap();
    let found = step05_cgroups::Hierarchy::find().unwrap();
    let wanted = |name: &&str| ["cpu", "memory", "pids"].contains(name);
    let mut made = Vec::new();
    for tree in found.trees() {
        let control = tree.mount_point.join("cgroup.subtree_control");
        let has = fs::read_to_string(tree.mount_point.join("cgroup.controllers")).unwrap_or_default();
        let words: Vec<String> = has.split_whitespace().filter(wanted).map(|name| format!("+{name}")).collect();
        if !words.is_empty() {
            fs::write(&control, words.join(" ")).unwrap();
        } else if !tree.controllers.iter().any(|controller| wanted(&controller.as_str())) {
            continue;
        }
        let place = tree.mount_point.join(host.cgroup_parent().trim_start_matches('/'));
        for folder in [&place, &place.join("session")] {
            fs::create_dir(folder).unwrap();
            of_user(folder);
            ["cgroup.procs", "cgroup.subtree_control", "tasks"]
                .iter()
                .map(|file| folder.join(file))
                .filter(|file| file.exists())
                .for_each(|file| of_user(&file));
        }
        made.push(place);
    }
    made
}

fn an_ordinary_user_limits_what_was_delegated(host: &Host) {
    let places = delegate(host);
    assert!(!places.is_empty());
    let program = host.command_as_user(common::TARA).get_program().to_str().unwrap().to_owned();
    let home = host.folder("home-of-user").display().to_string();
    let enter: String =
        places.iter().map(|place| format!("echo $$ > {}/session/cgroup.procs; ", place.display())).collect();
    let tara = |arguments: &str| {
        let as_user = "exec setpriv --reuid 1000 --regid 1000 --clear-groups";
        let script = format!(
            "set -e; {enter} cd {home}; export HOME={home}; {as_user} {program} --run-root {home}/run {arguments}"
        );
        host.run(host.command("/bin/sh").args(["-c", &script]))
    };
    tara(&format!("import {} box", host.busybox_root("box").display())).ok();
    let script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; \
                  cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true";
    let limits = "--network none -m 32m --memory-swap 32m --pids-limit 20 --cpus .5";
    let output = tara(&format!("run --rm {limits} box sh -c '{script}'"));
    assert_eq!(output.stdout, "33554432\n20\n", "{}", output.stderr);
    assert_eq!(tara(&format!("run --rm {limits} box tail /dev/zero")).code, 137);
    let bomb = "i=0; while [ $i -lt 40 ]; do sleep 30 & i=$((i+1)); done; echo all started";
    let output = tara(&format!("run --rm {limits} box sh -c '{bomb}'"));
    assert!(output.stderr.contains("fork") && !output.stdout.contains("all started"), "{output:?}");
    until("what was thrown away is gone", || {
        let left = places.iter().map(|place| place.join("tara")).filter(|folder| folder.exists());
        left.flat_map(|folder| fs::read_dir(folder).unwrap().flatten())
            .all(|entry| !entry.path().is_dir())
            .then_some(())
    });
    for place in places {
        for folder in [place.join("tara"), place.join("session"), place.clone()] {
            // Whoever empties the trash is in the session's.
            until("it is empty", || (!folder.exists() || fs::remove_dir(&folder).is_ok()).then_some(()));
        }
    }
}

fn an_ordinary_user_is_told_what_a_limit_needs(host: &Host) {
    let tara = |arguments: &[&str]| {
        let mut command = host.command_as_user(common::TARA);
        command.arg("--run-root").arg(host.path("home-of-user/run"));
        host.run(command.args(arguments))
    };
    let root = host.busybox_root("box");
    tara(&["import", root.to_str().unwrap(), "box"]).ok();
    let run = |options: &[&str]| tara(&[&["run", "--rm"], options, &["box", "true"]].concat());
    run(&[]).ok();
    let refused = run(&["-m", "64m"]);
    assert_eq!(refused.code, 125);
    assert!(refused.stderr.contains("`--memory` needs a cgroup of our own"), "{}", refused.stderr);
    assert!(refused.stderr.contains("systemd-run --user"), "{}", refused.stderr);
}
