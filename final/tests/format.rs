//! `--format` and `inspect`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use testkit::{BUSYBOX, Host, Need, until};

testkit::suite! {
    inspect_has_dockers_fields: [BUSYBOX],
    inspect_fills_templates_in: [BUSYBOX],
    nothing_is_shown_by_its_type: [BUSYBOX],
    errors_of_templates_say_where: [BUSYBOX],
    what_scripts_ask_for_is_there: [Need::Root, BUSYBOX],
    networks_take_templates: [Need::Root, BUSYBOX],
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

/// docker's documents have types, and so has what is not there.
fn nothing_is_shown_by_its_type(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "--name", "plain", "box", "true"]).ok();
    engine.tara(&["create", "--name", "web", "--group-add", "nogroup", "--group-add", "77", "box", "true"]).ok();
    let asks = |name: &str, template: &str| engine.tara(&["inspect", "-f", template, name]).ok();
    let lists =
        "{{.HostConfig.GroupAdd}} {{.HostConfig.CapAdd}} {{len .HostConfig.CapDrop}} {{json .HostConfig.GroupAdd}}";
    assert_eq!(asks("plain", lists), "[] [] 0 null\n");
    assert_eq!(asks("plain", "{{.Config.Volumes}} {{.HostConfig.PidsLimit}}"), "map[] <nil>\n");
    assert_eq!(asks("web", "{{.HostConfig.GroupAdd}} {{.HostConfig.CapAdd}}"), "[nogroup 77] []\n");
    engine.tara(&["rm", "web", "plain"]).ok();
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

/// Templates from scripts and answers that people copy.
fn what_scripts_ask_for_is_there(host: &Host) {
    let engine = Engine::with_box(host);
    let options =
        ["-m", "64m", "--cpus", ".5", "--pids-limit", "50", "-v", "data:/data", "-p", "8080:80", "--label", "a=b"];
    let more = [
        "--restart",
        "on-failure:3",
        "--health-cmd",
        "true",
        "--health-interval",
        "50ms",
        "--add-host",
        "db:192.0.2.7",
    ];
    let run = ["run", "-d", "--name", "web"];
    engine.tara(&[&run[..], &options, &more, &["--tmpfs", "/scratch", "box", "sleep", "1000"]].concat()).ok();
    let asks = |template: &str| engine.tara(&["inspect", "-f", template, "web"]).ok().trim_end().to_owned();
    until("it is healthy", || (asks("{{.State.Health.Status}}") == "healthy").then_some(()));
    for (template, expected) in [
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "172.20.0.2"),
        ("{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}", "172.20.0.2 172.20.0.1"),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{range $p, $c := .NetworkSettings.Ports}}{{$p}}->{{(index $c 0).HostPort}}{{end}}", "80/tcp->8080"),
        ("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}", "67108864 500000000 50"),
        ("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "on-failure 3"),
        (
            "{{.HostConfig.IpcMode}}-{{.HostConfig.PidMode}}-{{.HostConfig.UTSMode}}-{{.HostConfig.ShmSize}}",
            "private---67108864",
        ),
        ("{{.HostConfig.ExtraHosts}} {{.HostConfig.Tmpfs}}", "[db:192.0.2.7] map[/scratch:]"),
        ("{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}}:{{.Destination}}{{end}}{{end}}", "data:/data"),
        (
            "{{index .Config.Labels \"a\"}} {{.Config.AttachStdout}} {{.Config.Healthcheck.Test}}",
            "b false [CMD-SHELL true]",
        ),
        ("{{len .State.Health.Log | lt 0}} {{.State.Health.FailingStreak}}", "true 0"),
        ("{{if .NetworkSettings.SandboxKey}}{{len .NetworkSettings.SandboxID}}{{end}}", "64"),
    ] {
        assert_eq!(asks(template), expected, "{template}");
    }
    assert!(asks("{{json .Mounts}}").starts_with("[{\""), "{}", asks("{{json .Mounts}}"));
    let line = "{{.Names}} {{.Ports}} {{.Networks}} {{.Mounts}} {{.State}} {{.Label \"a\"}}";
    let ps = engine.tara(&["ps", "--format", line]).ok();
    assert_eq!(ps, "web 0.0.0.0:8080->80/tcp bridge data running b\n");
    engine.tara(&["rm", "-fv", "web"]).ok();
}

fn networks_take_templates(host: &Host) {
    let engine = Engine::with_box(host);
    let subnet = ["--subnet", "172.30.5.0/24", "--label", "a=b"];
    engine.tara(&[&["network", "create"], &subnet[..], &["shop"]].concat()).ok();
    engine.tara(&["run", "-d", "--name", "web", "--network", "shop", "box", "sleep", "1000"]).ok();
    for (arguments, expected) in [
        (
            &["ls", "--format", "{{.Name}}:{{.Driver}}:{{.Internal}}:{{.Label \"a\"}}", "-f", "name=shop"][..],
            "shop:bridge:false:b\n",
        ),
        (&["ls", "--format", "table {{.Name}}\\t{{.Scope}}", "-f", "name=shop"], "NAME   SCOPE\nshop   local\n"),
        (&["inspect", "-f", "{{(index .IPAM.Config 0).Subnet}} {{.Labels.a}}", "shop"], "172.30.5.0/24 b\n"),
        (&["inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}", "shop"], "web 172.30.5.2/24\n"),
        (
            &["inspect", "-f", "{{.Driver}} {{.Attachable}} {{len .Id}}", "bridge", "none"],
            "bridge false 64\nnull false 64\n",
        ),
    ] {
        assert_eq!(engine.tara(&[&["network"], arguments].concat()).ok(), expected, "{arguments:?}");
    }
    let ids = engine.tara(&["network", "inspect", "-f", "{{.Id}}", "shop"]).ok();
    assert_eq!(engine.tara(&["network", "ls", "-q", "--no-trunc", "-f", "name=shop"]).ok(), ids);
    assert_eq!(engine.tara(&["inspect", "--type", "network", "-f", "{{.Id}}", "shop"]).ok(), ids);
    assert_eq!(engine.tara(&["inspect", "-f", "{{.Id}}", "shop"]).ok(), ids, "any kind");
    let missing = engine.tara(&["network", "inspect", "nosuch"]);
    assert_eq!((error(&missing), missing.stdout.as_str()), ((1, "error: network nosuch not found"), "[]\n"));
    assert_eq!(engine.tara(&["network", "ls", "--format", "{{.Nope}}"]).code, 1);
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.tara(&["network", "rm", "shop"]).ok();
}
