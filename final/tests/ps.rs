//! `ps` and `images`: which, and in what columns.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use testkit::{BUSYBOX, Host};

testkit::suite! {
    ps_filters_by_everything: [BUSYBOX],
    ps_has_dockers_columns: [BUSYBOX],
    labels_come_from_the_line_and_from_files: [BUSYBOX],
    images_filter: [BUSYBOX],
}

/// Containers: `up` runs, `done` has ended with 3, `new` was never started.
fn three(engine: &Engine<'_>) {
    engine.tara(&["run", "--name", "done", "-l", "kind=batch", "-l", "old", "box", "sh", "-c", "exit 3"]);
    engine.tara(&["create", "--name", "new", "-v", "data:/data", "box", "true"]).ok();
    engine.tara(&["run", "-d", "--name", "up", "-l", "kind=web", "box", "sleep", "1000"]).ok();
}

fn names(engine: &Engine<'_>, options: &[&str]) -> String {
    let lines = engine.tara(&[&["ps", "--format", "{{.Names}}"], options].concat()).ok();
    lines.lines().collect::<Vec<_>>().join(" ")
}

fn ps_filters_by_everything(host: &Host) {
    let engine = Engine::with_box(host);
    three(&engine);
    for (options, expected) in [
        (&[][..], "up"),
        (&["-a"], "up new done"),
        (&["-l"], "up"),
        (&["-n", "2"], "up new"),
        (&["-f", "status=exited"], "done"),
        (&["-f", "status=exited", "-f", "status=created"], "new done"),
        (&["-f", "exited=3"], "done"),
        (&["-f", "exited=0"], ""),
        (&["-a", "-f", "label=kind"], "up done"),
        (&["-a", "-f", "label=kind=web"], "up"),
        (&["-a", "-f", "label=kind", "-f", "label=old"], "done"),
        (&["-a", "-f", "name=n"], "new done"),
        (&["-a", "-f", "name=^n"], "new"),
        (&["-a", "-f", "before=new"], "done"),
        (&["-a", "-f", "since=done"], "up new"),
        (&["-a", "-f", "ancestor=box"], "up new done"),
        (&["-a", "-f", "ancestor=nosuch"], ""),
        (&["-a", "-f", "volume=data"], "new"),
        (&["-a", "-f", "volume=/data"], "new"),
        (&["-a", "-f", "network=bridge"], "up new done"),
        (&["-a", "-f", "network=other"], ""),
        (&["-a", "-f", "health=none"], "up new done"),
    ] {
        assert_eq!(names(&engine, options), expected, "{options:?}");
    }
    assert_eq!(error(&engine.tara(&["ps", "-f", "colour=red"])), (1, "error: invalid filter `colour`"));
    assert_eq!(error(&engine.tara(&["ps", "-f", "status=red"])), (1, "error: invalid filter `status=red`"));
    assert_eq!(engine.tara(&["ps", "-f", "before=nosuch"]).code, 1);
    engine.tara(&["rm", "-f", "up", "new", "done"]).ok();
    engine.assert_clean();
}

fn ps_has_dockers_columns(host: &Host) {
    let engine = Engine::with_box(host);
    three(&engine);
    let table = engine.tara(&["ps", "-a", "-s"]).ok();
    let header: Vec<&str> =
        table.lines().next().unwrap().split("  ").map(str::trim).filter(|part| !part.is_empty()).collect();
    assert_eq!(header, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES", "SIZE"]);
    assert!(table.contains("(virtual "), "{table}");
    let line = engine.tara(&["ps", "--format", "table {{.ID}}\\t{{.Status}}\\t{{.Label \"kind\"}}"]).ok();
    assert!(line.starts_with("CONTAINER ID   STATUS") && line.lines().next().unwrap().ends_with("kind"), "{line}");
    let json: serde_json::Value = serde_json::from_str(&engine.tara(&["ps", "--format", "json"]).ok()).unwrap();
    assert_eq!(
        (&json["Names"], &json["State"], &json["Labels"]),
        (&"up".into(), &"running".into(), &"kind=web".into())
    );
    let id = engine.tara(&["ps", "-q", "--no-trunc"]).ok();
    assert_eq!((id.trim().len(), engine.tara(&["ps", "-q"]).ok().trim()), (64, &id[..12]));
    engine.tara(&["rm", "-f", "up", "new", "done"]).ok();
}

fn labels_come_from_the_line_and_from_files(host: &Host) {
    let engine = Engine::with_box(host);
    let file = host.path("labels");
    std::fs::write(&file, "# a comment\na=file\n\nb=file\n").unwrap();
    engine
        .tara(&["create", "--name", "web", "--label-file", file.to_str().unwrap(), "--label", "a=line", "box", "true"])
        .ok();
    assert_eq!(
        engine.tara(&["inspect", "-f", "{{json .Config.Labels}}", "web"]).ok(),
        "{\"a\":\"line\",\"b\":\"file\"}\n"
    );
    engine.tara(&["rm", "web"]).ok();
}

fn images_filter(host: &Host) {
    let engine = Engine::with_box(host);
    let root = host.busybox_root("box");
    engine.tara(&["import", "-c", "LABEL a=b", root.to_str().unwrap(), "reg.example/two:1"]).ok();
    let list = |options: &[&str]| {
        let lines = engine.tara(&[&["images", "--format", "{{.Repository}}:{{.Tag}}"], options].concat()).ok();
        lines.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(&["-f", "label=a=b"]), ["reg.example/two:1"]);
    assert_eq!(list(&["-f", "reference=b*"]), ["box:latest"]);
    assert_eq!(list(&["reg.example/*"]), ["reg.example/two:1"]);
    assert_eq!(list(&["-f", "dangling=true"]), Vec::<String>::new());
    assert_eq!(list(&["-f", "dangling=false"]).len(), 2);
    assert!(engine.tara(&["images", "--digests"]).ok().contains("sha256:"));
    assert_eq!(engine.tara(&["images", "-f", "colour=red"]).code, 1);
}
