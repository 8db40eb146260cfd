//! What has happened, in docker's form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use testkit::{BUSYBOX, Host};

testkit::suite! {
    a_life_is_told_in_order: [BUSYBOX],
    a_bare_run_is_told_too: [BUSYBOX],
    events_are_followed: [BUSYBOX],
    filters_choose: [BUSYBOX],
    images_are_told_of: [BUSYBOX],
    the_file_is_bounded: [BUSYBOX],
}

fn actions(engine: &Engine<'_>, options: &[&str]) -> Vec<String> {
    let arguments = [&["events", "--since", "1h", "--until", "0s", "--format", "json"], options].concat();
    let text = engine.tara(&arguments).ok();
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    text.lines().map(|line| parse(line)["Action"].as_str().unwrap().to_owned()).collect()
}

fn a_life_is_told_in_order(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "-d", "--name", "web", "box", "sleep", "1000"]).ok();
    engine.tara(&["exec", "web", "true"]).ok();
    engine.tara(&["rename", "web", "shop"]).ok();
    engine.tara(&["stop", "-t", "0", "shop"]).ok();
    engine.tara(&["rm", "shop"]).ok();
    let of_container = actions(&engine, &["--filter", "type=container"]);
    let names: Vec<&str> = of_container.iter().map(|action| action.split(':').next().unwrap()).collect();
    let expected =
        ["create", "start", "exec_create", "exec_start", "exec_die", "rename", "kill", "die", "stop", "destroy"];
    assert_eq!(names, expected);
    let line = engine.tara(&["events", "--since", "1h", "--until", "0s", "--filter", "event=die"]).ok();
    assert!(line.contains(" container die ") && line.contains("exitCode=137") && line.contains("name=web"), "{line}");
}

fn a_bare_run_is_told_too(host: &Host) {
    let engine = Engine::with_box(host);
    engine.run(&["--name", "web"], &["true"]).ok();
    assert_eq!(actions(&engine, &["--filter", "container=web"]), ["create", "start", "die", "destroy"]);
}

fn events_are_followed(host: &Host) {
    let engine = Engine::with_box(host);
    let mut follower = engine
        .command(&["events", "--since", "1h", "--filter", "type=container"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    engine.run(&[], &["true"]).ok();
    let first: Vec<String> = (0..4).map(|_| lines.next().unwrap().unwrap()).collect();
    assert!(first[3].contains(" container destroy "), "{first:?}");
    engine.run(&[], &["true"]).ok();
    assert!(lines.next().unwrap().unwrap().contains(" container create "));
    follower.kill().unwrap();
    follower.wait().unwrap();
}

fn filters_choose(host: &Host) {
    let engine = Engine::with_box(host);
    engine.run(&["--name", "aa"], &["true"]).ok();
    engine.run(&["--name", "bb"], &["false"]);
    assert_eq!(actions(&engine, &["-f", "container=bb", "-f", "event=die", "-f", "event=start"]), ["start", "die"]);
    assert_eq!(actions(&engine, &["-f", "container=cc"]), Vec::<String>::new());
    assert_eq!(error(&engine.tara(&["events", "-f", "colour=red"])), (1, "error: `--filter colour=red`"));
}

fn the_file_is_bounded(host: &Host) {
    let engine = Engine::with_box(host);
    let file = engine.run_root().join("events.json");
    engine.run(&["--name", "aa"], &["true"]).ok();
    let line = std::fs::read_to_string(&file).unwrap().lines().next().unwrap().to_owned() + "\n";
    std::fs::write(&file, line.repeat(1024 * 1024 / line.len() + 1)).unwrap();
    engine.run(&["--name", "bb"], &["true"]).ok();
    assert!(std::fs::metadata(&file).map_or(0, |meta| meta.len()) < 100_000);
    assert_eq!(actions(&engine, &["-f", "container=bb"]), ["create", "start", "die", "destroy"]);
}

fn images_are_told_of(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["rmi", "box"]).ok();
    assert_eq!(actions(&engine, &["-f", "type=image"]), ["import", "delete"]);
}
