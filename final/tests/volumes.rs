//! Volumes outlive containers, are filled on first use, and are removed only by those who may.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    a_named_volume_outlives_its_containers: [BUSYBOX],
    a_volume_in_use_is_not_removed: [BUSYBOX],
    the_first_use_copies_what_the_image_has: [Need::Root, BUSYBOX],
    nocopy_leaves_a_volume_empty: [BUSYBOX],
    a_read_only_volume_refuses_writes: [BUSYBOX],
    anonymous_volumes_go_with_rm: [BUSYBOX],
    rm_v_removes_anonymous_volumes_only: [BUSYBOX],
    a_failed_start_leaves_no_volume: [BUSYBOX],
    volumes_from_shares_them: [BUSYBOX],
    containers_that_come_at_once_find_one_filled_volume: [BUSYBOX],
    volumes_are_listed_and_inspected: [BUSYBOX],
    prune_removes_what_nobody_mounts: [BUSYBOX],
    a_volume_can_bind_a_directory: [BUSYBOX],
    a_volume_is_filled_inside_the_image_only: [BUSYBOX],
    what_a_crash_leaves_is_found_and_removed: [BUSYBOX],
}

fn names(engine: &Engine<'_>) -> Vec<String> {
    engine.tara(&["volume", "ls", "-q"]).ok().lines().map(str::to_owned).collect()
}

fn inspect(engine: &Engine<'_>, object: &str) -> Value {
    let mut all: Value = serde_json::from_str(&engine.tara(&["inspect", object]).ok()).unwrap();
    all[0].take()
}

fn a_named_volume_outlives_its_containers(host: &Host) {
    let engine = Engine::with_box(host);
    engine.shell(&["-v", "data:/data"], "echo kept > /data/file").ok();
    engine.assert_clean();
    assert_eq!(engine.shell(&["--mount", "src=data,dst=/other"], "cat /other/file").ok(), "kept\n");
    assert_eq!(names(&engine), ["data"]);
    assert_eq!(engine.tara(&["volume", "rm", "data"]).ok(), "data\n");
    assert_eq!(names(&engine), Vec::<String>::new());
    assert!(!engine.root().join("volumes/data").exists());
}

fn a_volume_in_use_is_not_removed(host: &Host) {
    let engine = Engine::with_box(host);
    let id = engine.tara(&["create", "--name", "web", "-v", "data:/data", "box", "true"]).ok();
    let refused = engine.tara(&["volume", "rm", "data"]);
    assert_eq!(error(&refused), (1, format!("error: remove data: volume is in use - [{}]", id.trim()).as_str()));
    assert_eq!(engine.tara(&["volume", "ls", "-q", "-f", "dangling=true"]).ok(), "");
    engine.tara(&["rm", "web"]).ok();
    assert_eq!(engine.tara(&["volume", "ls", "-q", "-f", "dangling=true"]).ok(), "data\n");
    engine.tara(&["volume", "rm", "data"]).ok();
    assert_eq!(engine.tara(&["volume", "rm", "data"]).code, 1);
    assert_eq!(engine.tara(&["volume", "rm", "-f", "data"]).code, 0);
}

/// An image whose `/srv` has files of several kinds and is a volume.
fn image_with_volume(host: &Host) -> Engine<'_> {
    let root = host.busybox_root("box");
    let srv = root.join("srv");
    fs::create_dir_all(srv.join("sub")).unwrap();
    fs::write(srv.join("sub/file"), "from the image").unwrap();
    fs::set_permissions(srv.join("sub/file"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::hard_link(srv.join("sub/file"), srv.join("twin")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", srv.join("link")).unwrap();
    fs::set_permissions(&srv, fs::Permissions::from_mode(0o1770)).unwrap();
    if nix::unistd::geteuid().is_root() {
        let _not_mapped_here = std::os::unix::fs::chown(&srv, Some(0), Some(0));
    }
    let engine = Engine::new(host);
    engine.tara(&["import", "-c", "VOLUME /srv", root.to_str().unwrap(), "box"]).ok();
    engine
}

fn the_first_use_copies_what_the_image_has(host: &Host) {
    let engine = image_with_volume(host);
    let seen = engine
        .shell(&["-v", "data:/srv"], "stat -c '%a %u' /srv /srv/sub/file; readlink /srv/link; cat /srv/twin")
        .ok();
    assert_eq!(seen, "1770 0\n4750 0\n/etc/passwd\nfrom the image");
    let data = engine.root().join("volumes/data/_data");
    assert_eq!(fs::metadata(data.join("twin")).unwrap().ino(), fs::metadata(data.join("sub/file")).unwrap().ino());
    engine.shell(&["-v", "data:/srv"], "rm -r /srv/sub; echo new > /srv/new").ok();
    assert_eq!(engine.shell(&["-v", "data:/srv"], "ls /srv").ok(), "link\nnew\ntwin\n", "it is filled once");
    assert_eq!(engine.shell(&["-v", "other:/etc/passwd/x"], "true").code, 125);
}

fn nocopy_leaves_a_volume_empty(host: &Host) {
    let engine = image_with_volume(host);
    assert_eq!(engine.shell(&["-v", "data:/srv:nocopy"], "ls /srv").ok(), "");
    assert_eq!(engine.shell(&["--mount", "type=volume,src=d2,dst=/srv,volume-nocopy"], "ls /srv").ok(), "");
}

fn a_read_only_volume_refuses_writes(host: &Host) {
    let engine = Engine::with_box(host);
    let output = engine.shell(&["-v", "data:/data:ro"], "touch /data/x");
    assert!(output.code == 1 && output.stderr.contains("Read-only"), "{output:?}");
}

fn anonymous_volumes_go_with_rm(host: &Host) {
    let engine = image_with_volume(host);
    assert_eq!(engine.shell(&["-v", "/more", "-v", "kept:/kept"], "cat /srv/twin; ls /more").ok(), "from the image");
    assert_eq!(names(&engine), ["kept"]);
}

fn rm_v_removes_anonymous_volumes_only(host: &Host) {
    let engine = image_with_volume(host);
    for (option, left) in [("-f", 2), ("-v", 2)] {
        engine.tara(&["run", "--name", "web", "-v", "kept:/kept", "box", "true"]).ok();
        engine.tara(&["rm", option, "web"]).ok();
        assert_eq!(names(&engine).len(), left, "{option}: the named one, and the one that `rm` has left");
    }
    engine.assert_clean();
}

fn a_failed_start_leaves_no_volume(host: &Host) {
    let engine = image_with_volume(host);
    assert_eq!(engine.tara(&["run", "box", "no-such-program"]).code, 127);
    assert_eq!(engine.tara(&["create", "-v", "/a", "-u", "nobody-knows", "box", "true"]).code, 1);
    assert_eq!(names(&engine), Vec::<String>::new());
    engine.assert_clean();
}

fn volumes_from_shares_them(host: &Host) {
    let engine = image_with_volume(host);
    let shared = host.folder("shared");
    let bind = format!("{}:/bound", shared.display());
    engine
        .tara(&[
            "run",
            "--name",
            "first",
            "-v",
            "data:/data",
            "-v",
            &bind,
            "box",
            "sh",
            "-c",
            "echo x | tee /data/a /srv/b /bound/c",
        ])
        .ok();
    assert_eq!(engine.shell(&["--volumes-from", "first"], "cat /data/a /srv/b /bound/c").ok(), "x\nx\nx\n");
    let read_only = engine.shell(&["--volumes-from", "first:ro"], "touch /data/y");
    assert!(read_only.code == 1 && read_only.stderr.contains("Read-only"), "{read_only:?}");
    assert_eq!(engine.run(&["--volumes-from", "nosuch"], &["true"]).code, 125);
    engine.tara(&["create", "--name", "second", "--volumes-from", "first", "box", "true"]).ok();
    engine.tara(&["rm", "-v", "first"]).ok();
    assert_eq!(names(&engine).len(), 2, "the second mounts them too");
    engine.tara(&["rm", "-v", "second"]).ok();
    assert_eq!(names(&engine), ["data"]);
}

fn containers_that_come_at_once_find_one_filled_volume(host: &Host) {
    let engine = image_with_volume(host);
    let run = ["run", "--rm", "-v", "data:/srv", "box", "cat", "/srv/sub/file"];
    let children: Vec<_> =
        (0..8).map(|_| engine.command(&run).stdout(std::process::Stdio::piped()).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "from the image");
    }
    engine.assert_clean();
}

fn volumes_are_listed_and_inspected(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.tara(&["volume", "create", "--label", "a=b", "data"]).ok(), "data\n");
    assert_eq!(engine.tara(&["volume", "create", "data"]).ok(), "data\n");
    let id = engine.tara(&["volume", "create"]).ok();
    assert_eq!(id.trim().len(), 64);
    let data = inspect(&engine, "data");
    assert_eq!(data["Labels"]["a"], "b");
    assert_eq!(data["Mountpoint"], engine.root().join("volumes/data/_data").to_str().unwrap());
    assert_eq!(engine.tara(&["volume", "inspect", "-f", "{{.Driver}} {{.Scope}}", "data"]).ok(), "local local\n");
    let listed = engine.tara(&["volume", "ls", "--filter", "label=a"]).ok();
    assert_eq!(listed, "DRIVER   VOLUME NAME\nlocal    data\n");
    assert_eq!(
        engine.tara(&["volume", "ls", "--format", "{{.Name}}:{{.Label \"a\"}}", "-f", "name=dat"]).ok(),
        "data:b\n"
    );
    engine.tara(&["create", "--name", "web", "-v", "data:/data:ro", "box", "true"]).ok();
    let mount = &inspect(&engine, "web")["Mounts"][0];
    assert_eq!((&mount["Type"], &mount["Name"], &mount["RW"]), (&"volume".into(), &"data".into(), &false.into()));
    assert_eq!(engine.tara(&["volume", "create", "a/b"]).code, 1);
    assert_eq!(error(&engine.tara(&["volume", "inspect", "nosuch"])), (1, "error: no such volume: `nosuch`"));
    engine.tara(&["rm", "web"]).ok();
}

fn prune_removes_what_nobody_mounts(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "--name", "web", "-v", "/a", "-v", "used:/b", "box", "true"]).ok();
    engine.tara(&["volume", "create", "free"]).ok();
    engine.tara(&["volume", "prune"]).ok();
    assert_eq!(names(&engine).len(), 3, "nobody said yes");
    engine.tara(&["volume", "prune", "-f"]).ok();
    assert_eq!(names(&engine).len(), 3, "all but `free` are mounted, and `free` has a name");
    assert!(engine.tara(&["volume", "prune", "-f", "-a"]).ok().starts_with("Deleted Volumes:\nfree\n"));
    engine.tara(&["rm", "web"]).ok();
    engine.tara(&["volume", "prune", "-f"]).ok();
    assert_eq!(names(&engine), ["used"]);
}

fn a_volume_can_bind_a_directory(host: &Host) {
    let engine = Engine::with_box(host);
    let folder = host.folder("elsewhere");
    let device = format!("device={}", folder.display());
    engine.tara(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "bound"]).ok();
    engine.shell(&["-v", "bound:/data"], "echo here > /data/file").ok();
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "here\n");
    assert_eq!(engine.tara(&["volume", "create", "-o", "type=nfs", "no"]).code, 1);
    engine.tara(&["volume", "rm", "bound"]).ok();
    assert!(folder.join("file").exists());
}

/// The image's `/srv` is a link out of it: what is copied is what the link means inside.
fn a_volume_is_filled_inside_the_image_only(host: &Host) {
    let root = host.busybox_root("box");
    let secret = host.folder("secret");
    fs::write(secret.join("key"), "secret").unwrap();
    std::os::unix::fs::symlink(&secret, root.join("srv")).unwrap();
    std::os::unix::fs::symlink("../../../../../../run/testkit/secret", root.join("up")).unwrap();
    let engine = Engine::with_box(host);
    for place in ["/srv", "/up"] {
        engine.run(&["-v", &format!("data:{place}")], &["true"]);
        let data = engine.root().join("volumes/data/_data");
        assert_eq!(engine.entries(data), Vec::<String>::new(), "{place}");
        engine.tara(&["volume", "rm", "data"]).ok();
    }
}

fn what_a_crash_leaves_is_found_and_removed(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["volume", "create", "data"]).ok();
    for left in [".new-1", ".gone-2"] {
        fs::create_dir(engine.root().join("volumes").join(left)).unwrap();
    }
    assert_eq!(engine.tara(&["system", "check"]).code, 1);
    engine.tara(&["system", "reclaim"]).ok();
    engine.assert_consistent();
    assert_eq!(names(&engine), ["data"]);
}
