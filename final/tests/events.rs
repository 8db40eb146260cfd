//! What has happened, in docker's form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    a_life_is_told_in_order: [BUSYBOX],
    a_bare_run_is_told_too: [BUSYBOX],
    events_are_followed: [BUSYBOX],
    filters_choose: [BUSYBOX],
    images_are_told_of: [BUSYBOX],
    the_file_is_bounded: [BUSYBOX],
    networks_and_volumes_are_told_of_in_dockers_order: [Need::Root, BUSYBOX],
    what_is_done_to_a_container_is_told: [Need::Root, BUSYBOX],
    a_container_that_ran_out_of_memory_is_told_of: [Need::Root, BUSYBOX],
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
    engine.tara(&["import", host.path("box").to_str().unwrap(), "box"]).ok();
    engine.tara(&["tag", "box", "crate"]).ok();
    engine.tara(&["save", "-o", host.path("box.tar").to_str().unwrap(), "crate"]).ok();
    engine.tara(&["rmi", "crate"]).ok();
    engine.tara(&["image", "prune", "-af"]).ok();
    let expected = ["import", "untag", "delete", "import", "tag", "save", "untag", "untag", "delete", "prune"];
    assert_eq!(actions(&engine, &["-f", "type=image"]), expected);
}

/// Type and action of all that has happened.
fn told(engine: &Engine<'_>) -> Vec<String> {
    let text = engine.tara(&["events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}}"]).ok();
    text.lines().map(|line| line.split(':').next().unwrap().to_owned()).filter(|line| line != "image import").collect()
}

/// The order is that of `docker events`.
fn networks_and_volumes_are_told_of_in_dockers_order(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["network", "create", "shop"]).ok();
    engine.tara(&["run", "--rm", "--network", "shop", "-v", "data:/data", "box", "true"]).ok();
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    engine.tara(&["network", "connect", "shop", "web"]).ok();
    engine.tara(&["network", "disconnect", "shop", "web"]).ok();
    engine.tara(&["rm", "web"]).ok();
    engine.tara(&["volume", "rm", "data"]).ok();
    engine.tara(&["network", "rm", "shop"]).ok();
    engine.tara(&["volume", "prune", "-f"]).ok();
    engine.tara(&["network", "prune", "-f"]).ok();
    engine.tara(&["container", "prune", "-f"]).ok();
    let expected = [
        "network create",
        "volume create",
        "container create",
        "network connect",
        "volume mount",
        "container start",
        "container die",
        "network disconnect",
        "volume unmount",
        "container destroy",
        "container create",
        "network connect",
        "network disconnect",
        "container destroy",
        "volume destroy",
        "network destroy",
        "volume prune",
        "network prune",
        "container prune",
    ];
    assert_eq!(told(&engine), expected);
    let mounted = ["events", "--since", "1h", "--until", "0s", "-f", "volume=data", "-f", "event=mount"];
    let line = engine.tara(&mounted).ok();
    assert!(line.contains(" volume mount data (") && line.contains("destination=/data, driver=local"), "{line}");
    assert!(line.contains("read/write=true"), "{line}");
    let line =
        engine.tara(&["events", "--since", "1h", "--until", "0s", "-f", "network=shop", "-f", "event=connect"]).ok();
    assert!(line.lines().count() == 2 && line.contains("name=shop, type=bridge"), "{line}");
}

fn what_is_done_to_a_container_is_told(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "-d", "--network", "none", "--name", "web", "box", "sleep", "1000"]).ok();
    engine.tara(&["cp", "web:/bin/busybox", host.path("out").to_str().unwrap()]).ok();
    engine.tara(&["cp", host.path("out").to_str().unwrap(), "web:/in"]).ok();
    engine.tara(&["export", "-o", host.path("out.tar").to_str().unwrap(), "web"]).ok();
    engine.tara(&["top", "web"]).ok();
    engine.tara(&["update", "--restart", "no", "web"]).ok();
    engine.tara(&["commit", "web", "copy"]).ok();
    engine.tara(&["exec", "-d", "web", "true"]).ok();
    engine.tara(&["restart", "-t", "0", "web"]).ok();
    let all = actions(&engine, &["--filter", "type=container"]);
    let names: Vec<&str> = all.iter().map(|action| action.split(':').next().unwrap()).collect();
    let expected = [
        "create",
        "start",
        "archive-path",
        "extract-to-dir",
        "export",
        "top",
        "update",
        "commit",
        "exec_create",
        "exec_start",
        "kill",
        "die",
        "stop",
        "start",
        "restart",
    ];
    // docker's commit stops the container meanwhile, and says so.
    let names: Vec<&str> = names.into_iter().filter(|name| !["pause", "unpause"].contains(name)).collect();
    assert_eq!(names, expected);
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn a_container_that_ran_out_of_memory_is_told_of(host: &Host) {
    let engine = Engine::with_box(host);
    let limit = ["--name", "eater", "--network", "none", "-m", "16m", "--memory-swap", "16m"];
    assert_eq!(engine.run(&limit, &["tail", "/dev/zero"]).code, 137);
    assert_eq!(actions(&engine, &["-f", "container=eater"]), ["create", "start", "oom", "die", "destroy"]);
}
