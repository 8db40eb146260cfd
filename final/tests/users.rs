//! `--userns auto`: root inside is nobody outside, and the files are as in any container.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use testkit::{BUSYBOX, Host, Need, until};

testkit::suite! {
    root_inside_is_nobody_outside: [Need::Root, BUSYBOX],
    every_container_has_other_numbers: [Need::Root, BUSYBOX],
    numbers_that_others_have_are_left_alone: [Need::Root, BUSYBOX],
    files_belong_to_the_same_users_inside_and_on_the_disk: [Need::Root, BUSYBOX],
    a_volume_gets_the_images_owners: [Need::Root, BUSYBOX],
    other_users_and_their_capabilities: [Need::Root, BUSYBOX],
    root_inside_has_no_power_over_the_host: [Need::Root, BUSYBOX],
    its_network_is_its_own_and_connected: [Need::Root, BUSYBOX],
    exec_and_restart_find_the_same_users: [Need::Root, BUSYBOX],
    a_terminal_belongs_to_the_containers_root: [Need::Root, BUSYBOX],
    a_kill_leaves_nothing_that_is_not_reclaimed: [Need::Root, BUSYBOX],
    what_does_not_go_together_is_refused: [Need::Root, BUSYBOX],
    without_root_it_is_refused: [Need::Root, BUSYBOX],
}

const AUTO: [&str; 4] = ["--userns", "auto", "--network", "none"];

fn detached(engine: &Engine<'_>, name: &str, options: &[&str]) {
    engine
        .tara(&[&["run", "-d", "--name", name, "--userns", "auto"], options, &["box", "sleep", "1000"]].concat())
        .ok();
}

fn host_pid(engine: &Engine<'_>, name: &str) -> u64 {
    let all: Value = serde_json::from_str(&engine.tara(&["inspect", name]).ok()).unwrap();
    all[0]["State"]["Pid"].as_u64().unwrap()
}

/// The user of the container's first process, as the host numbers it.
fn user(engine: &Engine<'_>, name: &str) -> u32 {
    fs::metadata(format!("/proc/{}", host_pid(engine, name))).unwrap().uid()
}

fn root_inside_is_nobody_outside(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.shell(&AUTO, "id -u; id -g; wc -l < /proc/self/uid_map").ok(), "0\n0\n1\n");
    detached(&engine, "web", &["--network", "none"]);
    assert!(user(&engine, "web") >= 0x8_0000);
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_ne!(namespace(&host_pid(&engine, "web").to_string()), namespace("self"));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn every_container_has_other_numbers(host: &Host) {
    let engine = Engine::with_box(host);
    for name in ["one", "two"] {
        detached(&engine, name, &["--network", "none"]);
    }
    let (one, two) = (user(&engine, "one"), user(&engine, "two"));
    assert!(one.abs_diff(two) >= 65536, "{one} {two}");
    engine.tara(&["rm", "-f", "one"]).ok();
    detached(&engine, "three", &["--network", "none"]);
    assert_eq!(user(&engine, "three"), one, "free again");
    engine.tara(&["rm", "-f", "two", "three"]).ok();
}

fn numbers_that_others_have_are_left_alone(host: &Host) {
    let engine = Engine::with_box(host);
    let _somebodys = host.replace_file("/etc/subuid", "somebody:524288:65537\n");
    let map = engine.shell(&AUTO, "cat /proc/self/uid_map").ok();
    assert_eq!(map.split_ascii_whitespace().collect::<Vec<_>>(), ["0", "655360", "65536"]);
}

fn files_belong_to_the_same_users_inside_and_on_the_disk(host: &Host) {
    let engine = Engine::with_box(host);
    let volume = host.folder("volume");
    fs::write(volume.join("of-root"), "").unwrap();
    let script = "stat -c %u /bin/busybox /v/of-root /etc/hosts; touch /v/new /new; chown 5:7 /v/new /new; stat -c %u:%g /v/new /new";
    let at = format!("{}:/v", volume.display());
    let options = ["--name", "web", "--userns", "auto", "--hostname", "h", "--network", "none", "-v", &at];
    let text = engine.tara(&[&["run"], &options[..], &["box", "sh", "-c", script]].concat()).ok();
    assert_eq!(text, "0\n0\n0\n5:7\n5:7\n");
    let owner = |path: std::path::PathBuf| fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
    assert_eq!(owner(volume.join("new")), (5, 7));
    let id = engine.entries(engine.root().join("containers")).remove(0);
    assert_eq!(owner(engine.root().join("containers").join(id).join("diff/new")), (5, 7));
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn a_volume_gets_the_images_owners(host: &Host) {
    let engine = Engine::with_box(host);
    let own = ["--userns", "auto", "--network", "none", "-v", "data:/bin"];
    for options in [&own[..], &own[2..]] {
        assert_eq!(engine.shell(options, "stat -c %u:%g /bin /bin/busybox").ok(), "0:0\n0:0\n");
    }
    engine.tara(&["volume", "rm", "data"]).ok();
    engine.assert_clean();
}

fn other_users_and_their_capabilities(host: &Host) {
    let engine = Engine::with_box(host);
    let facts = |options: &[&str]| engine.facts(&[&AUTO[..], options].concat()).status;
    let root = facts(&[]);
    assert_eq!((root["CapEff"].as_str(), root["CapBnd"].as_str()), ("00000000a80425fb", "00000000a80425fb"));
    assert_eq!(root["Seccomp"], "2");
    let other = facts(&["-u", "1000:1000"]);
    assert_eq!((other["CapEff"].as_str(), other["Uid"].as_str()), ("0000000000000000", "1000\t1000\t1000\t1000"));
}

fn root_inside_has_no_power_over_the_host(host: &Host) {
    let engine = Engine::with_box(host);
    // All capabilities, in its namespaces: none of them counts where the host's matter.
    let script = "mknod /n b 8 0; date -s 2000-01-01; echo 1 > /proc/sys/vm/drop_caches; cat /proc/kcore";
    let options = [&AUTO[..], &["--cap-add", "ALL", "--security-opt", "seccomp=unconfined"]].concat();
    let options = [&options[..], &["--security-opt", "systempaths=unconfined"]].concat();
    let output = engine.shell(&options, script);
    for word in ["mknod: /n", "set date", "drop_caches", "kcore"] {
        assert!(output.stderr.contains(word), "{word}: {output:?}");
    }
}

fn its_network_is_its_own_and_connected(host: &Host) {
    host.run(host.command("/bin/sh").args(["-c", "busybox ip link set lo up"])).ok();
    let engine = Engine::with_box(host);
    engine.tara(&["network", "create", "lan"]).ok();
    let script = "echo it works | nc -l -p 80";
    let options = ["--userns", "auto", "--network", "lan", "-p", "8080:80", "--name", "web"];
    engine.tara(&[&["run", "-d"], &options[..], &["box", "sh", "-c", script]].concat()).ok();
    let mut answer = String::new();
    until("the published port answers", || {
        let mut stream = TcpStream::connect("127.0.0.1:8080").ok()?;
        stream.read_to_string(&mut answer).ok().filter(|length| *length > 0)
    });
    assert_eq!(answer, "it works\n");
    engine.tara(&["rm", "-f", "web"]).ok();
    detached(&engine, "web", &["--network", "lan"]);
    let options = ["--userns", "auto", "--network", "lan"];
    let output = engine.shell(
        &[&options[..], &["--cap-add", "NET_ADMIN"]].concat(),
        "ping -c 1 -W 5 web && ip link set eth0 mtu 1400",
    );
    output.ok();
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.tara(&["network", "rm", "lan"]).ok();
    engine.assert_clean();
}

fn exec_and_restart_find_the_same_users(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, "web", &["--network", "none"]);
    let exec = |script: &str| engine.tara(&["exec", "web", "sh", "-c", script]).ok();
    assert_eq!(exec("id -u; echo kept > /x; stat -c %u /x"), "0\n0\n");
    assert_eq!(engine.tara(&["exec", "-u", "9", "web", "id", "-u"]).ok(), "9\n");
    let inside = exec("readlink /proc/self/ns/user");
    assert_eq!(inside, exec("readlink /proc/1/ns/user"));
    engine.tara(&["stop", "-t", "0", "web"]).ok();
    // Somebody takes its numbers meanwhile.
    detached(&engine, "other", &["--network", "none"]);
    engine.tara(&["start", "web"]).ok();
    assert_eq!(exec("cat /x; stat -c %u /x"), "kept\n0\n");
    engine.tara(&["rm", "-f", "web", "other"]).ok();
}

fn a_terminal_belongs_to_the_containers_root(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "tty; stat -c %u /dev/pts/0; echo x > /dev/pts/0 && echo written";
    let text = engine.shell(&[&["-t"], &AUTO[..]].concat(), script).ok();
    assert_eq!(text.replace('\r', ""), "/dev/pts/0\n0\nx\nwritten\n");
    detached(&engine, "web", &["--network", "none"]);
    let text = engine.tara(&["exec", "-t", "web", "sh", "-c", script]).ok();
    assert_eq!(text.replace('\r', ""), "/dev/pts/0\n0\nx\nwritten\n");
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn a_kill_leaves_nothing_that_is_not_reclaimed(host: &Host) {
    let engine = Engine::with_box(host);
    let mut tara = engine.command(&[&["run", "--rm"], &AUTO[..], &["box", "sleep", "1000"]].concat()).spawn().unwrap();
    let name = until("it runs", || engine.tara(&["ps", "-q"]).ok().lines().next().map(str::to_owned));
    let program = host_pid(&engine, &name);
    tara.kill().unwrap();
    tara.wait().unwrap();
    // Its program is killed with it; until it is gone it may hold what it was born with, the lock among it.
    until("its program is gone", || (!Path::new(&format!("/proc/{program}")).exists()).then_some(()));
    engine.tara(&["system", "reclaim"]).ok();
    engine.assert_clean();
}

fn what_does_not_go_together_is_refused(host: &Host) {
    let engine = Engine::with_box(host);
    let refused = |options: &[&str]| {
        let output = engine.run(&[&["--userns", "auto"], options].concat(), &["true"]);
        assert!(output.stderr.contains("--userns host"), "{output:?}");
        error(&output).1.to_owned()
    };
    let namespaces = "namespace of the host or of another container when user namespaces are enabled";
    assert_eq!(refused(&["--network", "host"]), format!("error: cannot share the network {namespaces}"));
    assert_eq!(refused(&["--pid", "host"]), format!("error: cannot share the PID {namespaces}"));
    assert_eq!(refused(&["--privileged"]), "error: privileged mode is incompatible with user namespaces");
    let output = engine.run(&["--userns", "some"], &["true"]);
    assert_eq!(error(&output), (125, "error: invalid mode `some` for `--userns`"));
    assert_eq!(engine.shell(&["--userns", "host", "--network", "none"], "wc -l < /proc/self/uid_map").ok(), "1\n");
}

fn without_root_it_is_refused(host: &Host) {
    let home = host.path("home");
    fs::create_dir(&home).unwrap();
    let mut command = host.command_as_user(common::TARA);
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    command.env("XDG_RUNTIME_DIR", &home).env("XDG_DATA_HOME", &home).args(["run", "--userns", "auto", "demo", "true"]);
    let output = host.run(&mut command);
    assert!(error(&output).1.contains("in a user namespace already"), "{output:?}");
}
