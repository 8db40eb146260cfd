//! What the command line says: every help text and every error text, as the user sees them.
//!
//! After a change of words: `INSTA_UPDATE=always cargo test -p tara --test words`, then read the difference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, TARA};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use testkit::{BUSYBOX, Host, Need, until};

testkit::suite! {
    help_of_every_command: [],
    errors_of_usage: [BUSYBOX],
    errors_of_run: [Need::Root, BUSYBOX],
    errors_of_images: [Need::Root, BUSYBOX],
    errors_of_containers_and_state: [Need::Root, BUSYBOX],
    what_is_printed_when_all_is_well: [Need::Root, BUSYBOX],
}

/// Compares with the snapshot. What differs from run to run, or from kernel to kernel, has a placeholder.
fn assert_words(name: &str, text: &str) {
    let filters = [
        // Which controllers there are is the machine's.
        (r"(?m)^(Cgroups|Controllers): .*$", "$1: [of this machine]"),
        (r"/run/testkit/tara-root", "ROOT"),
        (r"/run/testkit/tara-run", "RUN"),
        (r"/run/testkit", "HOST"),
        (r"[0-9a-f]{64}", "<digest>"),
        (r"\b[0-9a-f]{12}\b", "<id>"),
        (r"\d+\.\d+\.\d+-[^\s]+", "<kernel>"),
        (r"\bprocess \d+", "process <pid>"),
        (r"(Less than a second|\d+ seconds?)( ago)?", "<time>"),
        (r"[\d.]+MB", "<size>"),
        // The kernel's own words are there only where the kernel has some.
        (r"  kernel: .*\n", ""),
    ];
    insta::with_settings!({ filters => filters, omit_expression => true }, { insta::assert_snapshot!(name, text) });
}

/// A command line of the tests: words between spaces, `''` for an empty one.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().map(|word| if word == "''" { "" } else { word }).collect()
}

/// What a terminal would show of these commands.
fn transcript(engine: &Engine<'_>, lines: &str) -> String {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let shown = lines.map(|line| {
        let output = engine.tara(&words(line));
        format!("$ tara {line}\n{}{}[{}]\n\n", output.stdout, output.stderr, output.code)
    });
    shown.collect()
}

/// The same for commands that must fail, and say nothing on standard output.
fn failures(engine: &Engine<'_>, lines: &str) -> String {
    let text = transcript(engine, lines);
    assert!(!text.contains("\n[0]\n"), "a command has succeeded:\n{text}");
    text
}

fn help_of_every_command(host: &Host) {
    let commands = [
        "",
        "run",
        "create",
        "start",
        "stop",
        "restart",
        "kill",
        "wait",
        "attach",
        "exec",
        "logs",
        "events",
        "rename",
        "top",
        "cp",
        "diff",
        "export",
        "commit",
        "ps",
        "rm",
        "images",
        "rmi",
        "build",
        "load",
        "import",
        "inspect",
        "history",
        "tag",
        "container",
        "container prune",
        "image",
        "image prune",
        "volume",
        "volume create",
        "volume inspect",
        "volume ls",
        "volume prune",
        "volume rm",
        "completion",
        "info",
        "version",
        "system",
        "system check",
        "system reclaim",
        "system start-all",
        "system df",
        "system prune",
    ];
    let help = |command: &&str| {
        let mut tara = host.command(TARA);
        let text = host.run(tara.args(words(command)).arg("--help")).ok();
        format!("$ tara {command} --help\n{text}\n")
    };
    assert_words("help", &commands.iter().map(help).collect::<String>());
}

fn errors_of_usage(host: &Host) {
    let engine = Engine::new(host);
    let text = failures(
        &engine,
        "
        --no-such-flag
        nonsense
        --root
        run
        run --no-such-flag box
        run --network none --network bridge box
        run --network container:x -p 80 box
        run -p 80:x box
        run --ip 10.0.0.2 --network none box
        run --add-host nonsense box
        run --mac-address 01:02:03:04:05:06 box
        network nonsense
        network create -d overlay one
        network create --ipv6 one
        network ls -f colour=red
        run --name
        ps extra
        rm
        rmi
        volume
        cp one
        completion nosuchshell
        inspect
        inspect --type network box
        import
        load extra
        system nonsense
        ",
    );
    assert_words("errors_of_usage", &text);
}

/// An engine with the image `box`, in which some programs cannot be run.
fn engine_with_bad_programs(host: &Host) -> Engine<'_> {
    let root = host.busybox_root("box");
    let program = |name: &str, content: &[u8], mode: u32| {
        let path = root.join("bin").join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    program("not-executable", b"#!/bin/sh\n", 0o644);
    program("no-interpreter", b"#!/no/such/interpreter\n", 0o755);
    program("no-format", b"\0\0\0\0", 0o755);
    program("other-machine", &foreign_elf(), 0o755);
    program("root-only", b"#!/bin/sh\n", 0o700);
    Engine::with_box(host)
}

/// The header of a program for a machine that nobody has. Source: elf(5); `EM_SPARCV9` is 43.
fn foreign_elf() -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
    (header[17], header[19], header[23]) = (2, 43, 1);
    header
}

fn errors_of_run(host: &Host) {
    let engine = engine_with_bad_programs(host);
    engine.tara(&["run", "--name", "web", "box", "true"]).ok();
    fs::write(host.path("env"), "GOOD=1\n=bad\n").unwrap();
    let text = failures(
        &engine,
        "
        run --pull never nosuch
        run --pull never 0123456789ab
        run Upper
        run box:
        run box@sha256:12
        run ''
        run box no-such-program
        run box /no/such/program
        run box ''
        run box /etc
        run box not-executable
        run box no-interpreter
        run box no-format
        run box other-machine
        run -u nobody box root-only
        run --init box no-such-program
        run --entrypoint no-such-program box
        run --entrypoint '' box
        run --name web box true
        run --name a/b box true
        run --name x box true
        run -w relative box true
        run -w /etc/passwd box true
        run -w /etc/passwd/x box true
        run -w /proc/self/fd/5 box true
        run -u ann box true
        run -u :ann box true
        run -u +0 box true
        run -u 4294967295 box true
        run -e =x box true
        run --env-file /no/such box true
        run --env-file /etc box true
        run --env-file /run/testkit/env box true
        run --hostname=-no- box true
        run --hostname wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww box true
        run -v d/ata:/data box true
        run -v data box true
        run -v data:/data:colour box true
        run --volumes-from nosuch box true
        run -l =x box true
        run --label-file /no/such box true
        run -v /etc:data box true
        run -v /etc: box true
        run -v /etc:/data:colour box true
        run -v /etc:/data:ro:rw box true
        run -v /etc:/ box true
        run -v /etc:/bin/busybox/x box true
        run -v /etc/passwd:/etc box true
        run -v /etc:/etc/passwd box true
        run -v /proc/nosuch:/data box true
        run -v /etc:/data --tmpfs /data box true
        run --mount '' box true
        run --mount type=bind,src=/no/such,dst=/data box true
        run --mount type=bind,dst=/data box true
        run --mount type=bind,src=data,dst=/data box true
        run --mount type=bind,src=/etc box true
        run --mount type=bind,src=/etc,dst=/data,tmpfs-size=1m box true
        run --mount type=tmpfs,src=/etc,dst=/data box true
        run --mount type=volume,src=d/ata,dst=/data box true
        run --mount type=colour,dst=/data box true
        run --mount dst=/data,colour=red box true
        run --tmpfs relative box true
        run --tmpfs /data:colour box true
        run --tmpfs /data:size=never box true
        run --tmpfs /bin/busybox box true
        run -it box true
        ",
    );
    assert_words("errors_of_run", &text);
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

/// Gives the image `from` one more name, in the store's own index.
fn add_name(engine: &Engine<'_>, from: &str, to: &str) {
    const NAME: &str = "org.opencontainers.image.ref.name";
    let path = engine.root().join("images/index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    let mut entry = entries.iter().find(|entry| entry["annotations"][NAME] == from).unwrap().clone();
    entry["annotations"][NAME] = to.into();
    entries.push(entry);
    fs::write(path, index.to_string()).unwrap();
}

fn errors_of_images(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "--name", "web", "box", "true"]).ok();
    let twin = host.folder("twin");
    fs::write(twin.join("file"), "").unwrap();
    engine.tara(&["import", twin.to_str().unwrap(), "twin"]).ok();
    add_name(&engine, "twin:latest", "brother:latest");
    let inspected: Value = serde_json::from_str(&engine.tara(&["inspect", "twin"]).ok()).unwrap();
    let twin_id = &inspected[0]["Id"].as_str().unwrap()["sha256:".len()..][..12];
    fs::write(host.path("text"), "neither a tarball nor an image").unwrap();
    tarball(host, "evil.tar", "../evil");
    fs::write(host.folder("inside").join("long"), [b'x'; 4096]).unwrap();
    tarball(host, "cut.tar", "long");
    fs::File::options().write(true).open(host.path("cut.tar")).unwrap().set_len(1000).unwrap();
    let lines = format!(
        "
        rmi nosuch
        rmi Upper
        rmi 0123456789ab
        rmi box
        rmi {twin_id}
        load
        load -i /no/such
        load -i /etc/passwd/x
        load -i /run/testkit/text
        load -i /run/testkit/twin
        load -i /run/testkit/evil.tar
        import /no/such
        import /run/testkit/text
        import /run/testkit/cut.tar
        import /run/testkit/evil.tar
        import /run/testkit/twin Upper
        import /run/testkit/twin a@sha256:12
        inspect nosuch
        inspect --type container box
        inspect --type image web
        inspect --type image Upper
        "
    );
    assert_words("errors_of_images", &failures(&engine, &lines));
}

/// A tarball of one file, under the name that is given, even if that leaves the tarball.
fn tarball(host: &Host, name: &str, file: &str) {
    fs::write(host.path("evil"), "evil").unwrap();
    let mut tar = host.command("/bin/tar");
    tar.args(["-cPf", host.path(name).to_str().unwrap(), file]);
    host.run(tar.current_dir(host.folder("inside"))).ok();
}

fn errors_of_containers_and_state(host: &Host) {
    let engine = Engine::with_box(host);
    let shared = host.folder("shared");
    let volume = format!("{}:/shared", shared.display());
    let run = ["run", "--rm", "--name", "up", "-v", &volume, "box", "sh", "-c", "touch /shared/ready; sleep 1000"];
    let mut up = engine.command(&run).stdin(Stdio::null()).spawn().unwrap();
    until("the container runs", || (engine.tara(&["ps"]).ok().contains("Up ")).then_some(()));
    for last in ["1", "2"] {
        fs::create_dir(engine.root().join("containers").join(format!("{}{last}", "abc".repeat(21)))).unwrap();
    }
    fs::write(host.path("file"), "").unwrap();
    let text = failures(
        &engine,
        "
        rm nosuch
        rm -f nosuch
        rm up
        rm a/b
        rm abcabc
        inspect abcabc
        start nosuch
        stop nosuch
        restart nosuch
        kill nosuch
        kill -s NOSUCH up
        wait nosuch
        exec nosuch true
        exec up nosuch
        exec up /etc/passwd
        exec -u nosuch up true
        exec -w /nosuch up true
        logs nosuch
        logs up
        logs --since soon up
        rename nosuch new
        rename up up
        rename up a/b
        system check
        ",
    );
    let text = text + &elsewhere(&engine);
    engine.tara(&["rm", "-f", "up"]).ok();
    up.wait().unwrap();
    damage(&engine.root().join("images/index.json"));
    let damaged = failures(&engine, "images\nrun box true\nload -i /run/testkit/file\nsystem check\nsystem reclaim\n");
    assert_words("errors_of_containers_and_state", &(text + &damaged));
}

/// With state directories that cannot be.
fn elsewhere(engine: &Engine<'_>) -> String {
    let root = engine.root();
    let cases = [
        ["/run/testkit/file", "/run/testkit/tara-run"],
        ["/run/testkit/file/x", "/run/testkit/tara-run"],
        ["/proc/x", "/run/testkit/tara-run"],
        [root.to_str().unwrap(), "/run/testkit/file"],
        [root.to_str().unwrap(), "/proc/x"],
    ];
    let shown = cases.map(|[root, run]| {
        let line = ["--root", root, "--run-root", run, "run", "box", "true"];
        let output = engine.host.run(engine.host.command(TARA).args(line));
        assert_ne!(output.code, 0, "{output:?}");
        format!("$ tara {}\n{}[{}]\n\n", line.join(" "), output.stderr, output.code)
    });
    shown.concat()
}

fn damage(path: &Path) {
    fs::write(path, "{ \"schemaVersion\": 2, ").unwrap();
}

fn what_is_printed_when_all_is_well(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "--name", "web", "box", "sh", "-c", "exit 3"]);
    let text = transcript(
        &engine,
        "
        version
        info
        images
        ps
        ps -a
        system check
        system reclaim
        rm web
        rmi box
        images
        ",
    );
    // How wide a column is depends on what is in it.
    let text: String = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect();
    assert_words("all_is_well", &text);
}
