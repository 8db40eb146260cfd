//! What a container has changed, and its whole file system as a tar.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use std::fs;
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    added_changed_and_deleted_are_told_apart: [BUSYBOX],
    a_replaced_directory_hides_what_was_in_it: [BUSYBOX],
    export_writes_the_root_without_mounts: [Need::Root, BUSYBOX],
    export_leaves_no_half_file: [BUSYBOX],
}

fn diff_of(engine: &Engine<'_>, script: &str) -> String {
    engine.tara(&["run", "--name", "web", "box", "sh", "-c", script]).ok();
    let changes = engine.tara(&["diff", "web"]).ok();
    engine.tara(&["rm", "web"]).ok();
    changes
}

fn added_changed_and_deleted_are_told_apart(host: &Host) {
    let engine = Engine::with_box(host);
    let changes =
        diff_of(&engine, "echo x > /root/new; echo y >> /etc/passwd; rm /etc/group; touch /tmp/gone; rm /tmp/gone");
    for line in ["A /root/new", "C /root", "C /etc", "C /etc/passwd", "D /etc/group"] {
        assert!(changes.lines().any(|other| other == line), "{line} is not in\n{changes}");
    }
    assert!(!changes.contains("gone"), "{changes}");
    engine.assert_clean();
    assert_eq!(error(&engine.tara(&["diff", "nosuch"])), (1, "error: no such container: `nosuch`"));
}

fn a_replaced_directory_hides_what_was_in_it(host: &Host) {
    let engine = Engine::with_box(host);
    let changes = diff_of(&engine, "rm -r /etc; mkdir /etc; echo x > /etc/own");
    for line in ["C /etc", "A /etc/own", "D /etc/passwd", "D /etc/group"] {
        assert!(changes.lines().any(|other| other == line), "{line} is not in\n{changes}");
    }
}

fn export_writes_the_root_without_mounts(host: &Host) {
    let engine = Engine::with_box(host);
    let list = |name: &str| {
        let tar = host.path("out.tar");
        engine.tara(&["export", "-o", tar.to_str().unwrap(), name]).ok();
        host.run(host.command("/bin/tar").args(["-tf", tar.to_str().unwrap()])).ok()
    };
    let script = "echo x > /root/new; rm /etc/group; echo v > /data/v; touch /ready; while :; do sleep 0.02; done";
    engine.tara(&["run", "-d", "--name", "web", "-v", "data:/data", "box", "sh", "-c", script]).ok();
    testkit::until("the container is ready", || {
        (engine.tara(&["exec", "web", "test", "-e", "/ready"]).code == 0).then_some(())
    });
    let running = list("web");
    engine.tara(&["stop", "-t", "0", "web"]).ok();
    let stopped = list("web");
    for text in [&running, &stopped] {
        let has = |path: &str| text.lines().any(|line| line == path);
        assert!(has("root/new") && has("bin/busybox") && has("data/") && !has("etc/group"), "{text}");
        assert!(!has("data/v") && !text.contains("proc/1") && !has("dev/null"), "mounts are not in it");
    }
    let image = engine.command(&["export", "web"]).output().unwrap().stdout;
    fs::write(host.path("image.tar"), image).unwrap();
    engine.tara(&["import", host.path("image.tar").to_str().unwrap(), "again"]).ok();
    assert_eq!(engine.tara(&["run", "--rm", "again", "cat", "/root/new"]).ok(), "x\n");
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn export_leaves_no_half_file(host: &Host) {
    let engine = Engine::with_box(host);
    let out = host.path("out.tar");
    assert_eq!(engine.tara(&["export", "-o", out.to_str().unwrap(), "nosuch"]).code, 1);
    assert!(!out.exists() && !host.path("out.tar.part").exists());
    assert_eq!(engine.tara(&["export", "-o", "/no/such/file", "nosuch"]).code, 1);
}
