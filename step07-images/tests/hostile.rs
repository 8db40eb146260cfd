//! Images with an enemy as their author: each is refused by name, and nothing of it stays.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod common;

use common::{Blob, GZIP, Layer, TAR, count, everything, gzip, layout, open};
use std::fs;
use step07_images::{Digest, Limits, Source};
use testkit::{Host, Need};

testkit::suite! {
    hostile_layers_are_refused_by_name_and_leave_nothing: [Need::Root],
    a_hostile_second_layer_takes_the_first_back: [Need::Root],
    an_index_without_this_platform_is_refused: [],
    a_docker_archive_cannot_name_files_outside_of_it: [],
}

/// Small bounds: a bomb need not be large to go off.
const LIMITS: Limits = Limits { entries: 50, depth: 8, bytes: 1 << 20, ratio: 100, ratio_free: 1 << 16 };

fn cases() -> Vec<(&'static str, Blob)> {
    let layer = Layer::default;
    let plain = |layer: Layer| Blob::plain(layer.end());
    let honest = || Layer::default().folder("d/").file("d/f", b"honest").end();
    let entry = |name: &str| Layer::default().file("first", b"1").file(name, b"evil");
    let whiteout = |name: &str| plain(Layer::default().folder("d/").file(name, b""));
    let pax = |key, value: &[u8]| plain(Layer::default().pax(key, value).file("f", b"evil"));
    let number = |change: fn(&mut tar::Header)| plain(Layer::default().raw(b'0', b"f", b"", b"", change));
    let other = Digest::of(b"something else");
    let cut = honest()[..512 * 2 + 3].to_vec();
    let zeros = vec![0; 1 << 18];
    vec![
        ("dot dot", plain(entry("../evil"))),
        ("dot dot inside", plain(entry("a/b/../../../evil"))),
        ("absolute", plain(entry("/run/testkit/evil"))),
        ("empty name", plain(entry(""))),
        ("write through a symlink", plain(layer().symlink("d", "/run/testkit/outside").file("d/evil", b"evil"))),
        ("write through a relative symlink", plain(layer().symlink("d", "../../../..").file("d/evil", b"evil"))),
        (
            "write through a symlink that replaced a directory",
            plain(layer().folder("d/").file("d/f", b"").symlink("d", "/run/testkit/outside").file("d/evil", b"evil")),
        ),
        (
            "write through a symlink to the layer itself",
            plain(layer().folder("e/").symlink("d", "e").file("d/evil", b"evil")),
        ),
        ("write below a file", plain(layer().file("d", b"").file("d/evil", b"evil"))),
        ("the root as a symlink", plain(layer().symlink("./", "/run/testkit/outside"))),
        ("a symlink to nothing", plain(layer().symlink("d", ""))),
        ("hard link outside", plain(layer().hard_link("h", "../../../outside/canary"))),
        ("hard link absolute", plain(layer().hard_link("h", "/run/testkit/outside/canary"))),
        ("hard link through a symlink", plain(layer().symlink("d", "/run/testkit/outside").hard_link("h", "d/canary"))),
        ("hard link to nothing", plain(layer().hard_link("h", "canary"))),
        ("hard link to a directory", plain(layer().folder("d/").hard_link("h", "d"))),
        ("hard link to itself", plain(layer().file("h", b"1").hard_link("h", "./h"))),
        ("hard link to a whiteout", plain(layer().file(".wh.w", b"").hard_link("h", "w"))),
        ("whiteout of its directory", whiteout("d/.wh..")),
        ("whiteout of the parent", whiteout("d/.wh...")),
        ("whiteout of nothing", whiteout("d/.wh.")),
        ("whiteout through a symlink", plain(layer().symlink("d", "/run/testkit/outside").file("d/.wh.canary", b""))),
        ("opaque through a symlink", plain(layer().symlink("d", "/run/testkit/outside").file("d/.wh..wh..opq", b""))),
        ("below a whiteout", whiteout(".wh.d/evil")),
        ("whiteout as a directory", plain(layer().folder(".wh.d/"))),
        (
            "a device that is a whiteout",
            plain(layer().raw(b'3', b"w", b"", b"", |header| {
                header.set_device_major(0).unwrap();
                header.set_device_minor(0).unwrap();
            })),
        ),
        ("overlayfs redirect", pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc")),
        ("overlayfs opaque", pax("SCHILY.xattr.user.overlay.opaque", b"y")),
        ("zero byte", pax("path", b"a\0b")),
        ("pax path outside", pax("path", b"../evil")),
        (
            "pax record of a wrong length",
            plain(layer().raw(b'x', b"pax", b"", b"99 path=evil\n", |_| {}).file("f", b"")),
        ),
        ("pax sparse file", pax("GNU.sparse.major", b"1")),
        ("two long names", plain(layer().raw(b'L', b"l", b"", b"long\0", |_| {}).pax("path", b"other").file("f", b""))),
        ("two extended headers", plain(layer().pax("path", b"a").pax("path", b"b").file("f", b""))),
        ("endless long name", plain(layer().raw(b'L', b"l", b"", b"", |header| header.set_size(1 << 40)))),
        (
            "endless sparse file",
            number(|header| {
                header.set_entry_type(tar::EntryType::GNUSparse);
                header.as_gnu_mut().unwrap().set_real_size(1 << 50);
            }),
        ),
        ("owner -1", number(|header| header.set_uid(u64::from(u32::MAX)))),
        ("owner of 64 bits", number(|header| header.set_uid(1 << 40))),
        ("unknown type", number(|header| header.set_entry_type(tar::EntryType::new(b'Z')))),
        ("size that is no number", number(|header| header.as_gnu_mut().unwrap().size = *b"evil evil ev")),
        (
            "wrong checksum",
            Blob::plain({
                let mut tar = honest();
                tar[700] = b'!';
                tar
            }),
        ),
        ("a link with content", plain(layer().raw(b'2', b"s", b"f", &[b'x'; 512], |_| {}))),
        (
            "entries after a single block of zeros",
            Blob::plain({
                let first = layer().file("f", b"seen").0;
                [first, vec![0; 512], layer().file("g", b"evil").end()].concat()
            }),
        ),
        ("an escape sequence in a name", plain(entry("../\x1b]0;evil\x07"))),
        ("too deep", plain(entry("1/2/3/4/5/6/7/8/9"))),
        ("too many entries", plain((0..60).fold(layer(), |layer, number| layer.file(&number.to_string(), b"")))),
        ("too large", plain((0..9).fold(layer(), |layer, number| layer.file(&number.to_string(), &zeros)))),
        ("bomb of gzip", Blob::gzip(&layer().file("bomb", &zeros).end())),
        ("bomb of zstd after the end of the tar", Blob::zstd(&[layer().end(), zeros.clone()].concat())),
        ("truncated", Blob::plain(cut.clone())),
        ("truncated gzip", {
            let whole = gzip(&honest());
            Blob::packed(&honest(), whole[..whole.len() / 2].to_vec(), GZIP)
        }),
        ("wrong digest", Blob { digest: other, ..Blob::plain(honest()) }),
        ("more bytes than promised", Blob { size: 2048, ..Blob::plain(honest()) }),
        ("fewer bytes than promised", Blob { size: 1 << 30, ..Blob::plain(honest()) }),
        ("wrong diff-id", Blob { diff_id: other, ..Blob::gzip(&honest()) }),
        ("gzip that is called a tar", Blob { media_type: TAR, ..Blob::gzip(&honest()) }),
        ("tar that is called gzip", Blob { media_type: GZIP, ..Blob::plain(honest()) }),
        ("xz", Blob::packed(&honest(), b"\xfd7zXZ\0evil".to_vec(), GZIP)),
        ("not a layer at all", Blob { media_type: "text/html", ..Blob::plain(honest()) }),
    ]
}

fn hostile_layers_are_refused_by_name_and_leave_nothing(host: &Host) {
    fs::write(host.folder("outside").join("canary"), "alive").unwrap();
    let store = open(&host.path("root")).with_limits(LIMITS);
    let before = everything(&host.path(""));
    let mut messages = String::new();
    for (name, blob) in cases() {
        let image = layout(&host.path("image"), "evil", &[blob]);
        let error = store.load(Source::Path(&image)).expect_err(name);
        fs::remove_dir_all(image).unwrap();
        assert_eq!(everything(&host.path("")), before, "{name} left something: {error}");
        let help = error.help().map(|help| format!("  help: {help}\n")).unwrap_or_default();
        messages += &format!("{name}\n  {error}\n{help}");
    }
    let digest = [(r"[0-9a-f]{64}", "<digest>")];
    insta::with_settings!({ filters => digest, omit_expression => true }, { insta::assert_snapshot!("hostile", messages) });
}

fn a_hostile_second_layer_takes_the_first_back(host: &Host) {
    let store = open(&host.path("root"));
    let good = Blob::gzip(&Layer::default().file("f", b"good").end());
    let evil = Blob::gzip(&Layer::default().file("../f", b"evil").end());
    let image = layout(&host.path("image"), "evil", &[good.clone(), evil]);
    assert!(store.load(Source::Path(&image)).is_err());
    assert_eq!(count(&host.path("root/layers")), 0);
    assert_eq!(count(&host.path("root/tmp")), 0);
    assert_eq!(count(&host.path("root/images/blobs/sha256")), 0);
    let image = layout(&host.path("good"), "good", &[good]);
    let loaded = store.load(Source::Path(&image)).unwrap();
    assert_eq!(fs::read_to_string(loaded.images[0].layers[0].join("f")).unwrap(), "good");
}

fn an_index_without_this_platform_is_refused(host: &Host) {
    let store = open(&host.path("root"));
    let image = layout(&host.path("image"), "box", &[Blob::plain(Layer::default().file("f", b"").end())]);
    let index = fs::read_to_string(image.join("index.json")).unwrap();
    let platform = r#""platform":{"os":"linux","architecture":"s390x"},"size""#;
    fs::write(image.join("index.json"), index.replacen(r#""size""#, platform, 1)).unwrap();
    let error = store.load(Source::Path(&image)).unwrap_err();
    let wanted = format!(
        "no matching manifest for linux/{} in the index of `box`: it has linux/s390x",
        sys::arch::OCI_ARCHITECTURE
    );
    assert_eq!(error.to_string(), wanted);
}

fn a_docker_archive_cannot_name_files_outside_of_it(host: &Host) {
    let store = open(&host.path("root"));
    fs::write(host.path("secret"), "{}").unwrap();
    let folder = host.folder("archive");
    for config in ["../secret", "/run/testkit/secret", "link"] {
        let _there = std::os::unix::fs::symlink("/run/testkit/secret", folder.join("link"));
        fs::write(folder.join("manifest.json"), format!(r#"[{{"Config":"{config}","RepoTags":null,"Layers":[]}}]"#))
            .unwrap();
        let error = store.load(Source::Path(&folder)).unwrap_err();
        assert!(error.to_string().contains("has no"), "{config}: {error}");
    }
}
