//! The processes of a container, as the host sees them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use testkit::{BUSYBOX, Host};

testkit::suite! {
    top_shows_exactly_the_containers_processes: [BUSYBOX],
    top_takes_the_words_of_ps: [BUSYBOX],
}

fn up(engine: &Engine<'_>) {
    engine.tara(&["run", "-d", "--name", "web", "box", "sh", "-c", "sleep 1000 & sleep 1001 & wait"]).ok();
    testkit::until("three processes", || (engine.tara(&["top", "web"]).ok().lines().count() == 4).then_some(()));
}

fn top_shows_exactly_the_containers_processes(host: &Host) {
    let engine = Engine::with_box(host);
    up(&engine);
    let table = engine.tara(&["top", "web"]).ok();
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    let first = engine.tara(&["inspect", "-f", "{{.State.Pid}}", "web"]).ok();
    let pids: Vec<&str> = table.lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(pids[0], first.trim(), "the host's number, not 1");
    assert!(table.contains("sleep 1000") && table.contains("sleep 1001"), "{table}");
    let mut exec = engine.command(&["exec", "web", "sleep", "1002"]).spawn().unwrap();
    testkit::until("exec shows", || engine.tara(&["top", "web"]).ok().contains("sleep 1002").then_some(()));
    engine.tara(&["rm", "-f", "web"]).ok();
    exec.wait().unwrap();
    assert_eq!(error(&engine.tara(&["top", "web"])), (1, "error: no such container: `web`"));
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    assert_eq!(error(&engine.tara(&["top", "web"])), (1, "error: container `web` is not running"));
}

fn top_takes_the_words_of_ps(host: &Host) {
    let engine = Engine::with_box(host);
    up(&engine);
    let columns = engine.tara(&["top", "web", "-o", "pid,comm,args"]).ok();
    assert!(columns.starts_with("PID ") && columns.lines().count() == 4, "{columns}");
    assert!(engine.tara(&["top", "web", "aux"]).ok().starts_with("USER "));
    assert_eq!(error(&engine.tara(&["top", "web", "-o", "pid,colour"])), (1, "error: unknown column `colour`"));
    engine.tara(&["rm", "-f", "web"]).ok();
}
