//! An image of a container.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Engine;
use serde_json::Value;
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    what_was_written_is_in_the_image: [BUSYBOX],
    deletions_are_in_the_image: [BUSYBOX],
    the_configuration_is_the_containers: [Need::Root, BUSYBOX],
    the_same_container_gives_the_same_layer: [BUSYBOX],
    other_tools_read_the_layer: [Need::Root, BUSYBOX],
}

fn inspect(engine: &Engine<'_>, object: &str) -> Value {
    let mut all: Value = serde_json::from_str(&engine.tara(&["inspect", object]).ok()).unwrap();
    all[0].take()
}

/// A container `web` in which `script` has run.
fn web(engine: &Engine<'_>, options: &[&str], script: &str) {
    engine.tara(&[&["run", "--name", "web"], options, &["box", "sh", "-c", script]].concat()).ok();
}

fn what_was_written_is_in_the_image(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "echo x > /root/new; ln /root/new /twin; echo v > /data/v; chmod 4750 /twin";
    web(&engine, &["-v", "data:/data"], script);
    let id = engine.tara(&["commit", "-m", "why", "-a", "me", "web", "mine:1"]).ok();
    assert!(id.starts_with("sha256:"), "{id}");
    engine.tara(&["rm", "web"]).ok();
    let seen =
        engine.tara(&["run", "--rm", "mine:1", "sh", "-c", "cat /twin; stat -c '%a %h' /root/new; ls /data"]).ok();
    assert_eq!(seen, "x\n4750 2\n");
    let image = inspect(&engine, "mine:1");
    assert_eq!((&image["Author"], &image["Comment"]), (&"me".into(), &"why".into()));
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    assert_eq!(engine.tara(&["ps", "-aq", "-f", "ancestor=box"]).ok(), "");
    engine.tara(&["create", "--name", "child", "mine:1"]).ok();
    assert_eq!(engine.tara(&["ps", "-a", "-f", "ancestor=box", "--format", "{{.Names}}"]).ok(), "child\n");
    engine.tara(&["rm", "child"]).ok();
    engine.assert_clean();
}

fn deletions_are_in_the_image(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine, &[], "rm /etc/group; rm -r /home; mkdir /home; rm -r /var");
    engine.tara(&["commit", "web", "less"]).ok();
    let seen =
        engine.tara(&["run", "--rm", "less", "sh", "-c", "ls -d /etc/group /home /var /etc/passwd 2>/dev/null"]).stdout;
    assert_eq!(seen, "/etc/passwd\n/home\n");
    engine.tara(&["rm", "web"]).ok();
}

fn the_configuration_is_the_containers(host: &Host) {
    let engine = Engine::with_box(host);
    engine
        .tara(&["create", "--name", "web", "-e", "A=1", "-w", "/srv", "-u", "65534", "-l", "x=y", "box", "echo", "hi"])
        .ok();
    engine.tara(&["commit", "-c", "ENV B=2", "-c", "EXPOSE 80", "-c", "ENTRYPOINT [\"printf\"]", "web", "mine"]).ok();
    let config = &inspect(&engine, "mine")["Config"];
    assert_eq!(config["Cmd"], serde_json::json!(["echo", "hi"]));
    assert_eq!(
        (&config["WorkingDir"], &config["User"], &config["Labels"]["x"]),
        (&"/srv".into(), &"65534".into(), &"y".into())
    );
    let env: Vec<&str> = config["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        env.contains(&"A=1") && env.contains(&"B=2") && !env.iter().any(|entry| entry.starts_with("HOSTNAME")),
        "{env:?}"
    );
    assert_eq!(engine.tara(&["run", "--rm", "mine", "text"]).ok(), "text");
    assert_eq!(engine.tara(&["commit", "-c", "RUN x", "web"]).code, 1);
    engine.tara(&["rm", "web"]).ok();
}

fn the_same_container_gives_the_same_layer(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine, &[], "for i in 3 1 2; do echo $i > /root/$i; done");
    engine.tara(&["commit", "web", "a"]).ok();
    engine.tara(&["commit", "web", "b"]).ok();
    assert_eq!(inspect(&engine, "a")["RootFS"], inspect(&engine, "b")["RootFS"]);
    engine.tara(&["rm", "web"]).ok();
    engine.tara(&["rmi", "a", "b"]).ok();
}

fn other_tools_read_the_layer(host: &Host) {
    let engine = Engine::with_box(host);
    web(&engine, &[], "rm /etc/group; mkdir /new; mknod /new/null c 1 3; mkfifo /new/fifo; ln -s x /new/link");
    engine.tara(&["commit", "web", "mine"]).ok();
    let manifest = inspect(&engine, "mine")["Digest"].as_str().unwrap()["sha256:".len()..].to_owned();
    let blobs = engine.root().join("images/blobs/sha256");
    let manifest: Value = serde_json::from_slice(&std::fs::read(blobs.join(manifest)).unwrap()).unwrap();
    let layer = manifest["layers"][1]["digest"].as_str().unwrap()["sha256:".len()..].to_owned();
    let list = host.run(host.command("/bin/tar").args(["-tvzf", blobs.join(layer).to_str().unwrap()])).ok();
    for part in ["etc/.wh.group", "new/null", "1,3", "new/link -> x", "prw", "new/fifo"] {
        assert!(list.contains(part), "{part} is not in\n{list}");
    }
    engine.tara(&["rm", "web"]).ok();
}
