//! `cp` by docker's rules, and never out of the root, whatever the container does meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    files_go_in_and_out: [BUSYBOX],
    directories_follow_dockers_rules: [BUSYBOX],
    refusals_are_dockers: [BUSYBOX],
    a_stopped_container_is_copied_with_its_volumes: [BUSYBOX],
    modes_times_links_and_attributes_are_kept: [Need::Root, BUSYBOX],
    owners_are_kept_when_asked_for: [Need::Root, BUSYBOX],
    a_tar_goes_through_standard_streams: [BUSYBOX],
    links_are_copied_or_followed: [BUSYBOX],
    no_link_leads_out_of_the_root: [BUSYBOX],
    a_container_that_swaps_directories_gains_nothing: [BUSYBOX],
    a_hostile_tar_stays_inside: [BUSYBOX],
    nothing_of_the_container_is_loaded: [BUSYBOX],
}

fn up(engine: &Engine<'_>, options: &[&str], script: &str) {
    let script = format!("{script}; touch /ready; while :; do sleep 0.02; done");
    engine.tara(&[&["run", "-d", "--name", "web"], options, &["box", "sh", "-c", &script]].concat()).ok();
    testkit::until("the container is ready", || {
        (engine.tara(&["exec", "web", "test", "-e", "/ready"]).code == 0).then_some(())
    });
}

fn files_go_in_and_out(host: &Host) {
    let engine = Engine::with_box(host);
    up(&engine, &["--tmpfs", "/memory"], "echo inside > /memory/file");
    let file = host.path("file");
    fs::write(&file, "from the host").unwrap();
    engine.tara(&["cp", file.to_str().unwrap(), "web:/memory/in"]).ok();
    assert_eq!(engine.tara(&["exec", "web", "cat", "/memory/in"]).ok(), "from the host");
    let out = host.path("out");
    engine.tara(&["cp", "web:/memory/file", out.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(&out).unwrap(), "inside\n");
    engine.tara(&["cp", "web:memory/file", host.folder("into").to_str().unwrap()]).ok();
    assert!(host.path("into/file").exists());
    engine.tara(&["cp", file.to_str().unwrap(), "web:/memory/file"]).ok();
    assert_eq!(engine.tara(&["exec", "web", "cat", "/memory/file"]).ok(), "from the host");
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn directories_follow_dockers_rules(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    let source = host.folder("source");
    fs::create_dir(source.join("sub")).unwrap();
    fs::write(source.join("sub/file"), "x").unwrap();
    let source = source.to_str().unwrap();
    engine.tara(&["cp", source, "web:/new"]).ok();
    engine.tara(&["cp", source, "web:/new"]).ok();
    engine.tara(&["cp", &format!("{source}/."), "web:/content/"]).ok();
    engine.tara(&["cp", &format!("{source}/."), "web:/tmp"]).ok();
    let out = host.folder("out");
    let all = |path: &str| engine.tara(&["cp", path, out.to_str().unwrap()]).ok();
    all("web:/new");
    all("web:/content/.");
    for path in ["new/sub/file", "new/source/sub/file", "sub/file"] {
        assert!(out.join(path).exists(), "{path}");
    }
    all("web:/tmp/sub");
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn refusals_are_dockers(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["create", "--name", "web", "box", "true"]).ok();
    let (file, folder) = (host.path("file"), host.folder("folder"));
    fs::write(&file, "x").unwrap();
    let (file, folder) = (file.to_str().unwrap(), folder.to_str().unwrap());
    for (from, to, why) in [
        ("web:/nosuch", folder, "`/nosuch`: there is no such file or directory"),
        ("/no/such", "web:/", "`/no/such`: there is no such file or directory"),
        (file, "web:/nosuch/", "`/nosuch/`: the destination directory must exist"),
        (file, "web:/no/such", "`/no/such`: the directory that it is to be in does not exist"),
        (folder, "web:/etc/passwd", "`/etc/passwd`: cannot copy a directory onto a file"),
        (file, "web:/etc/passwd/", "`/etc/passwd/`: not a directory"),
        ("-", "web:/etc/passwd", "`/etc/passwd`: the destination must be a directory"),
        ("web:/etc", "web:/tmp", "copying between containers is not supported"),
        (file, folder, "must specify at least one container source"),
        (file, "nosuch:/", "no such container: `nosuch`"),
    ] {
        let output = engine.tara(&["cp", from, to]);
        assert_eq!(error(&output), (1, format!("error: {why}").as_str()), "{from} {to}");
    }
    engine.tara(&["rm", "web"]).ok();
}

fn a_stopped_container_is_copied_with_its_volumes(host: &Host) {
    let engine = Engine::with_box(host);
    engine
        .tara(&["run", "--name", "web", "-v", "data:/data", "box", "sh", "-c", "echo v > /data/v; echo r > /root/r"])
        .ok();
    let out = host.folder("out");
    for path in ["web:/data/v", "web:/root/r"] {
        engine.tara(&["cp", path, out.to_str().unwrap()]).ok();
    }
    assert_eq!(fs::read_to_string(out.join("v")).unwrap() + &fs::read_to_string(out.join("r")).unwrap(), "v\nr\n");
    engine.tara(&["cp", out.join("r").to_str().unwrap(), "web:/data/new"]).ok();
    assert!(engine.root().join("volumes/data/_data/new").exists());
    engine.assert_consistent();
    engine.tara(&["start", "web"]).ok();
    engine.tara(&["wait", "web"]).ok();
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn modes_times_links_and_attributes_are_kept(host: &Host) {
    let engine = Engine::with_box(host);
    up(&engine, &[], "true");
    let source = host.folder("source");
    fs::write(source.join("a"), "content").unwrap();
    fs::set_permissions(source.join("a"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(source.join("a"), source.join("b")).unwrap();
    symlink("/etc/passwd", source.join("link")).unwrap();
    host.run(host.command("/bin/mknod").args([source.join("fifo").to_str().unwrap(), "p"])).ok();
    host.run(host.command("/bin/touch").args(["-d", "2001-02-03T04:05:06Z", source.join("a").to_str().unwrap()])).ok();
    engine.tara(&["cp", source.to_str().unwrap(), "web:/copy"]).ok();
    engine.tara(&["cp", "web:/copy", host.path("back").to_str().unwrap()]).ok();
    let back = host.path("back");
    let (a, b) = (fs::metadata(back.join("a")).unwrap(), fs::metadata(back.join("b")).unwrap());
    assert_eq!((a.mode() & 0o7777, a.mtime(), a.ino()), (0o4751, 981_173_106, b.ino()));
    assert_eq!(fs::read_link(back.join("link")).unwrap().to_str(), Some("/etc/passwd"));
    assert_eq!(fs::symlink_metadata(back.join("fifo")).unwrap().mode() & 0o170_000, 0o010_000);
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn owners_are_kept_when_asked_for(host: &Host) {
    let engine = Engine::with_box(host);
    up(&engine, &[], "true");
    let file = host.path("file");
    fs::write(&file, "x").unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(2345)).unwrap();
    let file = file.to_str().unwrap();
    engine.tara(&["cp", file, "web:/plain"]).ok();
    engine.tara(&["cp", "-a", file, "web:/archive"]).ok();
    let owners = engine.tara(&["exec", "web", "stat", "-c", "%u:%g", "/plain", "/archive"]).ok();
    assert_eq!(owners, "0:0\n1234:2345\n");
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn a_tar_goes_through_standard_streams(host: &Host) {
    let engine = Engine::with_box(host);
    up(&engine, &[], "mkdir -p /srv/sub; echo x > /srv/sub/file");
    let tar = engine.command(&["cp", "web:/srv", "-"]).stdin(Stdio::null()).output().unwrap();
    fs::write(host.path("out.tar"), &tar.stdout).unwrap();
    let list = host.run(host.command("/bin/tar").args(["-tf", host.path("out.tar").to_str().unwrap()])).ok();
    assert_eq!(list, "srv/\nsrv/sub/\nsrv/sub/file\n");
    pipe(&engine, &tar.stdout, &["cp", "-", "web:/tmp"]);
    assert_eq!(engine.tara(&["exec", "web", "cat", "/tmp/srv/sub/file"]).ok(), "x\n");
    let single = engine.command(&["cp", "web:/srv/sub/file", "-"]).output().unwrap();
    fs::write(host.path("out.tar"), &single.stdout).unwrap();
    let list = host.run(host.command("/bin/tar").args(["-tf", host.path("out.tar").to_str().unwrap()])).ok();
    assert_eq!(list, "file\n");
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn pipe(engine: &Engine<'_>, input: &[u8], arguments: &[&str]) -> i32 {
    let mut child = engine.command(arguments).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let _closed_early = child.stdin.take().unwrap().write_all(input);
    child.wait().unwrap().code().unwrap()
}

fn links_are_copied_or_followed(host: &Host) {
    let engine = Engine::with_box(host);
    up(&engine, &[], "echo real > /srv; ln -s /srv /link; ln -s /etc /folder");
    let out = host.folder("out");
    engine.tara(&["cp", "web:/link", out.to_str().unwrap()]).ok();
    assert!(fs::symlink_metadata(out.join("link")).unwrap().is_symlink());
    engine.tara(&["cp", "-L", "web:/link", out.join("followed").to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(out.join("followed")).unwrap(), "real\n");
    engine.tara(&["cp", out.join("followed").to_str().unwrap(), "web:/folder/new"]).ok();
    assert_eq!(engine.tara(&["exec", "web", "cat", "/etc/new"]).ok(), "real\n");
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn no_link_leads_out_of_the_root(host: &Host) {
    let engine = Engine::with_box(host);
    let secret = host.folder("secret");
    fs::write(secret.join("key"), "secret").unwrap();
    let path = secret.display();
    up(&engine, &[], &format!("ln -s {path} /abs; ln -s ../../../../../../../..{path} /up; ln -s /proc/1/root /magic"));
    let file = host.path("file");
    fs::write(&file, "evil").unwrap();
    for link in ["/abs", "/up", "/magic/run/testkit/secret"] {
        assert_ne!(
            engine.tara(&["cp", &format!("web:{link}/key"), host.path("stolen").to_str().unwrap()]).code,
            0,
            "{link}"
        );
        engine.tara(&["cp", file.to_str().unwrap(), &format!("web:{link}/key")]);
        engine.tara(&["cp", "-L", &format!("web:{link}"), host.path("stolen").to_str().unwrap()]);
    }
    assert_eq!(fs::read_to_string(secret.join("key")).unwrap(), "secret");
    assert!(!host.path("stolen/key").exists() && !host.path("stolen").is_file());
    engine.tara(&["rm", "-f", "web"]).ok();
}

/// CVE-2018-15664: a directory that is a link at one moment and a directory at the next.
fn a_container_that_swaps_directories_gains_nothing(host: &Host) {
    let engine = Engine::with_box(host);
    let secret = host.folder("secret");
    fs::write(secret.join("key"), "secret").unwrap();
    let swap = format!(
        "mkdir -p /a/sub /b; echo mine > /a/sub/key; ln -s {} /b/sub; (while :; do mv /a/sub /c; mv /b/sub /a/sub; mv /c /b/sub; mv /a/sub /c; mv /b/sub /a/sub; mv /c /b/sub; done) & true",
        secret.display()
    );
    up(&engine, &[], &swap);
    let file = host.path("file");
    fs::write(&file, "evil").unwrap();
    for round in 0..60 {
        let out = host.path(&format!("out{round}"));
        engine.tara(&["cp", "web:/a", out.to_str().unwrap()]);
        engine.tara(&["cp", "web:/a/sub/key", host.path(&format!("key{round}")).to_str().unwrap()]);
        engine.tara(&["cp", file.to_str().unwrap(), "web:/a/sub/key"]);
        for copy in [out.join("sub/key"), host.path(&format!("key{round}"))] {
            let is_link_of_ours = fs::symlink_metadata(copy.parent().unwrap()).is_ok_and(|data| data.is_symlink());
            let content = fs::read_to_string(&copy).unwrap_or_default();
            assert!(is_link_of_ours || content != "secret", "{}", copy.display());
        }
    }
    assert_eq!(fs::read_to_string(secret.join("key")).unwrap(), "secret");
    engine.tara(&["rm", "-f", "web"]).ok();
}

fn a_hostile_tar_stays_inside(host: &Host) {
    let engine = Engine::with_box(host);
    up(&engine, &[], "true");
    let secret = host.folder("secret");
    let inside = host.folder("inside");
    symlink(&secret, inside.join("link")).unwrap();
    fs::write(host.path("evil"), "evil").unwrap();
    let tar = |arguments: &[&str]| {
        host.run(host.command("/bin/tar").args(arguments).current_dir(&inside)).ok();
        fs::read(host.path("evil.tar")).unwrap()
    };
    let path = host.path("evil.tar");
    let path = path.to_str().unwrap();
    let climbing = tar(&["-cPf", path, "../evil"]);
    assert_ne!(pipe(&engine, &climbing, &["cp", "-", "web:/tmp"]), 0);
    tar(&["-cf", path, "link"]);
    let through = tar(&["-rPf", path, "--transform", "s,.*evil,link/evil,", host.path("evil").to_str().unwrap()]);
    assert_ne!(pipe(&engine, &through, &["cp", "-", "web:/tmp"]), 0);
    assert!(fs::read_dir(&secret).unwrap().next().is_none());
    engine.tara(&["rm", "-f", "web"]).ok();
}

/// CVE-2019-14271: a library or a configuration of the container that the copying process would load. It is static and reads none.
fn nothing_of_the_container_is_loaded(host: &Host) {
    let engine = Engine::with_box(host);
    up(
        &engine,
        &[],
        "mkdir -p /lib; for f in /etc/nsswitch.conf /etc/ld.so.preload /lib/libnss_files.so.2; do mkfifo $f; done",
    );
    let out = host.path("out");
    engine.tara(&["cp", "web:/etc/passwd", out.to_str().unwrap()]).ok();
    engine.tara(&["cp", out.to_str().unwrap(), "web:/tmp/in"]).ok();
    engine.tara(&["rm", "-f", "web"]).ok();
}
