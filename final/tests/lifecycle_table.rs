//! docker's lifecycle table: every command in every state gives its result or its refusal.
//!
//! The table is data. Who brings a command gives it a row; who brings a state gives every row a cell.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{BUSYBOX, Host, Need, until};

testkit::suite! {
    created: [BUSYBOX],
    running: [Need::Root, BUSYBOX],
    paused: [Need::Root, BUSYBOX],
    restarting: [BUSYBOX],
    exited: [BUSYBOX],
    dead: [BUSYBOX],
    removing: [BUSYBOX],
    groups_have_the_same_commands: [BUSYBOX],
    completions_and_manual_pages_name_every_command: [],
}

/// What a command gives.
#[derive(Debug, Clone, Copy)]
enum Gives {
    /// It succeeds, and standard output begins so.
    Says(&'static str),
    /// It succeeds, and the container is in this state then; `gone` for none.
    Becomes(&'static str),
    /// It is refused: exit code, first line after `error: `.
    Refused(i32, &'static str),
    /// It waits for what comes: tests of its own show it.
    Elsewhere,
}

use Gives::{Becomes, Elsewhere, Refused, Says};

const NOT_RUNNING: Gives = Refused(1, "container `web` is not running");
const RESTARTING: Gives = Refused(1, "container `web` is restarting");
const PAUSED: Gives = Refused(1, "container `web` is paused");
const NOT_PAUSED: Gives = Refused(1, "container `web` is not paused");
const STARTING: Gives = Refused(1, "container `web` is just starting");
const TAKEN: Gives = Refused(1, "the container name `web` is already in use");
const STATES: [&str; 6] = ["created", "running", "paused", "restarting", "exited", "dead"];

fn cannot_remove(state: &'static str) -> Gives {
    Refused(1, Box::leak(format!("cannot remove the {state} container `web`").into_boxed_str()))
}

/// The command, and what it gives in each of `STATES`.
fn table() -> Vec<(&'static str, [Gives; 6])> {
    let becomes = |state: &'static str| [Becomes(state); 6];
    let says = |begin: &'static str| [Says(begin); 6];
    let stopped = [
        Becomes("created"),
        Becomes("exited"),
        Becomes("exited"),
        Becomes("exited"),
        Becomes("exited"),
        Becomes("dead"),
    ];
    let removed = [
        Becomes("gone"),
        cannot_remove("running"),
        cannot_remove("paused"),
        cannot_remove("restarting"),
        Becomes("gone"),
        Becomes("gone"),
    ];
    let exec = [NOT_RUNNING, Becomes("running"), PAUSED, RESTARTING, NOT_RUNNING, NOT_RUNNING];
    let read = [Says(""), Says(""), Says(""), STARTING, Says(""), Says("")];
    vec![
        (
            "start web",
            [Becomes("running"), Becomes("running"), PAUSED, Says("web"), Becomes("running"), Becomes("running")],
        ),
        ("stop web", stopped),
        ("stop -t 0 web", stopped),
        (
            "restart -t 0 web",
            [
                Becomes("running"),
                Becomes("running"),
                Becomes("running"),
                Says("web"),
                Becomes("running"),
                Becomes("running"),
            ],
        ),
        ("kill web", [NOT_RUNNING, Says("web"), Says("web"), Says("web"), NOT_RUNNING, NOT_RUNNING]),
        (
            "kill -s WINCH web",
            [NOT_RUNNING, Becomes("running"), Becomes("running"), Says("web"), NOT_RUNNING, NOT_RUNNING],
        ),
        (
            "pause web",
            [
                NOT_RUNNING,
                Becomes("paused"),
                Refused(1, "container `web` is already paused"),
                RESTARTING,
                NOT_RUNNING,
                NOT_RUNNING,
            ],
        ),
        ("unpause web", [NOT_PAUSED, NOT_PAUSED, Becomes("running"), NOT_PAUSED, NOT_PAUSED, NOT_PAUSED]),
        ("rm web", removed),
        ("rm -v web", removed),
        ("rm -f web", becomes("gone")),
        ("exec web true", exec),
        ("exec web sh -c exit", exec),
        ("top web", [NOT_RUNNING, Says("UID"), Says("UID"), RESTARTING, NOT_RUNNING, NOT_RUNNING]),
        ("logs web", [Says(""), Says("ready"), Says("ready"), Says(""), Says("ready"), Says("ready")]),
        ("attach web", [NOT_RUNNING, Elsewhere, PAUSED, RESTARTING, NOT_RUNNING, NOT_RUNNING]),
        ("wait web", [Says("0"), Elsewhere, Elsewhere, Elsewhere, Says("137"), Says("255")]),
        ("rename web web", [TAKEN; 6]),
        ("rename web new", becomes("gone")),
        ("inspect -f {{.Name}} web", says("/web")),
        ("port web", says("")),
        ("update --memory 64m web", says("web")),
        ("update --restart on-failure:2 web", says("web")),
        ("stats --no-stream web", says("CONTAINER ID")),
        ("events --since 1m --until 0s --filter container=web", says("20")),
        ("network disconnect bridge web", says("")),
        ("cp web:/etc/passwd -", read),
        ("diff web", says("")),
        ("export web", read),
        ("commit web image", says("sha256:")),
        ("ps -a --format {{.Names}}", says("web")),
        ("ps --format {{.State}}", [Says(""), Says("running"), Says("paused"), Says("restarting"), Says(""), Says("")]),
        ("create --name web box true", [Refused(1, "cannot create the container"); 6]),
        ("container ls -aq --filter name=web", says("")),
    ]
}

fn up(engine: &Engine<'_>) {
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    engine.tara(&["run", "-d", "--name", "web", "box", "sh", "-c", script]).ok();
    until("the program is ready", || engine.tara(&["logs", "web"]).stdout.contains("ready").then_some(()));
}

fn state(engine: &Engine<'_>) -> String {
    let output = engine.tara(&["inspect", "--type", "container", "-f", "{{.State.Status}}", "web"]);
    if output.code == 0 { output.stdout.trim().to_owned() } else { "gone".to_owned() }
}

fn column(host: &Host, state_before: &str, prepare: impl Fn(&Engine<'_>)) {
    let engine = Engine::with_box(host);
    let index = STATES.iter().position(|state| *state == state_before).unwrap();
    // One that waits to be started again may be just running when the command comes.
    let attempts = if state_before == "restarting" { 5 } else { 1 };
    for (command, cells) in table() {
        let attempt = |_| {
            if state(&engine) != state_before {
                engine.tara(&["rm", "-f", "web"]);
                prepare(&engine);
            }
            let found = check(&engine, command, cells[index]);
            // A signal takes effect after the command has ended.
            if command.starts_with("kill") || found.is_err() {
                engine.tara(&["rm", "-f", "web"]);
            }
            engine.tara(&["rm", "-f", "new"]);
            found
        };
        let found: Vec<Result<(), String>> = (0..attempts).map(attempt).take_while(Result::is_err).collect();
        assert!(found.len() < attempts, "{command}: {found:?}");
    }
    engine.tara(&["rm", "-f", "web"]);
    engine.assert_clean();
}

fn check(engine: &Engine<'_>, command: &str, gives: Gives) -> Result<(), String> {
    if matches!(gives, Elsewhere) {
        return Ok(());
    }
    let output = engine.tara(&command.split(' ').collect::<Vec<_>>());
    let fits = match gives {
        Refused(code, why) => {
            let line = error(&output).1.strip_prefix("error: ").unwrap_or_default();
            let said = line.strip_prefix(why);
            // Who has a name that is taken, is said by an id.
            output.code == code && said.is_some_and(|more| more.is_empty() || more.starts_with(" by container `"))
        }
        Says(begin) => output.code == 0 && output.stdout.starts_with(begin),
        Becomes(expected) => output.code == 0 && state(engine) == expected,
        Elsewhere => true,
    };
    if fits { Ok(()) } else { Err(format!("{gives:?} was expected: {output:?}, and it is {}", state(engine))) }
}

fn created(host: &Host) {
    column(host, "created", |engine| {
        engine.tara(&["create", "--name", "web", "box", "sh", "-c", "while :; do sleep 0.01; done"]).ok();
    });
}

fn running(host: &Host) {
    column(host, "running", up);
}

fn paused(host: &Host) {
    column(host, "paused", |engine| {
        up(engine);
        engine.tara(&["pause", "web"]).ok();
    });
}

/// It waits longer each time: long enough for a command after a few times.
fn restarting(host: &Host) {
    column(host, "restarting", |engine| {
        engine.tara(&["run", "-d", "--restart", "always", "--name", "web", "box", "false"]).ok();
        until("it waits for long", || {
            let facts = engine.tara(&["inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "web"]).ok();
            let (state, count) = facts.trim().split_once(' ').unwrap();
            (state == "restarting" && count.parse::<u32>().unwrap() > 3).then_some(())
        });
    });
}

fn exited(host: &Host) {
    column(host, "exited", |engine| {
        up(engine);
        engine.tara(&["kill", "web"]).ok();
        engine.tara(&["wait", "web"]).ok();
    });
}

/// Its monitor was killed, and it with its monitor.
fn dead(host: &Host) {
    column(host, "dead", |engine| {
        up(engine);
        let pid = engine.tara(&["inspect", "-f", "{{.State.Pid}}", "web"]).ok();
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
        kill(Pid::from_raw(parent.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
        until("it is dead", || (state(engine) == "dead").then_some(()));
    });
}

/// A container that is being removed has given up its name first: nobody finds it any more.
fn removing(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    let name = engine.root().join("names/web");
    let id = std::fs::read_link(&name).unwrap();
    std::fs::remove_file(name).unwrap();
    for command in ["start", "stop", "kill", "rm", "wait", "logs", "top", "diff", "export", "restart"] {
        let output = engine.tara(&[command, "web"]);
        assert_eq!(error(&output), (1, "error: no such container: `web`"), "{command}");
    }
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    engine.tara(&["rm", "web", id.to_str().unwrap()]).ok();
    engine.assert_clean();
}

fn groups_have_the_same_commands(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.tara(&["container", "run", "--rm", "box", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(engine.tara(&["container", "run", "--rm", "box", "nosuch"]).code, 127);
    up(&engine);
    assert_eq!(engine.tara(&["container", "exec", "web", "echo", "hi"]).ok(), "hi\n");
    assert_eq!(engine.tara(&["container", "inspect", "-f", "{{.State.Status}}", "web"]).ok(), "running\n");
    assert_eq!(engine.tara(&["container", "inspect", "box"]).code, 1);
    engine.tara(&["tag", "box", "other:1"]).ok();
    assert_eq!(engine.tara(&["image", "ls", "--format", "{{.Repository}}"]).ok().lines().count(), 2);
    assert!(engine.tara(&["image", "history", "box"]).ok().contains("imported"));
    assert!(engine.tara(&["system", "df"]).ok().contains("Local Volumes"));
    engine.tara(&["container", "prune", "-f"]).ok();
    assert_eq!(state(&engine), "running");
    engine.tara(&["stop", "-t", "0", "web"]).ok();
    assert!(engine.tara(&["container", "prune", "-f"]).ok().starts_with("Deleted Containers:\n"));
    engine.tara(&["image", "prune", "-a", "-f"]).ok();
    assert_eq!(engine.tara(&["image", "ls", "-q"]).ok(), "");
    assert_eq!(engine.tara(&["system", "prune", "-f"]).ok(), "Total reclaimed space: 0B\n");
    engine.assert_clean();
}

fn completions_and_manual_pages_name_every_command(host: &Host) {
    let engine = Engine::new(host);
    for shell in ["bash", "zsh", "fish"] {
        let script = engine.tara(&["completion", shell]).ok();
        assert!(script.contains("volume") && script.contains("commit"), "{shell}");
    }
    let pages = host.path("man");
    engine.tara(&["man", pages.to_str().unwrap()]).ok();
    for page in ["tara.1", "tara-run.1", "tara-volume-create.1"] {
        assert!(pages.join(page).exists(), "{page}");
    }
}
