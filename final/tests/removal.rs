//! Removed once, however many ask for it at the same moment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use std::process::{Command, Output, Stdio};
use testkit::{BUSYBOX, Host, until};

testkit::suite! {
    many_at_once_remove_one_that_runs: [BUSYBOX],
    many_at_once_remove_one_that_ends: [BUSYBOX],
    one_of_many_removes_one_at_rest: [BUSYBOX],
    a_start_and_a_removal_at_once_agree: [BUSYBOX],
    one_that_waits_learns_the_code_of_a_foreground_run: [BUSYBOX],
}

const ROUNDS: usize = 25;

/// Begins all of them before it waits for the first.
fn at_once(engine: &Engine<'_>, commands: &[&[&str]]) -> Vec<Output> {
    let begin = |arguments: &&[&str]| {
        let mut command: Command = engine.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<_> = commands.iter().map(begin).collect();
    all.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

/// What it asked for has happened, or somebody else was first.
fn assert_sensible(arguments: &[&str], output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let allowed: &[&str] = match arguments[0] {
        "ps" => &[],
        "inspect" => &["error: no such object: `web`"],
        "kill" | "exec" => &["error: no such container: `web`", "error: container `web` is not running"],
        _ => &["error: no such container: `web`"],
    };
    let first = stderr.lines().next().unwrap_or_default();
    assert!(output.status.success() || allowed.contains(&first), "{arguments:?}: {stderr}");
}

const AT_THE_END: [&[&str]; 8] = [
    &["rm", "-f", "web"],
    &["inspect", "web"],
    &["stop", "-t", "0", "web"],
    &["rm", "-fv", "web"],
    &["wait", "web"],
    &["ps", "-a"],
    &["kill", "web"],
    &["update", "--restart", "no", "web"],
];

fn many_at_once_remove_one_that_runs(host: &Host) {
    let engine = Engine::with_box(host);
    for round in 0..ROUNDS {
        let options: &[&str] = if round % 2 == 0 { &["--rm"] } else { &[] };
        engine.tara(&[&["run", "-d", "--name", "web"], options, &["box", "sleep", "1000"]].concat()).ok();
        for (arguments, output) in AT_THE_END.iter().zip(at_once(&engine, &AT_THE_END)) {
            assert_sensible(arguments, &output);
        }
        assert_eq!(engine.tara(&["ps", "-aq"]).ok(), "", "round {round}");
    }
    engine.assert_clean();
    let destroyed =
        ["events", "--since", "1h", "--until", "0s", "--filter", "event=destroy", "--filter", "type=container"];
    assert_eq!(engine.tara(&destroyed).ok().lines().count(), ROUNDS);
}

/// Its program ends by itself while it is removed.
fn many_at_once_remove_one_that_ends(host: &Host) {
    let engine = Engine::with_box(host);
    for round in 0..ROUNDS {
        let options: &[&str] = if round % 2 == 0 { &["--rm"] } else { &[] };
        engine.tara(&[&["run", "-d", "--name", "web"], options, &["box", "true"]].concat()).ok();
        let commands: [&[&str]; 3] = [&["rm", "-f", "web"], &["wait", "web"], &["stop", "web"]];
        for (arguments, output) in commands.iter().zip(at_once(&engine, &commands)) {
            assert_sensible(arguments, &output);
        }
        assert_eq!(engine.tara(&["ps", "-aq"]).ok(), "", "round {round}");
    }
    engine.assert_clean();
}

fn one_of_many_removes_one_at_rest(host: &Host) {
    let engine = Engine::with_box(host);
    for _ in 0..ROUNDS {
        engine.tara(&["create", "--name", "web", "box", "true"]).ok();
        let outputs = at_once(&engine, &[["rm", "web"].as_slice(); 4]);
        assert_eq!(outputs.iter().filter(|output| output.status.success()).count(), 1, "{outputs:?}");
        outputs.iter().for_each(|output| assert_sensible(&["rm"], output));
    }
    engine.assert_clean();
}

fn a_start_and_a_removal_at_once_agree(host: &Host) {
    let engine = Engine::with_box(host);
    for round in 0..ROUNDS {
        engine.tara(&["create", "--name", "web", "box", "sleep", "1000"]).ok();
        let outputs = at_once(&engine, &[&["start", "web"], &["rm", "web"]]);
        let (started, removed) = (&outputs[0], &outputs[1]);
        assert!(started.status.success() || removed.status.success(), "{outputs:?}");
        let stderr = String::from_utf8_lossy(&started.stderr);
        assert!(started.status.success() || stderr.starts_with("error: no such container: `"), "{stderr}");
        let stderr = String::from_utf8_lossy(&removed.stderr);
        let refused = "error: cannot remove the running container `web`";
        assert!(removed.status.success() || stderr.starts_with(refused), "{stderr}");
        let there = engine.tara(&["ps", "-q"]).ok().lines().count();
        assert_eq!(there, usize::from(!removed.status.success()), "round {round}: {outputs:?}");
        engine.tara(&["rm", "-f", "web"]);
    }
    engine.assert_clean();
}

/// Nobody but the command itself sees such a program end.
fn one_that_waits_learns_the_code_of_a_foreground_run(host: &Host) {
    let engine = Engine::with_box(host);
    let folder = host.folder("shared");
    let volume = format!("{}:/shared", folder.display());
    let script = "while [ ! -e /shared/go ]; do sleep 0.01; done; exit 7";
    let mut run = engine.command(&["run", "--rm", "--name", "web", "-v", &volume, "box", "sh", "-c", script]);
    let mut run = run.spawn().unwrap();
    until("it runs", || engine.tara(&["ps"]).ok().contains("web").then_some(()));
    let wait = engine.command(&["wait", "web"]).stdout(Stdio::piped()).spawn().unwrap();
    until("somebody waits", || {
        let live = engine.run_root().join("containers");
        let id = engine.entries(live.clone()).pop()?;
        live.join(id).join("asked-for").exists().then_some(())
    });
    std::fs::write(folder.join("go"), "").unwrap();
    assert_eq!(wait.wait_with_output().unwrap().stdout, b"7\n");
    assert_eq!(run.wait().unwrap().code(), Some(7));
    assert_eq!(error(&engine.tara(&["wait", "web"])), (1, "error: no such container: `web`"));
    engine.assert_clean();
}
