//! Restart policies: who is started again, how often, and what ends it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use std::time::Instant;
use testkit::{BUSYBOX, Host, until};

testkit::suite! {
    on_failure_ends_at_its_limit: [BUSYBOX],
    a_good_end_is_no_failure: [BUSYBOX],
    always_goes_on_until_it_is_stopped: [BUSYBOX],
    a_container_that_waits_to_start_again_says_so: [BUSYBOX],
    stop_waits_for_a_start: [BUSYBOX],
    a_killed_container_stays_down: [BUSYBOX],
    files_stay_over_a_restart: [BUSYBOX],
    rm_force_ends_a_restart_loop: [BUSYBOX],
    after_a_reboot_policies_say_who_starts: [BUSYBOX],
    wrong_words_are_refused: [BUSYBOX],
}

fn inspect(engine: &Engine<'_>) -> serde_json::Value {
    let mut all: serde_json::Value = serde_json::from_str(&engine.tara(&["inspect", "web"]).ok()).unwrap();
    all[0].take()
}

fn run(engine: &Engine<'_>, policy: &str, script: &str) {
    engine.tara(&["run", "-d", "--name", "web", "--restart", policy, "box", "sh", "-c", script]).ok();
}

fn restarts(engine: &Engine<'_>) -> u64 {
    inspect(engine)["RestartCount"].as_u64().unwrap()
}

fn on_failure_ends_at_its_limit(host: &Host) {
    let engine = Engine::with_box(host);
    let begin = Instant::now();
    run(&engine, "on-failure:3", "echo again; exit 5");
    until("it gives up", || (inspect(&engine)["State"]["Status"] == "exited").then_some(()));
    // 100, 200 and 400 ms.
    assert!(begin.elapsed().as_millis() >= 700, "{:?}", begin.elapsed());
    let now = inspect(&engine);
    assert_eq!((now["State"]["ExitCode"].as_u64(), now["RestartCount"].as_u64()), (Some(5), Some(3)));
    assert_eq!(now["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 3);
    assert_eq!(engine.tara(&["logs", "web"]).ok(), "again\n".repeat(4));
    engine.assert_consistent();
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

/// Between a pause and the next run there is neither in `RUN`: a container that somebody starts just now.
fn stop_waits_for_a_start(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "always", "trap 'exit 0' TERM; while :; do sleep 0.05; done");
    let id = inspect(&engine)["Id"].as_str().unwrap().to_owned();
    let state = engine.run_root().join("containers").join(id).join("state.json");
    let aside = state.with_extension("aside");
    std::fs::rename(&state, &aside).unwrap();
    let mut stop = engine.command(&["stop", "-t", "5", "web"]).spawn().unwrap();
    let waits = |pid| std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default().contains("nanosleep");
    until("it waits, or has ended", || (waits(stop.id()) || stop.try_wait().unwrap().is_some()).then_some(()));
    std::fs::rename(&aside, &state).unwrap();
    assert!(stop.wait().unwrap().success());
    assert_eq!(inspect(&engine)["State"]["Status"], "exited");
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn a_good_end_is_no_failure(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "on-failure", "exit 0");
    assert_eq!(engine.tara(&["wait", "web"]).ok(), "0\n");
    assert_eq!(restarts(&engine), 0);
}

fn always_goes_on_until_it_is_stopped(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "always", "echo again; sleep 0.05");
    until("it was started again", || (restarts(&engine) >= 2).then_some(()));
    assert_eq!(engine.tara(&["stop", "-t", "1", "web"]).ok(), "web\n");
    assert_eq!(inspect(&engine)["State"]["Status"], "exited");
    engine.assert_consistent();
    engine.tara(&["start", "web"]).ok();
    assert_eq!(restarts(&engine), 0);
    until("it is started again", || (restarts(&engine) >= 1).then_some(()));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn a_container_that_waits_to_start_again_says_so(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "always", "exit 7");
    until("it waits", || engine.tara(&["ps"]).ok().contains("   Restarting (7) ").then_some(()));
    until("inspect says so", || (inspect(&engine)["State"]["Restarting"] == true).then_some(()));
    until("the pause is long", || (restarts(&engine) >= 4).then_some(()));
    let begin = Instant::now();
    engine.tara(&["stop", "web"]).ok();
    assert!(begin.elapsed().as_millis() < 1000, "it woke late: {:?}", begin.elapsed());
    let now = inspect(&engine);
    assert_eq!((now["State"]["Status"].as_str(), now["State"]["ExitCode"].as_u64()), (Some("exited"), Some(7)));
    engine.assert_consistent();
}

fn a_killed_container_stays_down(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "always", "sleep 1000");
    engine.tara(&["kill", "web"]).ok();
    assert_eq!(engine.tara(&["wait", "web"]).ok(), "137\n");
    assert_eq!((restarts(&engine), inspect(&engine)["State"]["Status"].as_str()), (0, Some("exited")));
}

fn files_stay_over_a_restart(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "on-failure", "echo x >> /count; [ $(wc -l < /count) -ge 3 ]");
    until("it succeeds", || (inspect(&engine)["State"]["Status"] == "exited").then_some(()));
    assert_eq!(restarts(&engine), 2);
}

fn rm_force_ends_a_restart_loop(host: &Host) {
    let engine = Engine::with_box(host);
    for script in ["exit 1", "sleep 1000"] {
        run(&engine, "always", script);
        engine.tara(&["rm", "-f", "web"]).ok();
        engine.assert_clean();
    }
}

fn after_a_reboot_policies_say_who_starts(host: &Host) {
    let engine = Engine::with_box(host);
    for (name, policy) in [("aa", "always"), ("bb", "unless-stopped"), ("cc", "unless-stopped"), ("dd", "no")] {
        engine.tara(&["run", "-d", "--name", name, "--restart", policy, "box", "sleep", "1000"]).ok();
    }
    engine.tara(&["stop", "-t", "0", "aa", "bb", "dd"]).ok();
    // `c` runs when the machine goes down: nothing of RUN is there afterwards, and no process.
    let pid = engine.tara(&["inspect", "cc"]).ok();
    let pid: serde_json::Value = serde_json::from_str(&pid).unwrap();
    let of = |field: &str, text: &str| {
        text.lines().find_map(|line| line.strip_prefix(field)?.trim().parse::<i32>().ok()).unwrap()
    };
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid[0]["State"]["Pid"])).unwrap();
    let monitor = nix::unistd::Pid::from_raw(of("PPid:", &status));
    nix::sys::signal::kill(monitor, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("the container is dead", || {
        (!std::path::Path::new(&format!("/proc/{}/exe", pid[0]["State"]["Pid"])).exists()).then_some(())
    });
    std::fs::remove_dir_all(engine.run_root()).unwrap();
    let mut started: Vec<String> = engine.tara(&["system", "start-all"]).ok().lines().map(str::to_owned).collect();
    started.sort();
    assert_eq!(started, ["aa", "cc"]);
    assert_eq!(engine.tara(&["ps", "-q"]).ok().lines().count(), 2);
    engine.tara(&["rm", "-f", "aa", "bb", "cc", "dd"]).ok();
    engine.assert_clean();
}

fn wrong_words_are_refused(host: &Host) {
    let engine = Engine::with_box(host);
    let refused = engine.tara(&["run", "--restart", "sometimes", "box", "true"]);
    assert_eq!(error(&refused), (125, "error: `sometimes` is no restart policy"));
    let refused = engine.tara(&["run", "--rm", "--restart", "always", "box", "true"]);
    assert_eq!(error(&refused), (125, "error: `--restart` and `--rm` do not go together"));
    engine.assert_clean();
}
