//! Health checks: what they run, what their results come to, where they are shown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use testkit::{BUSYBOX, Host, until};

testkit::suite! {
    a_container_becomes_healthy_unhealthy_and_healthy_again: [BUSYBOX],
    a_check_that_takes_too_long_has_failed: [BUSYBOX],
    failures_in_the_start_period_do_not_count: [BUSYBOX],
    a_health_check_needs_a_command: [BUSYBOX],
    checks_leave_nothing_behind: [BUSYBOX],
    the_images_check_is_run: [BUSYBOX],
}

fn health(engine: &Engine<'_>) -> serde_json::Value {
    let mut all: serde_json::Value = serde_json::from_str(&engine.tara(&["inspect", "web"]).ok()).unwrap();
    all[0]["State"]["Health"].take()
}

fn run(engine: &Engine<'_>, command: &str, options: &[&str]) {
    let start = ["run", "-d", "--name", "web", "--health-cmd", command, "--health-interval", "50ms"];
    engine.tara(&[&start[..], options, &["box", "sleep", "1000"]].concat()).ok();
}

fn wait_for(engine: &Engine<'_>, status: &str) {
    until(status, || (health(engine)["Status"] == status).then_some(()));
}

fn a_container_becomes_healthy_unhealthy_and_healthy_again(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "echo looked; test ! -e /ill", &["--health-retries", "2"]);
    wait_for(&engine, "healthy");
    assert!(engine.tara(&["ps"]).ok().contains(" (healthy)   "));
    assert_eq!(health(&engine)["Log"][0]["Output"], "looked\n");
    engine.tara(&["exec", "web", "touch", "/ill"]).ok();
    wait_for(&engine, "unhealthy");
    assert!(health(&engine)["FailingStreak"].as_u64().unwrap() >= 2);
    assert!(engine.tara(&["ps"]).ok().contains(" (unhealthy)   "));
    engine.tara(&["exec", "web", "rm", "/ill"]).ok();
    wait_for(&engine, "healthy");
    until("five results stay", || (health(&engine)["Log"].as_array().unwrap().len() == 5).then_some(()));
    let events = engine.tara(&["events", "--since", "1h", "--until", "0s", "--filter", "event=health_status"]).ok();
    let said: Vec<&str> = events.lines().filter_map(|line| line.split(' ').nth(3)).collect();
    assert_eq!(said, ["healthy", "unhealthy", "healthy"]);
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn a_check_that_takes_too_long_has_failed(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "sleep 1000", &["--health-timeout", "100ms", "--health-retries", "1"]);
    wait_for(&engine, "unhealthy");
    let result = health(&engine)["Log"][0].take();
    assert_eq!(result["ExitCode"], -1);
    assert_eq!(result["Output"], "Health check exceeded timeout (100ms)");
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn failures_in_the_start_period_do_not_count(host: &Host) {
    let engine = Engine::with_box(host);
    let options = ["--health-start-period", "1h", "--health-start-interval", "20ms", "--health-retries", "1"];
    run(&engine, "false", &options);
    until("some checks are over", || health(&engine)["Log"].as_array().is_some_and(|log| log.len() > 2).then_some(()));
    let now = health(&engine);
    assert_eq!((now["Status"].as_str(), now["FailingStreak"].as_u64()), (Some("starting"), Some(0)));
    assert!(engine.tara(&["ps"]).ok().contains(" (health: starting)   "));
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn a_health_check_needs_a_command(host: &Host) {
    let engine = Engine::with_box(host);
    let refused = engine.tara(&["run", "--health-interval", "1s", "box", "true"]);
    assert_eq!(error(&refused), (125, "error: a health check needs a command"));
    let refused = engine.tara(&["run", "--no-healthcheck", "--health-cmd", "true", "box", "true"]);
    assert_eq!(error(&refused), (125, "error: `--no-healthcheck` and `--health-cmd` do not go together"));
}

/// The container ends while a check runs.
fn checks_leave_nothing_behind(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, "touch /looked; sleep 1000", &[]);
    until("a check runs", || engine.tara(&["exec", "web", "test", "-e", "/looked"]).code.eq(&0).then_some(()));
    engine.tara(&["stop", "-t", "0", "web"]).ok();
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

/// `HEALTHCHECK` of a Dockerfile.
fn the_images_check_is_run(host: &Host) {
    let engine = Engine::with_box(host);
    let context = host.folder("context");
    let lines = "FROM box\nHEALTHCHECK --interval=50ms --timeout=5s --retries=2 CMD test ! -e /ill\n";
    std::fs::write(context.join("Dockerfile"), lines).unwrap();
    engine.tara(&["build", "-t", "checked", context.to_str().unwrap()]).ok();
    engine.tara(&["create", "--name", "web", "checked", "sleep", "1000"]).ok();
    assert_eq!(health(&engine)["Status"], "starting");
    engine.tara(&["start", "web"]).ok();
    wait_for(&engine, "healthy");
    let check = engine.tara(&["inspect", "-f", "{{json .Config.Healthcheck}}", "web"]).ok();
    let check: serde_json::Value = serde_json::from_str(&check).unwrap();
    assert_eq!(
        (&check["Test"][1], &check["Interval"], &check["Retries"]),
        (&"test ! -e /ill".into(), &50_000_000.into(), &2.into())
    );
    engine.tara(&["exec", "web", "touch", "/ill"]).ok();
    wait_for(&engine, "unhealthy");
    engine.tara(&["rm", "-f", "web"]).ok();
    // The command line goes before the image; and can leave its check out.
    engine
        .tara(&[
            "run",
            "-d",
            "--name",
            "web",
            "--health-cmd",
            "true",
            "--health-interval",
            "50ms",
            "checked",
            "sleep",
            "1000",
        ])
        .ok();
    assert_eq!(engine.tara(&["inspect", "-f", "{{.Config.Healthcheck.Test}}", "web"]).ok(), "[CMD-SHELL true]\n");
    wait_for(&engine, "healthy");
    engine.tara(&["stop", "-t", "0", "web"]).ok();
    assert_eq!(engine.tara(&["inspect", "-f", "{{.State.Health.Status}}", "web"]).ok(), "unhealthy\n");
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.tara(&["run", "-d", "--name", "web", "--no-healthcheck", "checked", "sleep", "1000"]).ok();
    assert_eq!(health(&engine), serde_json::Value::Null);
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}
