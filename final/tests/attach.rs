//! Attached to a container: several at once, slow ones, dead ones; detaching and coming back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use testkit::{BUSYBOX, Host, until};

testkit::suite! {
    attached_to_output_and_exit_code: [BUSYBOX],
    input_reaches_the_program: [BUSYBOX],
    the_end_of_an_attached_input_is_not_the_programs: [BUSYBOX],
    one_without_input_only_sees: [BUSYBOX],
    several_see_the_same: [BUSYBOX],
    one_who_does_not_read_stalls_nobody: [BUSYBOX],
    a_killed_client_leaves_the_container_running: [BUSYBOX],
    a_foreground_run_outlives_its_command: [BUSYBOX],
    a_foreground_run_misses_nothing: [BUSYBOX],
    start_attached_gives_output_and_code: [BUSYBOX],
    start_interactive_passes_input: [BUSYBOX],
    only_some_streams: [BUSYBOX],
    signals_are_passed_on: [BUSYBOX],
    refusals_say_why: [BUSYBOX],
    the_id_goes_into_a_file: [BUSYBOX],
    a_long_state_directory_is_no_trouble: [BUSYBOX],
}

fn detached(engine: &Engine<'_>, options: &[&str], script: &str) {
    engine.tara(&[&["run", "-d", "--name", "web"], options, &["box", "sh", "-c", script]].concat()).ok();
}

fn attach(engine: &Engine<'_>, options: &[&str]) -> Child {
    let mut command = engine.command(&[&["attach"], options, &["web"]].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The monitor knows of `count` who are attached: it says so by the events.
fn wait_for_attached(engine: &Engine<'_>, count: usize) {
    until("they are attached", || {
        let events = engine.tara(&["events", "--since", "1h", "--until", "0s", "--filter", "event=attach"]).ok();
        (events.lines().count() >= count).then_some(())
    });
}

const UNTIL_TOLD: &str = "while [ ! -e /go ]; do sleep 0.01; done;";

fn go(engine: &Engine<'_>) {
    engine.tara(&["exec", "web", "touch", "/go"]).ok();
}

fn attached_to_output_and_exit_code(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &[], &format!("{UNTIL_TOLD} echo out; echo err >&2; exit 7"));
    let client = attach(&engine, &[]);
    wait_for_attached(&engine, 1);
    go(&engine);
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn input_reaches_the_program(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["-i"], "read a; read b; echo $b$a");
    let mut client = attach(&engine, &[]);
    client.stdin.as_mut().unwrap().write_all(b"one\ntwo\n").unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"twoone\n"[..]));
    let bytes = vec![b'x'; 3_000_000];
    let mut run = engine.command(&["run", "-i", "box", "sh", "-c", "wc -c"]);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    run.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert_eq!(run.wait_with_output().unwrap().stdout, b"3000000\n");
}

/// docker's `run -di`: whoever attaches may go again.
fn the_end_of_an_attached_input_is_not_the_programs(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["-i"], "read a; read b; echo $a$b");
    let mut first = attach(&engine, &[]);
    first.stdin.take().unwrap().write_all(b"one\n").unwrap();
    until("the line is read", || {
        engine.tara(&["exec", "web", "sh", "-c", "cat /proc/1/io | grep -q 'rchar: [1-9]'"]).code.eq(&0).then_some(())
    });
    let mut second = attach(&engine, &[]);
    wait_for_attached(&engine, 2);
    second.stdin.as_mut().unwrap().write_all(b"two\n").unwrap();
    assert_eq!(second.wait_with_output().unwrap().stdout, b"onetwo\n");
    assert_eq!(first.wait_with_output().unwrap().stdout, b"onetwo\n");
}

fn one_without_input_only_sees(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["-i"], "read a; echo $a");
    let mut sees = attach(&engine, &["--no-stdin"]);
    sees.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
    wait_for_attached(&engine, 1);
    let mut types = attach(&engine, &[]);
    wait_for_attached(&engine, 2);
    types.stdin.as_mut().unwrap().write_all(b"two\n").unwrap();
    assert_eq!(types.wait_with_output().unwrap().stdout, b"two\n");
    assert_eq!(sees.wait_with_output().unwrap().stdout, b"two\n");
    engine.tara(&["rm", "web"]).ok();
}

fn several_see_the_same(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &[], &format!("{UNTIL_TOLD} seq 1 10000"));
    let clients: Vec<Child> = (0..4).map(|_| attach(&engine, &[])).collect();
    wait_for_attached(&engine, 4);
    go(&engine);
    let numbers: String = (1..=10_000).map(|number| format!("{number}\n")).collect();
    for client in clients {
        assert_eq!(client.wait_with_output().unwrap().stdout, numbers.as_bytes());
    }
}

/// 30 MB past a client that never reads and one that does.
fn one_who_does_not_read_stalls_nobody(host: &Host) {
    let engine = Engine::with_box(host);
    let limit = ["--log-opt", "max-size=1m"];
    detached(&engine, &limit, &format!("{UNTIL_TOLD} yes 012345678 | head -n 3000000; echo end"));
    let mut deaf = attach(&engine, &[]);
    let mut listener = attach(&engine, &[]);
    wait_for_attached(&engine, 2);
    let mut output = listener.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        output.read_to_end(&mut all).map(|_| all).unwrap()
    });
    go(&engine);
    assert_eq!(engine.tara(&["wait", "web"]).ok(), "0\n");
    assert_eq!(listener.wait().unwrap().code(), Some(0));
    assert!(reader.join().unwrap().ends_with(b"\nend\n"));
    assert_eq!(engine.tara(&["logs", "-n", "1", "web"]).ok(), "end\n");
    deaf.kill().unwrap();
    deaf.wait().unwrap();
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn a_killed_client_leaves_the_container_running(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["-i"], &format!("{UNTIL_TOLD} echo done"));
    let mut client = attach(&engine, &[]);
    wait_for_attached(&engine, 1);
    client.kill().unwrap();
    client.wait().unwrap();
    go(&engine);
    assert_eq!(engine.tara(&["wait", "web"]).ok(), "0\n");
    assert_eq!(engine.tara(&["logs", "web"]).ok(), "done\n");
}

fn a_foreground_run_outlives_its_command(host: &Host) {
    let engine = Engine::with_box(host);
    let script = format!("echo before; {UNTIL_TOLD} echo after");
    let mut run = engine.command(&["run", "--name", "web", "box", "sh", "-c", &script]);
    let mut run = run.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut before = [0; 7];
    run.stdout.as_mut().unwrap().read_exact(&mut before).unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    go(&engine);
    assert_eq!(engine.tara(&["wait", "web"]).ok(), "0\n");
    assert_eq!(engine.tara(&["logs", "web"]).ok(), "before\nafter\n");
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn a_foreground_run_misses_nothing(host: &Host) {
    let engine = Engine::with_box(host);
    let output = engine.tara(&["run", "--name", "web", "box", "sh", "-c", "seq 1 200000; echo err >&2; exit 3"]);
    let numbers: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(output.code == 3 && output.stdout == numbers, "{} bytes, {}", output.stdout.len(), output.stderr);
    assert_eq!(output.stderr, "err\n");
    assert!(engine.tara(&["logs", "web"]).ok() == numbers);
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn start_attached_gives_output_and_code(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "--name", "web", "box", "sh", "-c", "echo hello; exit 4"]).ok();
    let output = engine.tara(&["start", "-a", "web"]);
    assert_eq!((output.code, output.stdout.as_str()), (4, "hello\n"), "{}", output.stderr);
    let refused = engine.tara(&["start", "-a", "web", "web"]);
    assert_eq!(error(&refused).1, "error: only one container can be started and attached to");
}

fn start_interactive_passes_input(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "-i", "--name", "web", "box", "cat"]).ok();
    let mut start = engine.command(&["start", "-ai", "web"]);
    let mut start = start.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    start.stdin.take().unwrap().write_all(b"through\n").unwrap();
    let output = start.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"through\n"[..]));
}

fn only_some_streams(host: &Host) {
    let engine = Engine::with_box(host);
    let output = engine.tara(&["run", "--rm", "-a", "stderr", "box", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (0, "", "err\n"));
    assert_eq!(error(&engine.tara(&["run", "-a", "x", "box", "true"])), (125, "error: `--attach x`"));
    engine.assert_clean();
}

fn signals_are_passed_on(host: &Host) {
    let engine = Engine::with_box(host);
    for (option, expected) in [("--sig-proxy", 9), ("--sig-proxy=false", 143)] {
        detached(&engine, &[], "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done");
        until("the program is ready", || engine.tara(&["logs", "web"]).stdout.contains("ready").then_some(()));
        let before = engine.tara(&["events", "--since", "1h", "--until", "0s", "--filter", "event=attach"]).ok();
        let mut client = attach(&engine, &[option]);
        wait_for_attached(&engine, before.lines().count() + 1);
        let pid = nix::unistd::Pid::from_raw(client.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(client.wait().unwrap().code(), Some(expected), "{option}");
        engine.tara(&["rm", "-f", "web"]).ok();
    }
    engine.assert_clean();
}

fn refusals_say_why(host: &Host) {
    let engine = Engine::with_box(host);
    let mut run = engine.command(&["run", "--rm", "--name", "web", "box", "sleep", "1000"]);
    let mut run = run.stdin(Stdio::null()).spawn().unwrap();
    until("it runs", || engine.tara(&["ps"]).ok().contains("web").then_some(()));
    let refused = engine.tara(&["attach", "web"]);
    assert_eq!(error(&refused), (1, "error: container `web` cannot be attached to"));
    engine.tara(&["rm", "-f", "web"]).ok();
    run.wait().unwrap();
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    assert_eq!(error(&engine.tara(&["attach", "web"])), (1, "error: container `web` is not running"));
    let refused = engine.tara(&["attach", "--detach-keys", "ctrl-P", "web"]);
    assert_eq!(error(&refused), (125, "error: `ctrl-P` is no sequence of keys"));
}

fn the_id_goes_into_a_file(host: &Host) {
    let engine = Engine::with_box(host);
    let file = host.path("cid");
    let path = file.to_str().unwrap();
    for command in [&["run", "--rm"][..], &["run", "-d"], &["create"]] {
        engine.tara(&[command, &["--cidfile", path, "box", "true"]].concat()).ok();
        assert_eq!(std::fs::read_to_string(&file).unwrap().len(), 64, "{command:?}");
        assert_ne!(engine.tara(&[command, &["--cidfile", path, "box", "true"]].concat()).code, 0);
        std::fs::remove_file(&file).unwrap();
    }
}

/// A socket's address has 108 bytes.
fn a_long_state_directory_is_no_trouble(host: &Host) {
    let engine = Engine::with_box(host);
    let long = host.folder(&"x".repeat(120));
    let tara = |arguments: &[&str]| {
        let mut command = host.command(common::TARA);
        command.arg("--root").arg(engine.root()).arg("--run-root").arg(&long).args(arguments);
        host.run(&mut command)
    };
    let parent = host.cgroup_parent();
    let run = ["run", "--cgroup-parent", &parent, "--name", "web", "box", "echo", "hi"];
    assert_eq!(tara(&run).ok(), "hi\n");
    tara(&["rm", "web"]).ok();
    tara(&["network", "prune", "-f"]).ok();
}
