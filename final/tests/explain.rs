//! `tara run --explain`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Engine;
use serde_json::Value;
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    every_call_of_the_container_has_its_reason_and_chapter: [Need::Root, BUSYBOX],
    the_program_and_its_exit_code_are_as_without: [Need::Root, BUSYBOX],
    a_failed_start_is_explained_as_well: [Need::Root, BUSYBOX],
    the_page_needs_no_other_file: [Need::Root, BUSYBOX],
    container_run_is_explained_as_well: [Need::Root, BUSYBOX],
}

/// The calls, as JSON has them.
fn calls(engine: &Engine<'_>, options: &[&str], program: &[&str]) -> Vec<Value> {
    let file = engine.host.path("explained.json");
    let explain = ["--explain=json", "--explain-file", file.to_str().unwrap()];
    engine.run(&[&explain, options].concat(), program);
    let explained: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    explained["calls"].as_array().unwrap().clone()
}

fn every_call_of_the_container_has_its_reason_and_chapter(host: &Host) {
    let engine = Engine::with_box(host);
    let calls = calls(&engine, &["--network", "none"], &["/bin/true"]);
    let why = |by: &str, name: &str| {
        let call = calls.iter().find(|call| call["by"] == by && call["name"] == name);
        let call = call.unwrap_or_else(|| panic!("no {name} by {by}"));
        (call["why"]["doing"].as_str().unwrap().to_owned(), call["why"]["step"].as_u64())
    };
    assert_eq!(why("child", "pivot_root").1, Some(3));
    assert_eq!(why("child", "sethostname").1, Some(2));
    assert_eq!(why("child", "seccomp"), ("load the seccomp filter".to_owned(), Some(6)));
    assert_eq!(why("child", "execve").1, Some(1));
    assert_eq!(why("thread", "unshare").1, None);
    assert!(why("host", "fsopen").0.contains("overlay"));
    // The last call of all may have come to no word any more.
    let of_child = |call: &&Value| call["by"] == "child";
    let without: Vec<_> = calls.iter().filter(of_child).filter(|call| call["why"].is_null()).collect();
    assert!(without.len() < 10, "{without:?}");
    engine.assert_clean();
}

fn the_program_and_its_exit_code_are_as_without(host: &Host) {
    let engine = Engine::with_box(host);
    let output =
        engine.shell(&["--explain", "--network", "none", "--env", "NAME=value"], "echo $NAME; env >&2; exit 7");
    assert_eq!((output.code, output.stdout.as_str()), (7, "value\n"));
    let (of_program, explanation) = output.stderr.split_once("tara (| its thread)").unwrap();
    assert!(!of_program.contains("TARA_"), "{of_program}");
    assert!(explanation.contains("move_mount") && explanation.contains("step 6"), "{explanation}");
}

fn a_failed_start_is_explained_as_well(host: &Host) {
    let engine = Engine::with_box(host);
    let output = engine.run(&["--explain", "--network", "none"], &["/not/there"]);
    assert_eq!(output.code, 127);
    assert!(output.stderr.contains("was not found") && output.stderr.contains("ENOENT"), "{}", output.stderr);
    engine.assert_clean();
}

fn the_page_needs_no_other_file(host: &Host) {
    let engine = Engine::with_box(host);
    let file = host.path("start.html");
    engine.run(&["--explain=html", "--explain-file", file.to_str().unwrap(), "--network", "none"], &["/bin/true"]).ok();
    let page = std::fs::read_to_string(file).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("pivot_root") && page.contains("<svg"));
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("<link"));
}

fn container_run_is_explained_as_well(host: &Host) {
    let engine = Engine::with_box(host);
    let parent = host.cgroup_parent();
    let words =
        ["container", "run", "--cgroup-parent", &parent, "--rm", "--explain", "--network", "none", "box", "true"];
    let output = engine.tara(&words);
    assert!(output.stderr.contains("pivot_root"), "{output:?}");
    engine.assert_clean();
}
