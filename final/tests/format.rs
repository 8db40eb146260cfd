//! `--format` and `inspect`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use testkit::{BUSYBOX, Host};

testkit::suite! {
    inspect_has_dockers_fields: [BUSYBOX],
    inspect_fills_templates_in: [BUSYBOX],
    errors_of_templates_say_where: [BUSYBOX],
}

fn inspect_has_dockers_fields(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "--name", "web", "-e", "A=1", "-v", "/etc:/host:ro", "box", "sh", "-c", "exit 4"]);
    let fields = [
        ("{{.Name}} {{.Path}} {{.Args}}", "/web sh [-c exit 4]"),
        (
            "{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Restarting}} {{.State.OOMKilled}} {{.State.Dead}} {{.State.Pid}} {{.State.ExitCode}}",
            "exited false false false false false 0 4",
        ),
        (
            "{{.Config.Cmd}} {{.Config.Image}} {{.Config.Tty}} {{.Config.OpenStdin}} {{.Config.WorkingDir}}",
            "[sh -c exit 4] box false false /",
        ),
        (
            "{{.RestartCount}} {{.Driver}} {{.GraphDriver.Name}} {{.HostConfig.NetworkMode}}",
            "0 overlay2 overlay2 bridge",
        ),
        (
            "{{range .Mounts}}{{.Type}} {{.Source}} {{.Destination}} {{.RW}} {{.Mode}}{{end}}",
            "bind /etc /host false ro",
        ),
        ("{{range .HostConfig.Binds}}{{.}}{{end}}", "/etc:/host:ro"),
        ("{{range .Config.Env}}{{if eq . \"A=1\"}}found{{end}}{{end}}", "found"),
        ("{{len .Id}} {{.Created | len | lt 20}}", "64 true"),
    ];
    for (template, expected) in fields {
        assert_eq!(engine.tara(&["inspect", "-f", template, "web"]).ok(), format!("{expected}\n"), "{template}");
    }
    let text = engine.tara(&["inspect", "web"]).ok();
    assert!(
        text.starts_with("[\n    {\n        \"Id\": \"") && text.find("\"State\"") < text.find("\"Image\""),
        "{text}"
    );
    assert_eq!(engine.tara(&["inspect", "-s", "-f", "{{.SizeRw}}", "web"]).ok(), "0\n");
    engine.tara(&["rm", "web"]).ok();
}

fn inspect_fills_templates_in(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    assert_eq!(engine.tara(&["inspect", "-f", "{{json .State.Status}}", "web"]).ok(), "\"created\"\n");
    assert_eq!(engine.tara(&["inspect", "--type", "image", "-f", "{{index .RepoTags 0}}", "box"]).ok(), "box:latest\n");
    let both = engine.tara(&["inspect", "-f", "{{.Id}}", "web", "nosuch", "box"]);
    assert_eq!((both.code, both.stdout.lines().count()), (1, 2));
    let whole: serde_json::Value = serde_json::from_str(&engine.tara(&["inspect", "-f", "json", "web"]).ok()).unwrap();
    assert_eq!(whole["Name"], "/web");
    engine.tara(&["rm", "web"]).ok();
}

fn errors_of_templates_say_where(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    for (template, code, why) in [
        ("{{.Nope}}", 1, "template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""),
        ("{{.State", 64, "template: :1:0: unclosed action"),
        ("{{nope}}", 64, "template: :1:2: function \"nope\" not defined"),
    ] {
        let output = engine.tara(&["inspect", "-f", template, "web"]);
        assert_eq!(error(&output), (code, format!("error: template parsing error: {why}").as_str()), "{template}");
    }
    assert_eq!(engine.tara(&["ps", "--format", "{{"]).code, 1);
    assert_eq!(engine.tara(&["ps", "-a", "--format", "{{.Nope}}"]).code, 1);
    engine.tara(&["rm", "web"]).ok();
}
