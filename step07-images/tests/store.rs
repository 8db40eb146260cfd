//! The store against skopeo and umoci: what they write it reads, what it writes they read.

use nix::sys::stat::Mode;
use std::path::{Path, PathBuf};
use step07_images::{Error, Source, Store};
use testkit::{BUSYBOX, Host, Need};

const SKOPEO: Need = Need::Program("skopeo", "skopeo");
const UMOCI: Need = Need::Program("umoci", "umoci");

testkit::suite! {
    demo_is_made_once_and_is_reproducible: [BUSYBOX],
    an_oci_layout_of_skopeo_is_loaded_and_read_back: [Need::Root, BUSYBOX, SKOPEO],
    a_docker_archive_of_skopeo_is_loaded: [Need::Root, BUSYBOX, SKOPEO],
    umoci_unpacks_the_store: [Need::Root, BUSYBOX, UMOCI],
}

fn open(host: &Host, name: &str) -> Store {
    let _mask = nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
    Store::open(&host.path(name)).unwrap()
}

fn demo_is_made_once_and_is_reproducible(host: &Host) {
    let first = open(host, "one").ensure_demo().unwrap();
    let again = open(host, "one").ensure_demo().unwrap();
    let other = open(host, "two").ensure_demo().unwrap();
    assert_eq!(first, again);
    assert_eq!((first.id, first.manifest), (other.id, other.manifest));
    assert_eq!(first.names, ["demo:latest"]);
    assert_eq!(first.config.config().as_ref().unwrap().cmd().as_ref().unwrap(), &["sh"]);
    let root = &first.layers[0];
    let output = host.run(host.command(root.join("bin/busybox")).args(["echo", "runs"])).ok();
    assert_eq!(output, "runs\n");
    assert_eq!(std::fs::read_link(root.join("bin/ls")).unwrap(), Path::new("busybox"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(root.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
}

/// An image of a busybox root, imported and copied out by skopeo as `kind` (`oci:…`, `docker-archive:…`).
fn copied_out(host: &Host, kind: &str) -> (Store, PathBuf) {
    let store = open(host, "first");
    let root = host.busybox_root("rootfs");
    store.import(Source::Path(&root), Some(&"box:1".parse().unwrap()), Default::default()).unwrap();
    let copy = host.path("copy");
    let from = format!("oci:{}:box:1", store.images_dir().display());
    let to = format!("{kind}:{}:box:2", copy.display());
    let _output = host.run(host.command("/usr/bin/skopeo").args(["--insecure-policy", "copy", &from, &to])).ok();
    (store, copy)
}

fn an_oci_layout_of_skopeo_is_loaded_and_read_back(host: &Host) {
    let (first, copy) = copied_out(host, "oci");
    let store = open(host, "second");
    let loaded = store.load(Source::Path(&copy)).unwrap();
    assert_eq!(loaded.images[0].names, ["box:2"]);
    let image = store.resolve("box:2").unwrap();
    assert_eq!(image.id, first.resolve("box:1").unwrap().id);
    assert!(image.layers[0].join("bin/sh").exists());
    let inspect = format!("oci:{}:box:2", store.images_dir().display());
    let output = host.run(host.command("/usr/bin/skopeo").args(["inspect", &inspect])).ok();
    assert!(output.contains(&image.manifest.to_string()), "{output}");
}

fn a_docker_archive_of_skopeo_is_loaded(host: &Host) {
    let (first, copy) = copied_out(host, "docker-archive");
    let store = open(host, "second");
    store.load(Source::Path(&copy)).unwrap();
    let image = store.resolve("box:2").unwrap();
    assert_eq!(image.layers[0].file_name(), first.resolve("box:1").unwrap().layers[0].file_name());
    assert!(matches!(store.resolve("box:1"), Err(Error::NoSuchImage { .. })));
}

fn umoci_unpacks_the_store(host: &Host) {
    let store = open(host, "store");
    store
        .import(Source::Path(&host.busybox_root("rootfs")), Some(&"box".parse().unwrap()), Default::default())
        .unwrap();
    let image = format!("{}:box:latest", store.images_dir().display());
    let bundle = host.path("bundle");
    let _output = host.run(host.command("/usr/bin/umoci").args(["unpack", "--image", &image]).arg(&bundle)).ok();
    assert!(bundle.join("rootfs/bin/busybox").exists());
}
