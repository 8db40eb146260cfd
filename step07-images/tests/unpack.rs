//! Unpacked layers against GNU tar and umoci, entry by entry.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod common;

use common::{Blob, Layer, layout, open};
use nix::mount::{MsFlags, mount, umount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};
use step07_images::{Digest, Image, Source};
use testkit::{Host, Need};

const XZ: Need = Need::Program("xz", "xz-utils");
const UMOCI: Need = Need::Program("umoci", "umoci");
const DPKG: Need = Need::Program("dpkg", "dpkg");

testkit::suite! {
    every_kind_of_entry_is_as_gnu_tar_unpacks_it: [Need::Root],
    an_imported_folder_is_the_folder: [Need::Root],
    whiteouts_and_opaque_folders_are_as_umoci_applies_them: [Need::Root, UMOCI],
    files_of_packages_are_as_umoci_unpacks_them: [Need::Root, UMOCI, DPKG],
    a_whiteout_speaks_of_the_layers_below_only: [Need::Root],
    later_entries_replace_earlier_ones: [Need::Root],
    gzip_zstd_and_plain_layers_are_the_same: [Need::Root],
    every_compression_of_an_archive_is_loaded_also_as_a_stream: [Need::Root, XZ],
    layers_of_a_docker_archive_may_be_compressed_with_anything: [Need::Root, XZ],
    numbers_that_are_left_out_are_zero: [Need::Root],
}

/// What a tool can see of an entry.
type Entries = BTreeMap<String, String>;

fn entries(root: &Path) -> Entries {
    let mut entries = Entries::new();
    let mut links = HashMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let data = fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let content = match () {
            () if data.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
            () if data.is_file() => Digest::of(&fs::read(&path).unwrap()).short(),
            () => format!("{:x}", data.rdev()),
        };
        if !data.is_dir() && data.nlink() > 1 {
            links.entry(data.ino()).or_insert_with(Vec::new).push(name.clone());
        }
        let line = format!(
            "{:o} {}:{} {}.{:09} {content} {}",
            data.mode(),
            data.uid(),
            data.gid(),
            data.mtime(),
            data.mtime_nsec(),
            attributes(&path)
        );
        entries.insert(name, line);
    }
    // overlayfs counts names that a higher layer hides.
    for mut names in links.into_values().filter(|names: &Vec<String>| names.len() > 1) {
        names.sort();
        entries.insert(format!("same file: {}", names.join(" ")), String::new());
    }
    entries
}

fn assert_same(ours: &Entries, theirs: &Entries, what: &str) {
    let only = |these: &Entries, those: &Entries| -> Vec<String> {
        let differs = these.iter().filter(|(name, line)| those.get(*name) != Some(line));
        differs.map(|(name, line)| format!("{name}: {line}")).collect()
    };
    assert_eq!(only(ours, theirs), only(theirs, ours), "{what}");
    assert!(ours.len() > 5);
}

fn attributes(path: &Path) -> String {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut names = sys::xattr::list(&path).unwrap();
    names.retain(|name| !name.starts_with(b"trusted.overlay."));
    names.sort();
    let value = |name: Vec<u8>| {
        let name = CString::new(name).unwrap();
        format!("{name:?}={:02x?}", sys::xattr::get(&path, &name).unwrap())
    };
    names.into_iter().map(value).collect::<Vec<_>>().join(",")
}

fn set_attribute(path: &Path, name: &CStr, value: &[u8]) {
    sys::xattr::set(File::open(path).unwrap(), name, value).unwrap();
}

/// A tree with every kind of entry.
fn tree(host: &Host) -> std::path::PathBuf {
    let root = host.folder("tree");
    let long = "long-".repeat(30);
    fs::create_dir_all(root.join("d/e")).unwrap();
    fs::create_dir_all(root.join(&long)).unwrap();
    fs::write(root.join("plain"), "content").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join(&long).join(&long), vec![7; 300_000]).unwrap();
    fs::write(root.join("d/setuid"), "program").unwrap();
    lchown(root.join("d/setuid"), Some(12), Some(34)).unwrap();
    fs::set_permissions(root.join("d/setuid"), fs::Permissions::from_mode(0o6751)).unwrap();
    fs::set_permissions(root.join("d/e"), fs::Permissions::from_mode(0o1777)).unwrap();
    lchown(root.join("d/e"), Some(3_000_000), Some(4_000_000_000)).unwrap();
    fs::hard_link(root.join("plain"), root.join("d/second")).unwrap();
    symlink("../plain", root.join("d/link")).unwrap();
    symlink(format!("/nowhere/{long}"), root.join("dangling")).unwrap();
    lchown(root.join("dangling"), Some(5), Some(6)).unwrap();
    fs::hard_link(root.join("dangling"), root.join("dangling-too")).unwrap();
    let mode = Mode::from_bits_truncate(0o640);
    mknod(&root.join("fifo"), SFlag::S_IFIFO, mode, 0).unwrap();
    mknod(&root.join("null"), SFlag::S_IFCHR, mode, makedev(1, 3)).unwrap();
    mknod(&root.join("disk"), SFlag::S_IFBLK, mode, makedev(259, 70_000)).unwrap();
    set_attribute(&root.join("plain"), c"user.with-newline", b"a\n12 path=evil\n");
    // cap_net_raw+ep, revision 2; the rootid of a revision 3 is no business of a layer.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set_attribute(&root.join("d/setuid"), c"security.capability", &capability);
    set_attribute(&root.join("d"), c"trusted.mine", b"yes");
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_at(b"end", 5 << 20).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for path in ["plain", "d/setuid", "d/e", "d", ""] {
        File::open(root.join(path)).unwrap().set_modified(then).unwrap();
    }
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::new(100, 250_000_000);
    File::open(root.join("empty")).unwrap().set_modified(before_1970).unwrap();
    root
}

fn gnu_tar(host: &Host, arguments: &[&str]) {
    let _said = host
        .run(host.command("/usr/bin/tar").args(["--xattrs", "--xattrs-include=*", "--numeric-owner"]).args(arguments))
        .ok();
}

fn load(host: &Host, name: &str, layers: &[Blob]) -> Image {
    let image = layout(&host.path("layout"), name, layers);
    let mut loaded = open(&host.path("root")).load(Source::Path(&image)).unwrap();
    assert_eq!(loaded.skipped, []);
    loaded.images.remove(0)
}

fn every_kind_of_entry_is_as_gnu_tar_unpacks_it(host: &Host) {
    let root = tree(host);
    let (tree, tar) = (root.to_str().unwrap(), host.path("tree.tar"));
    for form in ["--format=pax", "--format=gnu"] {
        let tar = tar.to_str().unwrap();
        let xattrs = if form == "--format=gnu" { "--no-xattrs" } else { "--xattrs" };
        gnu_tar(host, &[form, xattrs, "-C", tree, "-cf", tar, "."]);
        let image = load(host, "tree", &[Blob::plain(fs::read(tar).unwrap())]);
        let theirs = host.folder(form);
        gnu_tar(host, &["-C", theirs.to_str().unwrap(), "--same-owner", "-xpf", tar]);
        let (ours, theirs) = (entries(&image.layers[0]), entries(&theirs));
        assert_same(&ours, &theirs, form);
        if form == "--format=pax" {
            assert_same(&ours, &entries(&root), "the tree itself");
        }
    }
    // The old GNU form of a sparse file: its holes are not in the tar.
    let tar = tar.to_str().unwrap();
    gnu_tar(host, &["--format=gnu", "--no-xattrs", "--sparse", "-C", tree, "-cf", tar, "sparse"]);
    assert!(fs::metadata(tar).unwrap().len() < 100_000);
    let image = load(host, "sparse", &[Blob::plain(fs::read(tar).unwrap())]);
    let unpacked = image.layers[0].join("sparse");
    assert_eq!(fs::read(&unpacked).unwrap(), fs::read(root.join("sparse")).unwrap());
    assert!(fs::metadata(unpacked).unwrap().blocks() < 100);
}

fn an_imported_folder_is_the_folder(host: &Host) {
    let root = tree(host);
    let before = entries(&root);
    let store = open(&host.path("root"));
    let name = "tree".parse().unwrap();
    let image = store.import(Source::Path(&root), Some(&name), Default::default()).unwrap().images.remove(0);
    assert_same(&entries(&image.layers[0]), &before, "the folder");
    // The same folder again, into another store: the same layer and blob, bit by bit.
    let other = open(&host.path("other"));
    let again = other.import(Source::Path(&root), Some(&name), Default::default()).unwrap().images.remove(0);
    assert_eq!(again.config.rootfs(), image.config.rootfs());
}

/// Three layers: the tree, one that deletes and replaces, one that brings back.
fn three_layers(host: &Host) -> Vec<Blob> {
    let root = tree(host);
    let tar = host.path("base.tar");
    gnu_tar(host, &["--format=pax", "-C", root.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]);
    let deletes = Layer::default()
        .folder("./")
        .file(".wh.plain", b"")
        .file(".wh.fifo", b"")
        .file(".wh.never-there", b"")
        .folder("d/")
        .file("d/.wh.link", b"")
        .folder("d/e/")
        .file("d/e/new", b"new")
        .file("dangling", b"now a file")
        .folder("null/")
        .file("null/inside", b"a device became a folder");
    let returns = Layer::default()
        .folder("./")
        .file("plain", b"is back")
        .folder("d/")
        .file("d/.wh..wh..opq", b"")
        .file("d/only", b"the only one")
        .file(".wh.null", b"");
    vec![Blob::gzip(&fs::read(tar).unwrap()), Blob::zstd(&deletes.end()), Blob::gzip(&returns.end())]
}

/// The layers as a container sees them.
fn merged(host: &Host, image: &Image) -> Entries {
    let at = host.folder("merged");
    let lower: Vec<_> = image.layers.iter().rev().map(|layer| layer.display().to_string()).collect();
    let options = format!("lowerdir={}", lower.join(":"));
    mount(Some("overlay"), &at, Some("overlay"), MsFlags::MS_RDONLY, Some(options.as_str())).unwrap();
    let entries = entries(&at);
    umount(&at).unwrap();
    entries
}

fn whiteouts_and_opaque_folders_are_as_umoci_applies_them(host: &Host) {
    // umoci 0.4 knows no zstd; the layers are the same.
    let mut layers = three_layers(host);
    let tar = zstd::decode_all(&layers[1].bytes[..]).unwrap();
    layers[1] = Blob::gzip(&tar);
    let (ours, _) = both(host, &layers);
    assert!(!ours.contains_key("null") && !ours.contains_key("d/e") && ours.contains_key("d/only"));
}

/// The layers as this crate and as umoci unpack them, which has to be the same.
fn both(host: &Host, layers: &[Blob]) -> (Entries, Entries) {
    let image = load(host, "layers", layers);
    let bundle = host.path("bundle");
    let name = format!("{}:layers", host.path("layout").display());
    let _said = host.run(host.command("/usr/bin/umoci").args(["unpack", "--image", &name]).arg(&bundle)).ok();
    let (mut ours, mut theirs) = (merged(host, &image), entries(&bundle.join("rootfs")));
    // umoci marks what it unpacked with attributes of its own.
    for line in ours.values_mut().chain(theirs.values_mut()) {
        *line = line.split(",").filter(|part| !part.contains("user.umoci")).collect::<Vec<_>>().join(",");
    }
    assert_same(&ours, &theirs, "umoci");
    (ours, theirs)
}

/// What packages have installed here: setuid programs, links of both kinds, capabilities; a second layer repeats half of it.
fn files_of_packages_are_as_umoci_unpacks_them(host: &Host) {
    let layer = |name: &str, packages: &[&str]| {
        let (list, tar) = (host.path("list"), host.path(name));
        let files = host.run(host.command("/usr/bin/dpkg-query").arg("-L").args(packages)).ok();
        // `/bin` is a link, and nothing is unpacked through links.
        let there = |path: &&str| {
            let below = ["/usr", "/etc"].iter().any(|top| path.starts_with(top));
            below && fs::symlink_metadata(path).is_ok()
        };
        let mut files: Vec<&str> = files.lines().filter(there).collect();
        files.push(".");
        files.sort_unstable();
        files.dedup();
        fs::write(&list, files.join("\n")).unwrap();
        let arguments = ["--format=pax", "--no-recursion", "-C", "/", "-T"];
        gnu_tar(host, &[&arguments[..], &[list.to_str().unwrap(), "-cf", tar.to_str().unwrap()]].concat());
        Blob::gzip(&fs::read(tar).unwrap())
    };
    let layers = [layer("one.tar", &["passwd", "login", "mount", "perl-base"]), layer("two.tar", &["passwd", "tar"])];
    let (ours, _) = both(host, &layers);
    assert!(ours.len() > 500, "{} entries", ours.len());
}

fn a_whiteout_speaks_of_the_layers_below_only(host: &Host) {
    let base = Layer::default()
        .folder("d/")
        .file("d/old", b"")
        .folder("w/")
        .file("w/old", b"")
        .folder("x/")
        .file("x/old", b"");
    // Before the folder, after the folder, and with no entry for the folder at all.
    let top = Layer::default()
        .file(".wh.d", b"")
        .folder("d/")
        .file("d/new", b"")
        .folder("w/")
        .file("w/new", b"")
        .file(".wh.w", b"")
        .file(".wh.x", b"")
        .file("x/new", b"");
    let image = load(host, "whiteouts", &[Blob::plain(base.end()), Blob::plain(top.end())]);
    let names: Vec<_> = merged(host, &image).into_keys().collect();
    assert_eq!(names, ["", "d", "d/new", "w", "w/new", "x", "x/new"]);
}

fn later_entries_replace_earlier_ones(host: &Host) {
    fs::write(host.path("outside"), "alive").unwrap();
    let outside = host.path("outside");
    let layer = Layer::default()
        .folder("d/")
        .file("d/deep", b"1")
        .file("d", b"a file now")
        .symlink("s", outside.to_str().unwrap())
        .file("s", b"a file now")
        .file("f", b"1")
        .hard_link("h", "f")
        .file("f", b"2")
        .folder("e/")
        .file("e/kept", b"1")
        .folder("e/");
    let image = load(host, "twice", &[Blob::plain(layer.end())]);
    let read = |name: &str| fs::read_to_string(image.layers[0].join(name)).unwrap();
    assert_eq!((read("d"), read("s")), ("a file now".into(), "a file now".into()));
    assert_eq!((read("f"), read("h"), read("e/kept")), ("2".into(), "1".into(), "1".into()));
    assert_eq!(fs::read_to_string(outside).unwrap(), "alive");
}

fn gzip_zstd_and_plain_layers_are_the_same(host: &Host) {
    let tar = Layer::default().file("f", b"content").end();
    let layer = |name: &str, blob| load(host, name, &[blob]).layers;
    let plain = layer("plain", Blob::plain(tar.clone()));
    assert_eq!(plain, layer("gzip", Blob::gzip(&tar)));
    assert_eq!(plain, layer("zstd", Blob::zstd(&tar)));
    assert_eq!(common::count(&host.path("root/layers")), 1);
}

fn every_compression_of_an_archive_is_loaded_also_as_a_stream(host: &Host) {
    let folder = layout(&host.path("layout"), "box", &[Blob::gzip(&Layer::default().file("f", b"content").end())]);
    let tar = host.path("box.tar");
    gnu_tar(host, &["-C", folder.to_str().unwrap(), "-cf", tar.to_str().unwrap(), "."]);
    let plain = fs::read(&tar).unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    let forms = [plain.clone(), common::gzip(&plain), zstd, xz(host, &plain), bzip2(&plain)];
    for (number, bytes) in forms.iter().enumerate() {
        let file = host.path("archive");
        fs::write(&file, bytes).unwrap();
        for stream in [false, true] {
            let store = open(&host.path(&format!("root-{number}-{stream}")));
            let mut reader = &bytes[..];
            let source = if stream { Source::Stream(&mut reader) } else { Source::Path(&file) };
            let loaded = store.load(source).unwrap();
            assert_eq!(loaded.images[0].names, ["box:latest"]);
            assert_eq!(fs::read_to_string(loaded.images[0].layers[0].join("f")).unwrap(), "content");
        }
    }
}

fn xz(host: &Host, bytes: &[u8]) -> Vec<u8> {
    let plain = host.path("to-compress");
    fs::write(&plain, bytes).unwrap();
    let _said = host.run(host.command("/usr/bin/xz").arg("-f").arg(&plain)).ok();
    fs::read(plain.with_extension("xz")).unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    bzip2::read::BzEncoder::new(bytes, bzip2::Compression::best()).read_to_end(&mut packed).unwrap();
    packed
}

fn layers_of_a_docker_archive_may_be_compressed_with_anything(host: &Host) {
    let layer = |name: &str| Layer::default().file(name, b"content").end();
    let tars = [layer("plain"), layer("gzip"), layer("xz"), layer("bzip2")];
    let diff_ids: Vec<_> = tars.iter().map(|tar| Digest::of(tar).to_string()).collect();
    let config = serde_json::json!({
        "architecture": sys::arch::OCI_ARCHITECTURE, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": ["box:1"], "Layers": ["0", "1", "2", "3"]}]);
    let archive = Layer::default()
        .file("0", &tars[0])
        .file("1", &common::gzip(&tars[1]))
        .file("2", &xz(host, &tars[2]))
        .file("3", &bzip2(&tars[3]))
        .file("config.json", config.to_string().as_bytes())
        .file("manifest.json", manifest.to_string().as_bytes());
    let store = open(&host.path("root"));
    let image = store.load(Source::Stream(&mut &archive.end()[..])).unwrap().images.remove(0);
    for (layer, name) in image.layers.iter().zip(["plain", "gzip", "xz", "bzip2"]) {
        assert_eq!(fs::read_to_string(layer.join(name)).unwrap(), "content");
    }
    // What is kept is of a form that every tool reads.
    let kinds = store.parts(&image).unwrap().layers.into_iter().map(|layer| layer.media_type().to_string());
    assert_eq!(kinds.collect::<Vec<_>>(), [common::TAR, common::GZIP, common::TAR, common::TAR]);
    // A file system, and one that is cut.
    let packed = xz(host, &tars[0]);
    let imported = store.import(Source::Stream(&mut &packed[..]), None, Default::default()).unwrap().images.remove(0);
    assert_eq!(imported.layers[0], image.layers[0]);
    let cut = store.import(Source::Stream(&mut &packed[..packed.len() - 20]), None, Default::default());
    assert!(cut.is_err());
    let other = store.load(Source::Stream(&mut &xz(host, &xz(host, &archive_of_nothing()))[..]));
    assert!(other.is_err(), "twice compressed is no archive");
}

fn archive_of_nothing() -> Vec<u8> {
    Layer::default().file("x", b"").end()
}

fn numbers_that_are_left_out_are_zero(host: &Host) {
    let mut theirs = Entries::new();
    for (name, blank) in [("zeros", 0), ("blanks", b' ')] {
        let without = |header: &mut tar::Header| {
            let bytes = header.as_mut_bytes();
            for field in [100..108, 108..116, 116..124, 136..148, 329..337, 337..345] {
                bytes[field].fill(blank);
            }
        };
        let empty = |header: &mut tar::Header| header.as_mut_bytes()[124..136].fill(blank);
        let tar = Layer::default()
            .raw(b'0', b"file", b"", b"content", without)
            .raw(b'0', b"empty", b"", b"", empty)
            .raw(b'5', b"folder/", b"", b"", without)
            .raw(b'2', b"link", b"file", b"", without)
            .raw(b'0', b"a", b"", b"a", without)
            .raw(b'0', b"b", b"", b"b", without)
            .raw(b'0', b"c", b"", b"c", without)
            .end();
        let image = load(host, name, &[Blob::plain(tar.clone())]);
        let mut ours = entries(&image.layers[0]);
        // The root is in no tar.
        ours.remove("");
        if name == "zeros" {
            let (path, into) = (host.path("zeros.tar"), host.folder("theirs"));
            fs::write(&path, &tar).unwrap();
            gnu_tar(host, &["-C", into.to_str().unwrap(), "--same-owner", "-xpf", path.to_str().unwrap()]);
            theirs = entries(&into);
            theirs.remove("");
        }
        // GNU tar complains of blanks; Go's reader, docker's, takes them for zero too.
        assert_same(&ours, &theirs, name);
    }
}
