//! Loads that are killed, that meet a full disk, that race, that are not root's.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod common;

use common::{Blob, Layer, count, everything, layout, open};
use nix::mount::{MsFlags, mount, umount};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use step07_images::{Error, Leftover, Source, Store};
use testkit::{BUSYBOX, Host, Need, Test};

const UNSHARE: Need = Need::Program("unshare", "util-linux");

const TESTS: &[Test] = &[
    Test {
        name: "two_loads_at_once_both_succeed_and_unpack_once",
        needs: &[],
        body: two_loads_at_once_both_succeed_and_unpack_once,
    },
    Test { name: "a_killed_load_leaves_a_valid_store", needs: &[], body: a_killed_load_leaves_a_valid_store },
    Test { name: "work_under_way_is_no_leftover", needs: &[], body: work_under_way_is_no_leftover },
    Test {
        name: "a_layer_that_no_image_has_is_not_trusted",
        needs: &[],
        body: a_layer_that_no_image_has_is_not_trusted,
    },
    Test {
        name: "a_full_disk_is_said_and_leaves_a_valid_store",
        needs: &[],
        body: a_full_disk_is_said_and_leaves_a_valid_store,
    },
    Test {
        name: "a_user_namespace_keeps_what_it_can",
        needs: &[Need::Root, UNSHARE],
        body: a_user_namespace_keeps_what_it_can,
    },
    Test { name: "demo_needs_no_root", needs: &[Need::Root, UNSHARE, BUSYBOX], body: demo_needs_no_root },
];

/// This program is also the one that loads: a load that is killed has to be a process.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [_, "load", root, from] => load(&Store::open(Path::new(root)).unwrap(), Path::new(from)),
        [_, "demo", root] => println!("{}", Store::open(Path::new(root)).unwrap().ensure_demo().unwrap().manifest),
        _ => return testkit::main(TESTS),
    }
    ExitCode::SUCCESS
}

/// Loads, and says how many bytes this process has written.
fn load(store: &Store, from: &Path) {
    let loaded = store.load(Source::Path(from)).unwrap();
    for skipped in &loaded.skipped {
        println!("skipped {}: {}", skipped.entry, skipped.what);
    }
    let io = fs::read_to_string("/proc/self/io").unwrap();
    println!("{}", io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap());
}

fn loader(host: &Host, root: &str, from: &Path) -> Command {
    let mut command = host.command("/proc/self/exe");
    command.arg("load").arg(host.path(root)).arg(from).stdout(Stdio::piped());
    command
}

const MEGABYTE: usize = 1 << 20;

/// An image of two layers: some hundred files, and a few large ones that compress well.
fn image(host: &Host) -> PathBuf {
    let small = (0..400).fold(Layer::default().folder("small/"), |layer, number| {
        layer.file(&format!("small/{number}"), number.to_string().repeat(100).as_bytes())
    });
    let large =
        (0..8).fold(Layer::default(), |layer, number| layer.file(&format!("large-{number}"), &vec![number; MEGABYTE]));
    layout(&host.path("image"), "big", &[Blob::gzip(&small.end()), Blob::gzip(&large.end())])
}

fn assert_whole(store: &Store) {
    let image = store.resolve("big").unwrap();
    assert_eq!(count(&image.layers[0].join("small")), 400);
    assert_eq!(fs::read(image.layers[1].join("large-7")).unwrap(), vec![7; MEGABYTE]);
    assert_eq!(store.check().unwrap(), []);
}

fn two_loads_at_once_both_succeed_and_unpack_once(host: &Host) {
    let image = image(host);
    for root in ["one", "two", "three"] {
        let both: Vec<_> = (0..2).map(|_| loader(host, root, &image).spawn().unwrap()).collect();
        let outputs = both.into_iter().map(|child| child.wait_with_output().unwrap());
        let mut written: Vec<usize> = outputs
            .map(|output| {
                assert!(output.status.success());
                String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
            })
            .collect();
        written.sort_unstable();
        let total: usize = written.iter().sum();
        assert!(total > 8 * MEGABYTE && total < 10 * MEGABYTE, "written: {written:?}");
        assert_whole(&open(&host.path(root)));
    }
}

fn a_killed_load_leaves_a_valid_store(host: &Host) {
    let image = image(host);
    let total = {
        let store = open(&host.path("whole"));
        load(&store, &image);
        everything(&host.path("whole")).len()
    };
    for moment in 0..10 {
        let root = format!("killed-{moment}");
        let store = open(&host.path(&root));
        let mut child = loader(host, &root, &image).spawn().unwrap();
        // Not a time but a state: so many files are there.
        while child.try_wait().unwrap().is_none() && files(&host.path(&root)) < total * moment / 10 {}
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(store.list().unwrap().len() <= 1);
        let left = store.check().unwrap();
        store.reclaim(&left).unwrap();
        assert_eq!(store.check().unwrap(), [], "at moment {moment}");
        assert_eq!(count(&host.path(&root).join("tmp")), 0);
        load(&store, &image);
        assert_whole(&store);
        fs::remove_dir_all(host.path(&root)).unwrap();
    }
}

/// Counts what is below `folder` while another process makes and moves it.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| 1 + files(&entry.path())).sum()
}

fn work_under_way_is_no_leftover(host: &Host) {
    let store = open(&host.path("root"));
    let fifo = host.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut child = loader(host, "root", &fifo).spawn().unwrap();
    // The load waits in the middle: for the writer, and then for what it does not write.
    let writer = fs::File::options().write(true).open(&fifo).unwrap();
    testkit::until("the load's folder", || (count(&host.path("root/tmp")) == 1).then_some(()));
    assert_eq!(store.check().unwrap(), []);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(writer);
    let left = store.check().unwrap();
    assert!(matches!(left[..], [Leftover::Work(_)]), "{left:?}");
    store.reclaim(&left).unwrap();
    assert_eq!(store.check().unwrap(), []);
}

fn a_layer_that_no_image_has_is_not_trusted(host: &Host) {
    let image = image(host);
    let whole = open(&host.path("whole"));
    load(&whole, &image);
    let layers = whole.resolve("big").unwrap().layers;
    let store = open(&host.path("root"));
    // As after a power cut: the folder is there, its files are not.
    for layer in &layers {
        fs::create_dir(host.path("root/layers").join(layer.file_name().unwrap())).unwrap();
    }
    assert_eq!(store.check().unwrap().len(), 2);
    load(&store, &image);
    assert_whole(&store);
}

fn a_full_disk_is_said_and_leaves_a_valid_store(host: &Host) {
    let disk = host.folder("disk");
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=4m")).unwrap();
    let store = open(&disk.join("root"));
    let before = everything(&disk);
    let error = store.load(Source::Path(&image(host))).unwrap_err();
    assert!(error.to_string().ends_with("write the file: no space left on device (ENOSPC)"), "{error}");
    assert!(error.help().unwrap().starts_with("free some space"));
    assert_eq!(everything(&disk), before);
    let small = layout(&host.path("small"), "small", &[Blob::plain(Layer::default().file("f", b"").end())]);
    load(&store, &small);
    assert!(store.resolve("small").is_ok() && matches!(store.resolve("big"), Err(Error::NoSuchImage { .. })));
    umount(&disk).unwrap();
}

fn a_user_namespace_keeps_what_it_can(host: &Host) {
    let layer = Layer::default()
        .folder("d/")
        .file("d/.wh..wh..opq", b"")
        .file(".wh.gone", b"")
        .raw(b'0', b"owned", b"", b"content", |header| header.set_uid(12))
        .raw(b'3', b"null", b"", b"", |header| {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        });
    let image = layout(&host.path("image"), "box", &[Blob::gzip(&layer.end())]);
    let mut command = host.command("/usr/bin/unshare");
    command.args(["--user", "--map-root-user"]).arg(std::env::current_exe().unwrap()).arg("load");
    let said = host.run(command.arg(host.path("root")).arg(&image)).ok();
    assert!(said.starts_with("skipped null: device 1:3: not possible in a user namespace\n"), "{said}");
    let layer = &open(&host.path("root")).resolve("box").unwrap().layers[0];
    assert_eq!(fs::metadata(layer.join("owned")).unwrap().uid(), 0);
    assert!(!layer.join("null").exists());
    let gone = fs::symlink_metadata(layer.join("gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let folder = std::ffi::CString::new(layer.join("d").to_str().unwrap()).unwrap();
    assert_eq!(sys::xattr::get(&folder, c"user.overlay.opaque").unwrap(), b"y");
}

fn demo_needs_no_root(host: &Host) {
    let mut command = host.command("/usr/bin/unshare");
    command.args(["--user", "--map-root-user"]).arg(std::env::current_exe().unwrap()).arg("demo");
    let digest = host.run(command.arg(host.path("rootless"))).ok();
    let demo = open(&host.path("root")).ensure_demo().unwrap();
    assert_eq!(digest.trim(), demo.manifest.to_string());
}
