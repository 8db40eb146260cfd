//! docker's lifecycle table: every command in every state gives its result or its refusal.
//!
//! The table is data. Who brings a command gives it a row; who brings a state gives every row a cell.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use testkit::{BUSYBOX, Host, until};

testkit::suite! {
    created: [BUSYBOX],
    running: [BUSYBOX],
    exited: [BUSYBOX],
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
}

use Gives::{Becomes, Refused, Says};

const NOT_RUNNING: Gives = Refused(1, "container `web` is not running");
const RUNNING: Gives = Refused(1, "cannot remove the running container `web`");

/// The command, and what it gives: created, running, exited.
const TABLE: [(&str, [Gives; 3]); 24] = [
    ("start web", [Becomes("running"), Becomes("running"), Becomes("running")]),
    ("stop web", [Becomes("created"), Becomes("exited"), Becomes("exited")]),
    ("stop -t 0 web", [Becomes("created"), Becomes("exited"), Becomes("exited")]),
    ("restart -t 0 web", [Becomes("running"), Becomes("running"), Becomes("running")]),
    ("kill web", [NOT_RUNNING, Says("web"), NOT_RUNNING]),
    ("kill -s WINCH web", [NOT_RUNNING, Becomes("running"), NOT_RUNNING]),
    ("rm web", [Becomes("gone"), RUNNING, Becomes("gone")]),
    ("rm -v web", [Becomes("gone"), RUNNING, Becomes("gone")]),
    ("rm -f web", [Becomes("gone"), Becomes("gone"), Becomes("gone")]),
    ("exec web true", [NOT_RUNNING, Becomes("running"), NOT_RUNNING]),
    ("exec web sh -c exit", [NOT_RUNNING, Says(""), NOT_RUNNING]),
    ("top web", [NOT_RUNNING, Says("UID"), NOT_RUNNING]),
    ("logs web", [Says(""), Says("ready"), Says("ready")]),
    (
        "rename web web",
        [
            Refused(1, "the name `web` is taken"),
            Refused(1, "the name `web` is taken"),
            Refused(1, "the name `web` is taken"),
        ],
    ),
    ("rename web new", [Becomes("gone"), Becomes("gone"), Becomes("gone")]),
    ("inspect -f {{.Name}} web", [Says("/web"), Says("/web"), Says("/web")]),
    ("cp web:/etc/passwd -", [Says(""), Says(""), Says("")]),
    ("diff web", [Says(""), Says(""), Says("")]),
    ("export web", [Says(""), Says(""), Says("")]),
    ("commit web image", [Says("sha256:"), Says("sha256:"), Says("sha256:")]),
    ("ps -a --format {{.Names}}", [Says("web"), Says("web"), Says("web")]),
    ("ps --format {{.State}}", [Says(""), Says("running"), Says("")]),
    (
        "create --name web box true",
        [
            Refused(1, "cannot create the container"),
            Refused(1, "cannot create the container"),
            Refused(1, "cannot create the container"),
        ],
    ),
    ("container ls -aq --filter name=web", [Says(""), Says(""), Says("")]),
];

fn up(engine: &Engine<'_>) {
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    engine.tara(&["run", "-d", "--name", "web", "box", "sh", "-c", script]).ok();
    until("the program is ready", || engine.tara(&["logs", "web"]).stdout.contains("ready").then_some(()));
}

fn state(engine: &Engine<'_>) -> String {
    let output = engine.tara(&["inspect", "--type", "container", "-f", "{{.State.Status}}", "web"]);
    if output.code == 0 { output.stdout.trim().to_owned() } else { "gone".to_owned() }
}

fn column(host: &Host, index: usize, prepare: impl Fn(&Engine<'_>)) {
    let engine = Engine::with_box(host);
    for (command, cells) in TABLE {
        prepare(&engine);
        let words: Vec<&str> = command.split(' ').collect();
        let output = engine.tara(&words);
        match cells[index] {
            Refused(code, why) => assert_eq!(error(&output), (code, format!("error: {why}").as_str()), "{command}"),
            Says(begin) => assert!(output.code == 0 && output.stdout.starts_with(begin), "{command}: {output:?}"),
            Becomes(expected) => {
                assert_eq!(output.code, 0, "{command}: {output:?}");
                assert_eq!(state(&engine), expected, "{command}");
            }
        }
        for name in ["web", "new"] {
            engine.tara(&["rm", "-f", name]);
        }
        engine.assert_clean();
    }
}

fn created(host: &Host) {
    column(host, 0, |engine| {
        engine.tara(&["create", "--name", "web", "box", "sh", "-c", "while :; do sleep 0.01; done"]).ok();
    });
}

fn running(host: &Host) {
    column(host, 1, up);
}

fn exited(host: &Host) {
    column(host, 2, |engine| {
        up(engine);
        engine.tara(&["kill", "web"]).ok();
        engine.tara(&["wait", "web"]).ok();
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
