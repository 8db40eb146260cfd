//! Images from other tools' hands: loaded in every form that they write, run, listed, removed; hostile ones refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::{BUSYBOX, Fixture, Host, Need, Output};

const SKOPEO: Need = Need::Program("skopeo", "skopeo");
const UMOCI: Need = Need::Program("umoci", "umoci");
const DEBOOTSTRAP: Need = Need::Program("debootstrap", "debootstrap");
const MINUTES: Need = Need::Time(Duration::from_secs(180));
const MINBASE: Fixture =
    Fixture { path: concat!(env!("CARGO_TARGET_TMPDIR"), "/debian-minbase.tar"), make: make_minbase };

testkit::suite! {
    an_oci_layout_of_skopeo_runs: [BUSYBOX, UMOCI, SKOPEO],
    an_oci_archive_of_skopeo_runs: [BUSYBOX, UMOCI, SKOPEO],
    a_docker_archive_of_skopeo_runs: [BUSYBOX, UMOCI, SKOPEO],
    an_imported_image_goes_through_skopeo_and_back: [BUSYBOX, SKOPEO],
    layers_of_gzip_and_zstd_run: [BUSYBOX, SKOPEO],
    debians_minbase_runs: [Need::Root, UMOCI, SKOPEO, DEBOOTSTRAP, MINUTES, Need::Fixture(&MINBASE)],
    the_images_configuration_is_honoured: [BUSYBOX, UMOCI],
    the_images_user_is_honoured: [Need::Root, BUSYBOX, UMOCI],
    images_lists_names_ids_and_sizes: [BUSYBOX],
    an_image_is_inspected: [BUSYBOX, UMOCI],
    rmi_says_what_goes: [BUSYBOX],
    rmi_keeps_what_a_container_uses: [BUSYBOX],
    rmi_f_takes_the_name_of_a_used_image: [BUSYBOX],
    layers_that_two_images_share_outlive_one: [BUSYBOX, UMOCI],
    an_index_without_this_platform_is_refused: [BUSYBOX, UMOCI],
    hostile_entries_are_refused_by_name: [BUSYBOX, UMOCI],
    damaged_layers_are_refused: [BUSYBOX, UMOCI],
    what_is_no_image_is_refused: [BUSYBOX],
    demo_needs_no_set_up: [BUSYBOX],
    demo_is_made_of_the_hosts_tools_where_there_is_no_busybox: [],
}

fn tool(host: &Host, program: &str, arguments: &[&str]) -> Output {
    host.run(host.command(format!("/usr/bin/{program}")).args(arguments))
}

fn umoci(host: &Host, arguments: &[&str]) {
    tool(host, "umoci", arguments).ok();
}

/// Copies an image from one transport of skopeo's (`oci:PATH:NAME`) to another.
fn skopeo_copy(host: &Host, options: &[&str], from: &str, to: &str) {
    let arguments = [&["--insecure-policy", "copy"], options, &[from, to]].concat();
    tool(host, "skopeo", &arguments).ok();
}

/// Adds the entries of the tarball as a layer to an image in a layout of umoci's; makes both if they are not there.
fn add_layer(host: &Host, layout: &Path, name: &str, tarball: &Path) {
    let (folder, image) = (layout.to_str().unwrap(), format!("{}:{name}", layout.display()));
    if !layout.exists() {
        umoci(host, &["init", "--layout", folder]);
        umoci(host, &["new", "--image", &image]);
    }
    umoci(host, &["raw", "add-layer", "--image", &image, tarball.to_str().unwrap()]);
}

/// A tarball of a busybox root.
fn busybox_tar(host: &Host) -> PathBuf {
    let (root, tarball) = (host.busybox_root("rootfs"), host.path("rootfs.tar"));
    tool(host, "tar", &["-C", root.to_str().unwrap(), "-cf", tarball.to_str().unwrap(), "."]).ok();
    tarball
}

/// umoci's layout with the image `box:1` of a busybox root.
fn busybox_layout(host: &Host) -> PathBuf {
    let layout = host.path("layout");
    add_layer(host, &layout, "box:1", &busybox_tar(host));
    layout
}

fn load(engine: &Engine<'_>, path: &Path) -> Output {
    engine.tara(&["load", "-i", path.to_str().unwrap()])
}

/// `tara load < PATH`.
fn load_stdin(engine: &Engine<'_>, path: &Path) -> Output {
    let output = engine.command(&["load"]).stdin(File::open(path).unwrap()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The acceptance of every loaded image: `ps aux` inside shows PID 1 only.
fn assert_runs(engine: &Engine<'_>, image: &str) {
    let text = engine.tara(&["run", "--rm", image, "ps", "aux"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines[1].trim_start().starts_with("1 "), "{text}");
    engine.assert_clean();
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Writes umoci's image out by skopeo as `kind`, loads that from a file and, where it is one file, from standard input.
fn assert_loads(host: &Host, kind: &str) {
    let (layout, copy) = (busybox_layout(host), host.path("copy"));
    skopeo_copy(host, &[], &format!("oci:{}:box:1", layout.display()), &format!("{kind}:{}:box:2", copy.display()));
    let engine = Engine::new(host);
    assert_eq!(load(&engine, &copy).ok(), "Loaded image: box:2\n");
    assert_runs(&engine, "box:2");
    if copy.is_file() {
        engine.tara(&["rmi", "box:2"]).ok();
        assert_eq!(load_stdin(&engine, &copy).ok(), "Loaded image: box:2\n");
        assert_runs(&engine, "box:2");
    }
}

fn an_oci_layout_of_skopeo_runs(host: &Host) {
    assert_loads(host, "oci");
}

fn an_oci_archive_of_skopeo_runs(host: &Host) {
    assert_loads(host, "oci-archive");
}

fn a_docker_archive_of_skopeo_runs(host: &Host) {
    assert_loads(host, "docker-archive");
}

/// The store is itself an OCI layout, which skopeo reads as it is.
fn an_imported_image_goes_through_skopeo_and_back(host: &Host) {
    let engine = Engine::new(host);
    let root = host.busybox_root("rootfs");
    let id = engine.tara(&["import", root.to_str().unwrap(), "box"]).ok();
    let (store, copy) = (engine.root().join("images"), host.path("copy"));
    let from = format!("oci:{}:box:latest", store.display());
    skopeo_copy(host, &[], &from, &format!("oci:{}:box:latest", copy.display()));
    engine.tara(&["rmi", "box"]).ok();
    load(&engine, &copy).ok();
    assert_eq!(engine.tara(&["images", "-q", "--no-trunc"]).ok(), id);
    assert_runs(&engine, "box");
}

/// The media type of the only layer of the only image in a layout.
fn media_type(layout: &Path) -> String {
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:");
        json(&fs::read_to_string(layout.join("blobs/sha256").join(digest)).unwrap())
    };
    let index = json(&fs::read_to_string(layout.join("index.json")).unwrap());
    blob(&index["manifests"][0])["layers"][0]["mediaType"].as_str().unwrap().to_owned()
}

fn layers_of_gzip_and_zstd_run(host: &Host) {
    for kind in ["gzip", "zstd"] {
        // From a folder: a layer that is compressed already is copied as it is.
        let (plain, layout) = (host.path(&format!("plain-{kind}")), host.path(kind));
        let packed = Engine::new(host);
        packed.tara(&["import", host.busybox_root("rootfs").to_str().unwrap(), "box"]).ok();
        let from = format!("oci:{}:box:latest", packed.root().join("images").display());
        skopeo_copy(host, &["--dest-decompress"], &from, &format!("dir:{}", plain.display()));
        let to = format!("oci:{}:{kind}:1", layout.display());
        skopeo_copy(host, &["--dest-compress-format", kind], &format!("dir:{}", plain.display()), &to);
        assert!(media_type(&layout).ends_with(&format!("+{kind}")), "{}", media_type(&layout));
        assert_eq!(load(&packed, &layout).ok(), format!("Loaded image: {kind}:1\n"));
        assert_runs(&packed, &format!("{kind}:1"));
    }
}

/// Debian's smallest system as `skopeo copy … docker-archive:` writes it.
fn make_minbase(to: &Path) -> Result<(), String> {
    let script = r#"
        cd "$1"
        timeout 600 debootstrap --variant=minbase bookworm tree "$2" > log 2>&1 || { tail -n 3 log; exit 1; }
        tar -C tree -cf tree.tar .
        umoci init --layout layout
        umoci new --image layout:minbase
        umoci raw add-layer --image layout:minbase tree.tar
        umoci config --image layout:minbase --config.cmd bash
        TMPDIR=$PWD skopeo --insecure-policy copy --quiet oci:layout:minbase "docker-archive:$3:debian:minbase"
    "#;
    let work = to.with_extension("work");
    let _of_a_killed_run = fs::remove_dir_all(&work);
    let _of_a_killed_run = fs::remove_file(to);
    fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    // debootstrap mounts in the tree: in namespaces of its own nothing of that stays, however it ends.
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, "sh"])
        .args([work.as_path(), mirror().as_ref(), to])
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    fs::remove_dir_all(&work).map_err(|error| error.to_string())?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if output.status.success() { Ok(()) } else { Err(format!("debootstrap from {} failed:\n{said}", mirror())) }
}

/// The Debian mirror that this machine's apt is set up for; Debian's own where there is none.
fn mirror() -> String {
    let lists = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let lists = lists.chain([PathBuf::from("/etc/apt/sources.list")]);
    let text: String = lists.filter_map(|list| fs::read_to_string(list).ok()).collect();
    let lines = text.lines().filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"));
    let mut words = lines.flat_map(str::split_whitespace).map(|word| word.trim_end_matches('/'));
    let found = words.find(|word| word.starts_with("http") && word.ends_with("/debian"));
    found.unwrap_or("http://deb.debian.org/debian").to_owned()
}

fn debians_minbase_runs(host: &Host) {
    let engine = Engine::new(host);
    assert_eq!(load(&engine, Path::new(MINBASE.path)).ok(), "Loaded image: debian:minbase\n");
    let run = |program: &[&str]| engine.tara(&[&["run", "--rm", "debian:minbase"], program].concat()).ok();
    assert!(run(&["cat", "/etc/os-release"]).contains("VERSION_CODENAME=bookworm\n"));
    assert!(run(&["apt-get", "--version"]).starts_with("apt 2."), "{}", run(&["apt-get", "--version"]));
    assert_eq!(run(&["sh", "-c", "dpkg --audit; dpkg-query -W -f '${Status}\n' libc6"]), "install ok installed\n");
    engine.assert_clean();
}

/// Loads the busybox image, changed by options of `umoci config`, as `box:1`.
fn configured<'h>(host: &'h Host, options: &[&str]) -> Engine<'h> {
    let layout = busybox_layout(host);
    let image = format!("{}:box:1", layout.display());
    umoci(host, &[&["config", "--image", &image], options].concat());
    let engine = Engine::new(host);
    load(&engine, &layout).ok();
    engine
}

fn the_images_configuration_is_honoured(host: &Host) {
    let script = "pwd; echo $A; echo $*";
    let engine = configured(
        host,
        &[
            "--config.env",
            "A=of the image",
            "--config.workingdir",
            "/srv/app",
            "--config.entrypoint",
            "sh",
            "--config.entrypoint",
            "-c",
            "--config.entrypoint",
            script,
            "--config.entrypoint",
            "zero",
            "--config.cmd",
            "one",
            "--config.cmd",
            "two",
        ],
    );
    let run = |options: &[&str], program: &[&str]| {
        engine.tara(&[&["run", "--rm"], options, &["box:1"], program].concat()).ok()
    };
    assert_eq!(run(&[], &[]), "/srv/app\nof the image\none two\n");
    assert_eq!(run(&[], &["three"]), "/srv/app\nof the image\nthree\n");
    assert_eq!(run(&["-e", "A=mine", "-w", "/tmp"], &[]), "/tmp\nmine\none two\n");
    assert_eq!(run(&["--entrypoint", "echo"], &["four"]), "four\n");
    assert_eq!(run(&["--entrypoint", "pwd"], &[]), "/srv/app\n");
}

fn the_images_user_is_honoured(host: &Host) {
    let engine = configured(host, &["--config.user", "nobody", "--config.cmd", "id"]);
    let run = |options: &[&str]| engine.tara(&[&["run", "--rm"], options, &["box:1"]].concat()).ok();
    assert!(run(&[]).starts_with("uid=65534(nobody) gid=65534(nogroup)"), "{}", run(&[]));
    assert!(run(&["-u", "0"]).starts_with("uid=0(root)"));
}

fn images_lists_names_ids_and_sizes(host: &Host) {
    let engine = Engine::with_box(host);
    let id = engine.tara(&["images", "-q", "--no-trunc"]).ok();
    let short = &id["sha256:".len()..][..12];
    let text = engine.tara(&["images"]).ok();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
    assert_eq!(rows[1][..3], ["box", "latest", short]);
    assert!(rows[1].last().unwrap().ends_with("MB"), "{text}");
    // Hard links once, there as here.
    assert_eq!(engine.tara(&["history", "--format", "{{.Size}}", "box"]).ok().trim(), *rows[1].last().unwrap());
    assert_eq!(engine.tara(&["images", "-q"]).ok(), format!("{short}\n"));
    let row = json(&engine.tara(&["images", "--format", "json"]).ok());
    assert_eq!((&row["Repository"], &row["Tag"], &row["ID"]), (&"box".into(), &"latest".into(), &short.into()));
}

fn an_image_is_inspected(host: &Host) {
    let engine = configured(host, &["--config.env", "A=1", "--config.cmd", "id", "--config.user", "5"]);
    let id = engine.tara(&["images", "-q", "--no-trunc"]).ok();
    let image = &json(&engine.tara(&["inspect", "box:1"]).ok())[0];
    assert_eq!(image["Id"], id.trim());
    assert_eq!(image["RepoTags"], serde_json::json!(["box:1"]));
    assert_eq!((&image["Os"], &image["Architecture"]), (&"linux".into(), &sys::arch::OCI_ARCHITECTURE.into()));
    assert_eq!(image["Config"]["Cmd"], serde_json::json!(["id"]));
    assert_eq!(image["Config"]["User"], "5");
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    assert!(Path::new(image["Layers"][0].as_str().unwrap()).join("bin/busybox").exists());
    assert_eq!(engine.tara(&["inspect", "--type", "container", "box:1"]).code, 1);
}

fn rmi_says_what_goes(host: &Host) {
    let engine = Engine::with_box(host);
    let image = &json(&engine.tara(&["inspect", "box"]).ok())[0];
    let (id, layer) = (image["Id"].as_str().unwrap(), image["RootFS"]["Layers"][0].as_str().unwrap());
    let said = engine.tara(&["rmi", "box"]).ok();
    assert_eq!(said, format!("Untagged: box:latest\nDeleted: {id}\nDeleted: {layer}\n"));
    assert_eq!(engine.tara(&["images", "-q"]).ok(), "");
    for folder in ["layers", "images/blobs/sha256", "tmp"] {
        assert_eq!(engine.entries(engine.root().join(folder)), Vec::<String>::new(), "{folder}");
    }
    assert_eq!(error(&engine.tara(&["rmi", "box"])), (1, "error: no such image: `box:latest`"));
    engine.assert_clean();
}

fn rmi_keeps_what_a_container_uses(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "--name", "web", "box", "true"]).ok();
    let id = engine.tara(&["ps", "-aq"]).ok();
    let refused = engine.tara(&["rmi", "box"]);
    assert_eq!(error(&refused), (1, format!("error: image `box:latest` is used by {}", id.trim()).as_str()));
    engine.run(&[], &["true"]).ok();
    engine.tara(&["rm", "web"]).ok();
    engine.tara(&["rmi", "box"]).ok();
    engine.assert_clean();
}

fn rmi_f_takes_the_name_of_a_used_image(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "--name", "web", "box", "true"]).ok();
    let id = engine.tara(&["images", "-q"]).ok();
    assert_eq!(engine.tara(&["rmi", "-f", "box"]).ok(), "Untagged: box:latest\n");
    assert!(engine.tara(&["images"]).ok().contains("<none>"));
    // The container's layers are still there, and so is the image by its id.
    engine.tara(&["run", "--rm", id.trim(), "true"]).ok();
    engine.assert_consistent();
    engine.tara(&["rm", "web"]).ok();
    assert!(engine.tara(&["rmi", id.trim()]).ok().starts_with("Deleted: sha256:"));
    assert_eq!(engine.entries(engine.root().join("layers")), Vec::<String>::new());
    engine.assert_clean();
}

fn layers_that_two_images_share_outlive_one(host: &Host) {
    let engine = configured(host, &["--config.env", "A=1"]);
    let image = format!("{}:box:1", host.path("layout").display());
    umoci(host, &["config", "--image", &image, "--tag", "box:2", "--config.env", "A=2"]);
    load(&engine, &host.path("layout")).ok();
    assert_eq!(engine.entries(engine.root().join("layers")).len(), 1);
    let said = engine.tara(&["rmi", "box:1"]).ok();
    assert_eq!(said.matches("Deleted: ").count(), 1, "{said}");
    assert_runs(&engine, "box:2");
}

fn an_index_without_this_platform_is_refused(host: &Host) {
    let layout = busybox_layout(host);
    let path = layout.join("index.json");
    let mut index = json(&fs::read_to_string(&path).unwrap());
    index["manifests"][0]["platform"] = serde_json::json!({ "os": "linux", "architecture": "s390x" });
    fs::write(&path, index.to_string()).unwrap();
    let engine = Engine::new(host);
    let output = load(&engine, &layout);
    let (architecture, first) = (sys::arch::OCI_ARCHITECTURE, format!("error: cannot load `{}`", layout.display()));
    assert_eq!(error(&output), (1, first.as_str()));
    let why = format!("no matching manifest for linux/{architecture} in the index of `box:1`: it has linux/s390x");
    assert!(output.stderr.contains(&why), "{}", output.stderr);
    engine.assert_clean();
}

/// Loads `layout`, which must be refused with `named` in the message, and leave nothing.
fn assert_refused(host: &Host, what: &str, layout: &Path, named: &str) {
    let engine = Engine::new(host);
    let output = load(&engine, layout);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{what}: {}", output.stderr);
    assert!(output.stderr.contains(named), "{what}: {}", output.stderr);
    assert_eq!(fs::read_to_string(host.path("outside/canary")).unwrap(), "alive", "{what}");
    assert_eq!(fs::read_dir(host.path("outside")).unwrap().count(), 1, "{what}");
    for folder in ["layers", "images/blobs/sha256", "tmp"] {
        assert_eq!(engine.entries(engine.root().join(folder)), Vec::<String>::new(), "{what}: {folder}");
    }
    engine.assert_clean();
}

/// Step 7 tests sixty of them; here it is how the command says no.
fn hostile_entries_are_refused_by_name(host: &Host) {
    fs::write(host.folder("outside").join("canary"), "alive").unwrap();
    let cases = [
        ("dot dot", "../evil", "touch ../evil; tar -cPf $T ../evil"),
        ("absolute", "/run/testkit/evil", "touch ../evil; tar -cPf $T /run/testkit/evil"),
        (
            "write through a symlink",
            "d/evil",
            "ln -s /run/testkit/outside d; tar -cf $T d; rm d; mkdir d; touch d/evil; tar -rf $T d/evil",
        ),
        ("hard link outside", "h", "touch f; ln f h; tar -cPf $T --transform 's,^f$,../outside/canary,RSh' f h"),
        ("whiteout of the parent", "d/.wh...", "mkdir d; touch d/.wh...; tar -cf $T d/.wh..."),
        ("below a whiteout", ".wh.d/evil", "mkdir .wh.d; touch .wh.d/evil; tar -cf $T .wh.d/evil"),
    ];
    for (number, (what, named, script)) in cases.into_iter().enumerate() {
        let (folder, tarball) = (host.folder(&format!("work-{number}")), host.path(&format!("evil-{number}.tar")));
        let mut shell = host.command("/bin/sh");
        host.run(shell.args(["-ec", script]).env("T", &tarball).current_dir(&folder)).ok();
        let layout = host.path(&format!("layout-{number}"));
        add_layer(host, &layout, "evil", &tarball);
        assert_refused(host, what, &layout, &format!("entry `{named}`"));
    }
}

/// The path of the largest blob: the layer.
fn layer(layout: &Path) -> PathBuf {
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten().map(|entry| entry.path());
    blobs.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

/// A name, and what it does to the bytes of a layer.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

fn damaged_layers_are_refused(host: &Host) {
    fs::write(host.folder("outside").join("canary"), "alive").unwrap();
    let layout = busybox_layout(host);
    let whole = fs::read(layer(&layout)).unwrap();
    let digest = layer(&layout).file_name().unwrap().to_str().unwrap().to_owned();
    let damage: [Damage<'_>; 4] = [
        ("truncated", &|bytes| bytes.truncate(bytes.len() / 2)),
        ("one bit", &|bytes| bytes[1000] ^= 1),
        ("longer", &|bytes| bytes.push(0)),
        ("empty", &|bytes| bytes.clear()),
    ];
    for (what, change) in damage {
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(layer(&layout), bytes).unwrap();
        assert_refused(host, what, &layout, &digest[..12]);
        fs::write(layout.join("blobs/sha256").join(&digest), &whole).unwrap();
    }
}

fn what_is_no_image_is_refused(host: &Host) {
    let engine = Engine::new(host);
    let (root, text) = (host.busybox_root("rootfs"), host.path("text"));
    fs::write(&text, "no image at all").unwrap();
    for path in [&root, &text, &host.path("missing")] {
        let output = load(&engine, path);
        assert_eq!(error(&output), (1, format!("error: cannot load `{}`", path.display()).as_str()));
        engine.assert_clean();
    }
    assert_eq!(error(&load_stdin(&engine, &text)), (1, "error: cannot load standard input"));
    engine.assert_clean();
}

fn demo_needs_no_set_up(host: &Host) {
    let engine = Engine::new(host);
    assert_eq!(engine.tara(&["run", "--rm", "demo", "sh", "-c", "ps > /p; wc -l < /p; exit 7"]).stdout, "3\n");
    assert_runs(&engine, "demo");
    let text = engine.tara(&["images"]).ok();
    assert!(text.lines().nth(1).unwrap().starts_with("demo         latest"), "{text}");
}

fn demo_is_made_of_the_hosts_tools_where_there_is_no_busybox(host: &Host) {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(Path::new);
    let names = ["busybox", "busybox-static", "busybox.static"];
    let places = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
    let _covered: Vec<_> =
        places.filter(|path| path.exists()).map(|path| host.replace_file(path.to_str().unwrap(), "")).collect();
    let engine = Engine::new(host);
    let script = "cat /etc/os-release; ls /bin/busybox; id -u; echo x > /tmp/x && cat /tmp/x";
    let output = engine.tara(&["run", "--rm", "demo", "sh", "-c", script]);
    assert!(output.stdout.contains("tara demo") && output.stdout.ends_with("0\nx\n"), "{output:?}");
    assert!(output.stderr.contains("/bin/busybox"), "{output:?}");
    engine.assert_clean();
}
