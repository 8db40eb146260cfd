//! A container outlives the command that started it, and everything about it can be asked and changed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::Stdio;
use testkit::{BUSYBOX, Host, Need, until};

const MINUTES: Need = Need::Time(std::time::Duration::from_secs(120));

testkit::suite! {
    a_detached_container_runs_on: [BUSYBOX],
    a_detached_start_that_fails_says_why: [BUSYBOX],
    stop_asks_and_then_kills: [BUSYBOX],
    stop_takes_many_at_once: [BUSYBOX],
    kill_sends_the_signal_that_was_asked_for: [BUSYBOX],
    wait_gives_the_exit_code: [BUSYBOX],
    a_stopped_container_starts_again_with_its_files: [BUSYBOX],
    restart_keeps_what_is_removed_at_its_end: [Need::Root, BUSYBOX],
    restart_keeps_a_run_in_the_foreground: [BUSYBOX],
    update_of_what_is_removed_at_its_end: [Need::Root, BUSYBOX],
    create_starts_nothing: [BUSYBOX],
    rename_changes_the_name_only: [BUSYBOX],
    rename_of_what_is_removed_at_its_end: [BUSYBOX],
    logs_keep_the_streams_apart: [BUSYBOX],
    logs_follow_to_the_end: [BUSYBOX],
    logs_by_number_and_time: [BUSYBOX],
    every_byte_arrives_in_the_log: [BUSYBOX],
    a_terminal_without_anybody_is_logged: [BUSYBOX],
    exec_joins_every_namespace: [BUSYBOX],
    exec_has_the_containers_environment_and_its_own: [BUSYBOX],
    exec_exit_codes_are_dockers: [BUSYBOX],
    exec_leaves_nothing_open: [BUSYBOX],
    refusals_name_the_container: [BUSYBOX],
    a_killed_monitor_takes_its_container_along: [BUSYBOX],
    after_a_reboot_containers_are_found_and_start_again: [BUSYBOX],
    a_stale_pid_gets_no_signal: [BUSYBOX],
    forty_detached_containers_at_once: [BUSYBOX],
    two_hundred_detached_containers_at_rest: [BUSYBOX, MINUTES],
    exec_detached_runs_on: [BUSYBOX],
    stop_takes_the_containers_signal_and_time: [BUSYBOX],
}

/// Starts a detached container named `web` that waits to be told to end.
fn web(engine: &Engine<'_>) -> String {
    let script = "trap 'echo ending; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let id = detached(engine, &["--name", "web"], script);
    until("the program is ready", || engine.tara(&["logs", "web"]).stdout.contains("ready").then_some(()));
    id
}

fn detached(engine: &Engine<'_>, options: &[&str], script: &str) -> String {
    let id = engine.tara(&[&["run", "-d"], options, &["box", "sh", "-c", script]].concat()).ok();
    id.trim().to_owned()
}

fn inspect(engine: &Engine<'_>, name: &str) -> serde_json::Value {
    let mut all: serde_json::Value = serde_json::from_str(&engine.tara(&["inspect", name]).ok()).unwrap();
    all[0].take()
}

fn host_pid(engine: &Engine<'_>, name: &str) -> i32 {
    inspect(engine, name)["State"]["Pid"].as_i64().unwrap().try_into().unwrap()
}

fn a_detached_container_runs_on(host: &Host) {
    let engine = Engine::with_box(host);
    let id = web(&engine);
    assert_eq!(id.len(), 64);
    let line = engine.tara(&["ps"]).ok().lines().nth(1).unwrap().to_owned();
    assert!(line.starts_with(&id[..12]) && line.contains("   Up ") && line.ends_with("   web"), "{line}");
    engine.assert_consistent();
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn a_detached_start_that_fails_says_why(host: &Host) {
    let engine = Engine::with_box(host);
    let output = engine.tara(&["run", "-d", "box", "no-such-program"]);
    assert_eq!((output.code, output.stdout.as_str()), (127, ""));
    assert!(output.stderr.contains("program `no-such-program` was not found"), "{}", output.stderr);
    engine.assert_clean();
}

fn stop_asks_and_then_kills(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine);
    assert_eq!(engine.tara(&["stop", "web"]).ok(), "web\n");
    assert_eq!(inspect(&engine, "web")["State"]["ExitCode"], 3);
    detached(&engine, &["--name", "deaf"], "while :; do sleep 0.01; done");
    engine.tara(&["stop", "-t", "0", "deaf"]).ok();
    assert_eq!(inspect(&engine, "deaf")["State"]["ExitCode"], 137);
    assert_eq!(engine.tara(&["stop", "deaf"]).ok(), "deaf\n");
    engine.assert_consistent();
}

fn stop_takes_many_at_once(host: &Host) {
    let engine = Engine::with_box(host);
    let ids: Vec<String> = (0..5).map(|_| detached(&engine, &[], "while :; do sleep 0.01; done")).collect();
    let begin = std::time::Instant::now();
    let arguments: Vec<&str> = ["stop", "-t", "1"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    engine.tara(&arguments).ok();
    assert!(begin.elapsed().as_secs() < 4, "one after another: {:?}", begin.elapsed());
    assert_eq!(engine.tara(&["ps", "-q"]).ok(), "");
}

fn kill_sends_the_signal_that_was_asked_for(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["--name", "web"], "trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done");
    until("the program is ready", || engine.tara(&["logs", "web"]).stdout.contains("ready").then_some(()));
    assert_eq!(engine.tara(&["kill", "-s", "usr1", "web"]).ok(), "web\n");
    assert_eq!(engine.tara(&["wait", "web"]).ok(), "9\n");
    assert_eq!(error(&engine.tara(&["kill", "web"])), (1, "error: container `web` is not running"));
    assert_eq!(error(&engine.tara(&["kill", "-s", "no", "web"])), (1, "error: `no` is no signal"));
}

fn wait_gives_the_exit_code(host: &Host) {
    let engine = Engine::with_box(host);
    let id = detached(&engine, &[], "exit 5");
    assert_eq!(engine.tara(&["wait", &id]).ok(), "5\n");
    assert_eq!(engine.tara(&["wait", &id]).ok(), "5\n");
    let shared = host.folder("shared");
    let volume = format!("{}:/shared", shared.display());
    let gone = detached(&engine, &["--rm", "-v", &volume], "while [ ! -e /shared/go ]; do sleep 0.01; done; exit 6");
    let waiter = engine.command(&["wait", &gone]).stdout(Stdio::piped()).spawn().unwrap();
    until("the waiter waits", || {
        let waits = fs::read_to_string(format!("/proc/{}/wchan", waiter.id())).unwrap_or_default();
        (waits.contains("lock") || !waits.is_empty()).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    fs::write(shared.join("go"), "").unwrap();
    assert_eq!(String::from_utf8(waiter.wait_with_output().unwrap().stdout).unwrap(), "6\n");
}

fn a_stopped_container_starts_again_with_its_files(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["--name", "count"], "echo x >> /count; wc -l < /count");
    engine.tara(&["wait", "count"]).ok();
    assert_eq!(engine.tara(&["start", "count"]).ok(), "count\n");
    engine.tara(&["wait", "count"]).ok();
    assert_eq!(engine.tara(&["logs", "count"]).ok(), "1\n2\n");
    assert_eq!(engine.tara(&["restart", "-t", "0", "count"]).ok(), "count\n");
    engine.tara(&["wait", "count"]).ok();
    assert_eq!(engine.tara(&["logs", "-n", "1", "count"]).ok(), "3\n");
    engine.tara(&["rm", "count"]).ok();
    engine.assert_clean();
}

/// As in docker: it is thrown away when it ends, but a restart is no end.
fn restart_keeps_what_is_removed_at_its_end(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "echo x >> /count; wc -l < /count; trap 'exit 0' TERM; while :; do sleep 0.01; done";
    let logged = |lines: &str| {
        until(lines, || (engine.tara(&["logs", "web"]).stdout == lines).then_some(()));
    };
    detached(&engine, &["--rm", "--name", "web"], script);
    logged("1\n");
    assert_eq!(engine.tara(&["restart", "web"]).ok(), "web\n");
    logged("1\n2\n");
    engine.tara(&["update", "-m", "64m", "web"]).ok();
    let asks = "{{.State.Status}} {{.HostConfig.AutoRemove}} {{.HostConfig.Memory}}";
    assert_eq!(engine.tara(&["inspect", "-f", asks, "web"]).ok(), "running true 67108864\n");
    assert_eq!(engine.tara(&["restart", "-t", "0", "web"]).ok(), "web\n");
    logged("1\n2\n3\n");
    engine.tara(&["stop", "web"]).ok();
    until("it is gone", || engine.tara(&["ps", "-aq"]).ok().is_empty().then_some(()));
    engine.assert_clean();
}

/// Its supervisor is `tara run` itself, which ends with the first end; after that it has a monitor.
fn restart_keeps_a_run_in_the_foreground(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "echo x >> /count; wc -l < /count; trap 'exit 5' TERM; while :; do sleep 0.01; done";
    let run = ["run", "--rm", "--name", "web", "box", "sh", "-c", script];
    let run = engine.command(&run).stdout(Stdio::piped()).spawn().unwrap();
    until("it runs", || {
        (engine.tara(&["inspect", "-f", "{{.State.Running}}", "web"]).stdout == "true\n").then_some(())
    });
    until("it listens", || engine.tara(&["exec", "web", "test", "-s", "/count"]).code.eq(&0).then_some(()));
    assert_eq!(engine.tara(&["restart", "web"]).ok(), "web\n");
    let output = run.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), &b"1\n"[..]));
    until("it runs again", || (engine.tara(&["logs", "web"]).stdout == "2\n").then_some(()));
    engine.tara(&["stop", "web"]).ok();
    engine.assert_clean();
}

/// What is changed before the first start holds in it.
fn update_of_what_is_removed_at_its_end(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "--rm", "--name", "web", "box", "sleep", "1000"]).ok();
    engine.tara(&["update", "-m", "64m", "web"]).ok();
    engine.tara(&["start", "web"]).ok();
    let asks = |template: &str| engine.tara(&["inspect", "-f", template, "web"]).ok();
    assert_eq!(asks("{{.HostConfig.Memory}} {{.State.Status}}"), "67108864 running\n");
    engine.tara(&["update", "-m", "65m", "web"]).ok();
    assert_eq!(asks("{{.HostConfig.Memory}}"), "68157440\n");
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn create_starts_nothing(host: &Host) {
    let engine = Engine::with_box(host);
    let id = engine.tara(&["create", "--name", "later", "box", "echo", "hi"]).ok();
    assert_eq!(id.trim().len(), 64);
    assert_eq!(engine.tara(&["ps", "-q"]).ok(), "");
    assert!(engine.tara(&["ps", "-a"]).ok().contains("   Created   "));
    assert_eq!(inspect(&engine, "later")["State"]["Status"], "created");
    engine.assert_consistent();
    engine.tara(&["start", "later"]).ok();
    engine.tara(&["wait", "later"]).ok();
    assert_eq!(engine.tara(&["logs", "later"]).ok(), "hi\n");
    engine.tara(&["rm", "later"]).ok();
    engine.assert_clean();
}

fn rename_changes_the_name_only(host: &Host) {
    let engine = Engine::with_box(host);
    let id = web(&engine);
    engine.tara(&["rename", "web", "shop"]).ok();
    assert_eq!(inspect(&engine, "shop")["Id"], id.as_str());
    assert_eq!(inspect(&engine, "shop")["Name"], "/shop");
    assert_eq!(engine.tara(&["inspect", "web"]).code, 1);
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    assert_eq!(engine.tara(&["rename", "shop", "web"]).code, 1);
    engine.tara(&["rm", "-f", "shop", "web"]).ok();
    engine.assert_clean();
}

/// Its record is part of its state, which its supervisor writes too.
fn rename_of_what_is_removed_at_its_end(host: &Host) {
    let engine = Engine::with_box(host);
    let changed = |old: &str, new: &str| {
        engine.tara(&["rename", old, new]).ok();
        assert_eq!(inspect(&engine, new)["Name"], format!("/{new}"));
        assert_eq!(engine.tara(&["inspect", old]).code, 1);
    };
    detached(&engine, &["--rm", "--name", "web"], "sleep 1000");
    changed("web", "shop");
    engine.tara(&["restart", "-t", "0", "shop"]).ok();
    changed("shop", "till");
    engine.tara(&["stop", "-t", "0", "till"]).ok();
    until("it is gone", || engine.tara(&["ps", "-aq"]).ok().is_empty().then_some(()));
    let mut run = engine.command(&["run", "--rm", "--name", "web", "box", "sleep", "1000"]).spawn().unwrap();
    until("it runs", || {
        (engine.tara(&["inspect", "-f", "{{.State.Running}}", "web"]).stdout == "true\n").then_some(())
    });
    changed("web", "shop");
    engine.tara(&["kill", "shop"]).ok();
    assert_eq!(run.wait().unwrap().code(), Some(137));
    engine.assert_clean();
}

fn logs_keep_the_streams_apart(host: &Host) {
    let engine = Engine::with_box(host);
    let id = detached(&engine, &[], "echo out; echo err >&2; printf unfinished");
    engine.tara(&["wait", &id]).ok();
    let output = engine.tara(&["logs", &id]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\nunfinished", "err\n"));
    let file = fs::read_to_string(engine.root().join(format!("containers/{id}/{id}-json.log"))).unwrap();
    let first: serde_json::Value = serde_json::from_str(file.lines().next().unwrap()).unwrap();
    assert_eq!(first.as_object().unwrap().keys().collect::<Vec<_>>(), ["log", "stream", "time"]);
}

fn logs_follow_to_the_end(host: &Host) {
    let engine = Engine::with_box(host);
    let id = detached(&engine, &[], "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done");
    assert_eq!(engine.tara(&["logs", "-f", &id]).ok(), "1\n2\n3\n4\n5\n");
}

fn logs_by_number_and_time(host: &Host) {
    let engine = Engine::with_box(host);
    let id = detached(&engine, &[], "echo 1; echo 2; sleep 0.1; echo 3");
    engine.tara(&["wait", &id]).ok();
    assert_eq!(engine.tara(&["logs", "--tail", "2", &id]).ok(), "2\n3\n");
    assert_eq!(engine.tara(&["logs", "-n", "0", &id]).ok(), "");
    let stamped = engine.tara(&["logs", "-t", &id]).ok();
    let third = stamped.lines().nth(2).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(engine.tara(&["logs", "--since", &third, &id]).ok(), "3\n");
    assert_eq!(engine.tara(&["logs", "--until", &third, &id]).ok(), "1\n2\n");
    assert_eq!(engine.tara(&["logs", "--since", "10m", &id]).ok(), "1\n2\n3\n");
    assert_eq!(engine.tara(&["logs", "--since", "soon", &id]).code, 1);
}

fn every_byte_arrives_in_the_log(host: &Host) {
    let engine = Engine::with_box(host);
    let id = detached(&engine, &[], "seq 1 200000; seq 1 50000 >&2; head -c 100000 /dev/zero | tr '\\0' x");
    assert_eq!(engine.tara(&["wait", &id]).ok(), "0\n");
    let output = engine.tara(&["logs", &id]);
    let numbers = |upto: u32| (1..=upto).map(|number| format!("{number}\n")).collect::<String>();
    assert!(output.stdout == numbers(200_000) + &"x".repeat(100_000), "{} bytes", output.stdout.len());
    assert!(output.stderr == numbers(50_000), "{} bytes", output.stderr.len());
}

fn a_terminal_without_anybody_is_logged(host: &Host) {
    let engine = Engine::with_box(host);
    let id = detached(&engine, &["-t"], "tty; test -t 1 && echo terminal");
    engine.tara(&["wait", &id]).ok();
    assert_eq!(engine.tara(&["logs", &id]).ok(), "/dev/pts/0\r\nterminal\r\n");
}

fn exec_joins_every_namespace(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine);
    let pid = host_pid(&engine, "web");
    let facts = engine.tara(&["exec", "web", "probe", "facts"]).facts();
    for (name, inside) in &facts.namespaces {
        let name = name.trim_end_matches("_for_children");
        let of_container = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(inside, of_container.to_str().unwrap(), "{name}");
    }
    assert!(facts.pid > 1 && facts.pids.contains(&1), "{:?}", facts.pids);
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn exec_has_the_containers_environment_and_its_own(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["--name", "web", "-e", "A=1", "-e", "B=2", "-w", "/tmp"], "sleep 100");
    let facts = engine.tara(&["exec", "-e", "B=3", "web", "probe", "facts"]).facts();
    assert_eq!((facts.environment["A"].as_str(), facts.environment["B"].as_str()), ("1", "3"));
    assert_eq!((facts.cwd.as_str(), facts.uid), ("/tmp", 0));
    let facts = engine.tara(&["exec", "-w", "/etc", "web", "probe", "facts"]).facts();
    assert_eq!(facts.cwd, "/etc");
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn exec_exit_codes_are_dockers(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine);
    assert_eq!(engine.tara(&["exec", "web", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(engine.tara(&["exec", "web", "sh", "-c", "kill -TERM $$"]).code, 143);
    assert_eq!(engine.tara(&["exec", "web", "/etc/passwd"]).code, 126);
    assert_eq!(engine.tara(&["exec", "web", "no-such-program"]).code, 127);
    engine.tara(&["rm", "-f", "web"]).ok();
    assert_eq!(engine.tara(&["exec", "web", "true"]).code, 1);
}

fn exec_leaves_nothing_open(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine);
    let facts = engine.tara(&["exec", "web", "probe", "facts"]).facts();
    assert_eq!(facts.descriptors.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(facts.descriptors[&0], "/dev/null");
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn refusals_name_the_container(host: &Host) {
    let engine = Engine::with_box(host);
    for command in ["start", "stop", "kill", "wait", "logs"] {
        assert_eq!(error(&engine.tara(&[command, "nobody"])), (1, "error: no such container: `nobody`"), "{command}");
    }
    engine.tara(&["create", "--name", "later", "box", "true"]).ok();
    assert_eq!(engine.tara(&["logs", "later"]).ok(), "", "one that was never started has said nothing");
    assert_eq!(error(&engine.tara(&["exec", "later", "true"])).1, "error: container `later` is not running");
    web(&engine);
    assert_eq!(error(&engine.tara(&["rm", "web"])), (1, "error: cannot remove the running container `web`"));
    engine.tara(&["rm", "-f", "web", "later"]).ok();
}

fn monitor_of(host_pid: i32) -> Pid {
    let status = fs::read_to_string(format!("/proc/{host_pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    Pid::from_raw(parent.parse().unwrap())
}

fn a_killed_monitor_takes_its_container_along(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine);
    let pid = host_pid(&engine, "web");
    kill(monitor_of(pid), Signal::SIGKILL).unwrap();
    until("the container is gone", || (!std::path::Path::new(&format!("/proc/{pid}/root/bin")).exists()).then_some(()));
    assert!(engine.tara(&["ps", "-a"]).ok().contains("   Dead   "));
    assert_eq!(engine.tara(&["system", "check"]).code, 1);
    engine.tara(&["system", "reclaim"]).ok();
    assert!(engine.tara(&["ps", "-a"]).ok().contains("Exited (255)"));
    engine.assert_consistent();
    engine.tara(&["start", "web"]).ok();
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

/// After a reboot RUN is empty; here it is removed after everything was killed.
fn after_a_reboot_containers_are_found_and_start_again(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine);
    let pid = host_pid(&engine, "web");
    kill(monitor_of(pid), Signal::SIGKILL).unwrap();
    until("the container is gone", || (!std::path::Path::new(&format!("/proc/{pid}/root/bin")).exists()).then_some(()));
    fs::remove_dir_all(engine.run_root()).unwrap();
    assert_eq!(engine.tara(&["ps", "-q"]).ok(), "");
    assert_eq!(engine.tara(&["start", "web"]).ok(), "web\n");
    assert!(engine.tara(&["ps"]).ok().contains("web"));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn a_stale_pid_gets_no_signal(host: &Host) {
    let engine = Engine::with_box(host);
    let id = web(&engine);
    let start_time = |pid: i32| sys::process::start_time(Pid::from_raw(pid)).unwrap();
    let of_container = start_time(host_pid(&engine, "web"));
    // The kernel counts start times in hundredths of a second: another one is wanted.
    until("a hundredth of a second is over", || {
        (start_time(host.command("/bin/sleep").arg("0").spawn().unwrap().id().cast_signed()) != of_container)
            .then_some(())
    });
    let mut bystander = host.command("/bin/sleep").arg("100").spawn().unwrap();
    let file = engine.run_root().join(format!("containers/{id}/state.json"));
    let text = fs::read_to_string(&file).unwrap();
    let pid = host_pid(&engine, "web");
    let forged = text.replacen(&format!("\"host_pid\":{pid}"), &format!("\"host_pid\":{}", bystander.id()), 1);
    assert_ne!(text, forged);
    fs::write(&file, forged).unwrap();
    engine.tara(&["kill", "web"]).ok();
    assert_eq!(error(&engine.tara(&["exec", "web", "true"])), (1, "error: container `web` is not running"));
    assert_eq!(bystander.try_wait().unwrap(), None);
    fs::write(&file, text).unwrap();
    engine.tara(&["rm", "-f", "web"]).ok();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

fn forty_detached_containers_at_once(host: &Host) {
    let engine = Engine::with_box(host);
    let starting: Vec<_> = (0..40)
        .map(|_| engine.command(&["run", "-d", "box", "sleep", "100"]).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in starting {
        assert!(child.wait().unwrap().success());
    }
    let ids = engine.tara(&["ps", "-q"]).ok();
    assert_eq!(ids.lines().count(), 40);
    let names: std::collections::BTreeSet<String> = engine.entries(engine.root().join("names")).into_iter().collect();
    assert_eq!(names.len(), 40);
    let arguments: Vec<&str> = ["rm", "-f"].into_iter().chain(ids.lines()).collect();
    engine.tara(&arguments).ok();
    engine.assert_clean();
}

/// Must show 4: at rest a monitor costs under 300 KB of proportional memory, a container under 100 KiB of disk.
fn two_hundred_detached_containers_at_rest(host: &Host) {
    let engine = Engine::with_box(host);
    for _ in 0..200 {
        engine.tara(&["run", "-d", "box", "sleep", "1000"]).ok();
    }
    let ids = engine.tara(&["ps", "-q"]).ok();
    assert_eq!(ids.lines().count(), 200);
    let monitors = monitors();
    assert_eq!(monitors.len(), 200);
    // 300 kB is the bar of a release build; a debug build has 402 kB on average here, and this only catches what grows.
    let bound = if cfg!(debug_assertions) { 500 } else { 300 };
    until("the monitors are at rest", || {
        let costs: Vec<u64> = monitors.iter().map(|pid| proportional_memory(*pid)).collect();
        let (most, sum) = (costs.iter().max().copied().unwrap(), costs.iter().sum::<u64>());
        println!("PSS of 200 monitors: {} kB on average, {most} kB at most", sum / 200);
        // What one of them has just touched, on a busy machine, it gives back again later.
        (sum / 200 < bound && most < 2000).then_some(())
    });
    for id in engine.entries(engine.root().join("containers")) {
        assert!(disk(&engine.root().join("containers").join(&id)) < 100 * 1024, "{id}");
    }
    let begin = std::time::Instant::now();
    let arguments: Vec<&str> = ["stop", "-t", "1"].into_iter().chain(ids.lines()).collect();
    engine.tara(&arguments).ok();
    assert!(begin.elapsed().as_secs() < 30, "one after another: {:?}", begin.elapsed());
    assert_eq!(engine.tara(&["ps", "-q"]).ok(), "");
    let arguments: Vec<&str> = ["rm"].into_iter().chain(ids.lines()).collect();
    engine.tara(&arguments).ok();
    engine.assert_clean();
}

fn monitors() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_monitor = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.ends_with("\0monitor\0"))
    };
    pids.filter(is_monitor).collect()
}

/// In kB. Source: proc_pid_smaps_rollup(5).
fn proportional_memory(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What a folder takes on the disk, in bytes.
fn disk(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let own = fs::symlink_metadata(folder).unwrap().blocks() * 512;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    own + entries.map(|entry| disk(&entry.path())).sum::<u64>()
}

fn exec_detached_runs_on(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine);
    let output = engine.tara(&[
        "exec",
        "-d",
        "web",
        "sh",
        "-c",
        "echo unseen; while [ ! -e /go ]; do sleep 0.01; done; touch /gone",
    ]);
    assert_eq!(output.ok(), "");
    assert_eq!(engine.tara(&["exec", "-d", "web", "no-such-program"]).code, 127);
    engine.tara(&["exec", "web", "touch", "/go"]).ok();
    until("it has gone on", || engine.tara(&["exec", "web", "test", "-e", "/gone"]).code.eq(&0).then_some(()));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn stop_takes_the_containers_signal_and_time(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "trap 'exit 9' USR1; trap '' TERM; echo ready; while :; do sleep 0.01; done";
    detached(&engine, &["--name", "web", "--stop-signal", "USR1"], script);
    until("the program is ready", || engine.tara(&["logs", "web"]).stdout.contains("ready").then_some(()));
    engine.tara(&["stop", "web"]).ok();
    assert_eq!(inspect(&engine, "web")["State"]["ExitCode"], 9);
    detached(&engine, &["--name", "deaf", "--stop-timeout", "0"], "trap '' TERM; while :; do sleep 0.01; done");
    engine.tara(&["stop", "deaf"]).ok();
    assert_eq!(inspect(&engine, "deaf")["State"]["ExitCode"], 137);
    engine.tara(&["start", "web"]).ok();
    until("the program is ready", || {
        (engine.tara(&["logs", "web"]).stdout.matches("ready").count() == 2).then_some(())
    });
    engine.tara(&["stop", "-s", "KILL", "-t", "-1", "web"]).ok();
    assert_eq!(inspect(&engine, "web")["State"]["ExitCode"], 137);
}
