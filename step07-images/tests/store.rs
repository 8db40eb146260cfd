//! The store against skopeo and umoci: what they write it reads, what it writes they read.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod common;

use common::{Blob, Layer, count, layout};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use oci_spec::image::ConfigBuilder;
use std::path::{Path, PathBuf};
use step07_images::{Digest, Error, Image, Source, Store};
use testkit::{BUSYBOX, Host, Need};

const SKOPEO: Need = Need::Program("skopeo", "skopeo");
const UMOCI: Need = Need::Program("umoci", "umoci");

testkit::suite! {
    demo_is_made_once_and_is_reproducible: [BUSYBOX],
    an_oci_layout_of_skopeo_is_loaded_and_read_back: [Need::Root, BUSYBOX, SKOPEO],
    a_docker_archive_of_skopeo_is_loaded: [Need::Root, BUSYBOX, SKOPEO],
    umoci_unpacks_the_store: [Need::Root, BUSYBOX, UMOCI],
    a_nested_index_gives_this_platforms_image: [],
    an_image_is_found_by_name_digest_and_id: [],
    a_name_moves_to_the_newer_image: [],
    removing_a_name_keeps_the_image_until_the_last: [],
    removing_an_image_keeps_what_others_share: [],
    an_image_in_use_is_kept: [],
    a_tarball_is_imported_with_its_configuration: [],
    demo_without_busybox_runs_the_hosts_own_shell: [Need::Root],
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

/// Loads an image of plain layers, each with one file of that name and content.
fn small(host: &Host, store: &Store, name: &str, layers: &[&str]) -> Image {
    let blobs: Vec<_> =
        layers.iter().map(|file| Blob::plain(Layer::default().file(file, file.as_bytes()).end())).collect();
    let from = layout(&host.path(&format!("layout-{name}")), name, &blobs);
    store.load(Source::Path(&from)).unwrap().images.remove(0)
}

fn free(_: &Digest) -> Vec<String> {
    Vec::new()
}

fn an_image_is_found_by_name_digest_and_id(host: &Host) {
    let store = open(host, "root");
    let image = small(host, &store, "box:1", &["a", "b"]);
    let other = small(host, &store, "other", &["a"]);
    let by_digest = format!("box@{}", image.manifest);
    let (id, full) = (image.id.short(), image.id.to_string());
    for reference in ["box:1", "docker.io/library/box:1", &by_digest, &id, &full, &image.id.hex()] {
        assert_eq!(store.resolve(reference).unwrap().id, image.id, "{reference}");
    }
    assert_eq!(image.layers.len(), 2);
    assert_eq!(std::fs::read_to_string(image.layers[1].join("b")).unwrap(), "b");
    for missing in ["box", "box:2", &format!("other@{}", image.manifest), "0000", &id[..3]] {
        assert!(matches!(store.resolve(missing), Err(Error::NoSuchImage { .. })), "{missing}");
    }
    assert!(matches!(store.resolve("Box:"), Err(Error::Reference { .. })));
    assert_eq!(store.list().unwrap().len(), 2);
    assert_ne!(other.id, image.id);
}

fn a_name_moves_to_the_newer_image(host: &Host) {
    let store = open(host, "root");
    let old = small(host, &store, "box", &["a"]);
    small(host, &store, "new", &["b"]);
    store.tag("new", "box").unwrap();
    assert_eq!(store.resolve("box").unwrap().names, ["box:latest", "new:latest"]);
    assert_eq!(store.resolve(&old.id.hex()).unwrap().names, [""; 0]);
    assert!(store.tag("new", &format!("box@{}", old.id)).is_err());
    assert!(matches!(store.tag("nothing", "x"), Err(Error::NoSuchImage { .. })));
}

fn removing_a_name_keeps_the_image_until_the_last(host: &Host) {
    let store = open(host, "root");
    let image = small(host, &store, "box", &["a", "b"]);
    store.tag("box", "second:2").unwrap();
    let id = image.id.hex();
    assert!(matches!(store.remove(&id, false, &free), Err(Error::SeveralNames { .. })));
    assert_eq!(store.remove("box", false, &free).unwrap().to_string(), "Untagged: box:latest\n");
    assert!(image.layers[0].is_dir());
    let removed = store.remove("second:2", false, &free).unwrap();
    let layers: Vec<_> =
        image.config.rootfs().diff_ids().iter().rev().map(|layer| format!("Deleted: {layer}\n")).collect();
    assert_eq!(removed.to_string(), format!("Untagged: second:2\nDeleted: {}\n{}", image.id, layers.concat()));
    assert_eq!(count(&host.path("root/layers")), 0);
    assert_eq!(count(&host.path("root/images/blobs/sha256")), 0);
    assert!(matches!(store.remove("box", true, &free), Err(Error::NoSuchImage { .. })));
}

fn removing_an_image_keeps_what_others_share(host: &Host) {
    let store = open(host, "root");
    let image = small(host, &store, "box", &["a", "b"]);
    let other = small(host, &store, "other", &["a", "c"]);
    let removed = store.remove(&image.id.short(), false, &free).unwrap();
    assert_eq!((removed.untagged, removed.deleted.len()), (vec!["box:latest".to_owned()], 2));
    assert!(image.layers[0].is_dir() && !image.layers[1].exists());
    assert_eq!(store.resolve("other").unwrap(), other);
    assert_eq!(store.check().unwrap(), []);
}

fn an_image_in_use_is_kept(host: &Host) {
    let store = open(host, "root");
    let image = small(host, &store, "box", &["a"]);
    let used = |id: &Digest| {
        if *id == image.id { vec!["web".to_owned()] } else { Vec::new() }
    };
    let error = store.remove("box", false, &used).unwrap_err();
    assert_eq!(error.to_string(), "image `box:latest` is used by web");
    assert_eq!(store.remove("box", true, &used).unwrap().to_string(), "Untagged: box:latest\n");
    assert_eq!(store.resolve(&image.id.hex()).unwrap().layers, image.layers);
    store.remove(&image.id.hex(), false, &free).unwrap();
    assert!(!image.layers[0].exists());
}

fn a_tarball_is_imported_with_its_configuration(host: &Host) {
    let store = open(host, "root");
    let tar = Layer::default().file("f", b"content").end();
    let config = ConfigBuilder::default().cmd(vec!["/f".to_owned()]).build().unwrap();
    for (number, bytes) in [tar.clone(), common::gzip(&tar), zstd::encode_all(&tar[..], 1).unwrap()].iter().enumerate()
    {
        let name = format!("box:{number}");
        let source = Source::Stream(&mut &bytes[..]);
        store.import(source, Some(&name.parse().unwrap()), config.clone()).unwrap();
        let image = store.resolve(&name).unwrap();
        assert_eq!(std::fs::read_to_string(image.layers[0].join("f")).unwrap(), "content");
        assert_eq!(image.config.config().as_ref(), Some(&config));
        assert_eq!(image.size, 7);
    }
    assert_eq!(count(&host.path("root/layers")), 1);
    let untagged = store.import(Source::Stream(&mut &tar[..]), None, config).unwrap().images.remove(0);
    assert_eq!(store.resolve(&untagged.id.hex()).unwrap().layers, untagged.layers);
}

fn demo_without_busybox_runs_the_hosts_own_shell(host: &Host) {
    // Hide every busybox of the machine: an empty file in its place.
    let empty = host.path("empty");
    std::fs::write(&empty, "").unwrap();
    let places =
        ["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin"].map(|folder| Path::new(folder).join("busybox"));
    let hidden: Vec<_> = places.iter().filter(|place| place.exists()).collect();
    for busybox in &hidden {
        mount(Some(&empty), *busybox, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    let demo = open(host, "root").ensure_demo().unwrap();
    let script = "ls / && cat /etc/os-release && id -u";
    let root = &demo.layers[0];
    let output = host.run(host.command("/usr/sbin/chroot").arg(root).args(["/bin/sh", "-c", script])).ok();
    assert!(output.contains("NAME=\"tara demo\"") && output.ends_with("\n0\n"), "{output}");
    hidden.into_iter().rev().for_each(|busybox| nix::mount::umount(busybox).unwrap());
}

fn a_nested_index_gives_this_platforms_image(host: &Host) {
    let store = open(host, "root");
    let blob = Blob::gzip(&Layer::default().file("f", b"ours").end());
    let from = layout(&host.path("layout"), "box", &[blob]);
    let index = std::fs::read_to_string(from.join("index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let mut ours = index["manifests"][0].clone();
    ours["platform"] = serde_json::json!({"os": "linux", "architecture": sys::arch::OCI_ARCHITECTURE});
    // First the image of a machine that is not this one, whose manifest is not even there.
    let other = serde_json::json!({
        "mediaType": ours["mediaType"], "size": 2, "digest": Digest::of(b"other").to_string(),
        "platform": {"os": "linux", "architecture": "mips64le"},
    });
    let nested = serde_json::json!({"schemaVersion": 2, "manifests": [other, ours]}).to_string();
    let digest = Digest::of(nested.as_bytes());
    std::fs::write(from.join("blobs/sha256").join(digest.hex()), &nested).unwrap();
    let entry = &mut index["manifests"][0];
    entry["mediaType"] = "application/vnd.docker.distribution.manifest.list.v2+json".into();
    entry["digest"] = digest.to_string().into();
    entry["size"] = nested.len().into();
    std::fs::write(from.join("index.json"), index.to_string()).unwrap();
    let image = store.load(Source::Path(&from)).unwrap().images.remove(0);
    assert_eq!(image.names, ["box:latest"]);
    assert_eq!(std::fs::read_to_string(image.layers[0].join("f")).unwrap(), "ours");
}
