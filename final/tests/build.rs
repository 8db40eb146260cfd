//! Builds: a corpus of Dockerfiles with what has to come of each, also beside Debian's docker; the cache; errors; hostile contexts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Engine;
use common::docker::{DOCKERD, Docker};
use common::registry::{IP, REGISTRY, docker_registry};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;
use testkit::{BUSYBOX, Host, Need, Output, until};

const SKOPEO: Need = Need::Program("skopeo", "skopeo");
const MINUTES: Need = Need::Time(Duration::from_secs(400));

testkit::suite! {
    the_corpus_gives_what_is_expected: [Need::Root, BUSYBOX, MINUTES],
    the_corpus_gives_what_docker_gives: [Need::Root, BUSYBOX, DOCKERD, MINUTES],
    what_docker_cannot_build_gives_what_buildah_gives: [Need::Root, BUSYBOX, BUILDAH],
    only_what_has_changed_is_done_again: [BUSYBOX],
    errors_show_the_line: [Need::Root, BUSYBOX],
    nothing_outside_the_context_is_copied: [BUSYBOX],
    a_time_that_is_set_gives_the_same_image: [BUSYBOX],
    a_time_that_is_set_takes_nothing_of_builds_without_it: [BUSYBOX],
    what_is_built_anew_replaces_what_was_kept: [BUSYBOX],
    a_base_comes_from_its_registry: [BUSYBOX, REGISTRY, IP],
    a_killed_build_leaves_a_valid_store: [Need::Root, BUSYBOX],
    secrets_leave_no_trace: [BUSYBOX],
    a_locked_cache_is_one_runs_at_a_time: [BUSYBOX],
    contexts_come_from_standard_input: [BUSYBOX],
    files_are_fetched_from_servers: [Need::Root, BUSYBOX],
    outputs_are_what_their_tools_read: [Need::Root, BUSYBOX, SKOPEO],
}

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dockerfiles");

const BUILDAH: Need = Need::Program("buildah", "buildah");

/// A Dockerfile of the corpus.
struct Case {
    name: String,
    folder: PathBuf,
    options: Vec<String>,
    /// Why docker's classic builder is not asked.
    not_by_docker: Option<String>,
    /// Whether buildah is asked in its place.
    by_buildah: bool,
}

fn corpus() -> Vec<Case> {
    let mut folders: Vec<PathBuf> = fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let only = std::env::var("TARA_CASE").unwrap_or_default();
    let of = |folder: PathBuf| {
        let about: Value =
            fs::read(folder.join("case.json")).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        let options = about["options"].as_array().into_iter().flatten();
        Case {
            name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            options: options.map(|word| word.as_str().unwrap().to_owned()).collect(),
            not_by_docker: about["not_by_docker"].as_str().map(str::to_owned),
            by_buildah: about["by_buildah"] == true,
            folder,
        }
    };
    folders.into_iter().map(of).filter(|case| case.name.contains(&only)).collect()
}

/// A copy of the case's context on the fake host, with the owner and modes that a checkout may not have.
fn context(host: &Host, case: &Case) -> PathBuf {
    let to = host.path(&case.name);
    let (from, to_text) = (case.folder.display(), to.display());
    let script = format!(
        "cp -a {from} {to_text} && rm -f {to_text}/case.json {to_text}/expected.json && find {to_text} -type d -exec chmod 755 {{}} +"
    );
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", &script])).code, 0);
    to
}

/// An image with nothing in its configuration, so that all in the result is the Dockerfile's.
fn with_base(host: &Host) -> Engine<'_> {
    with_base_of(host, &host.busybox_root("box"))
}

fn with_base_of<'h>(host: &'h Host, root: &Path) -> Engine<'h> {
    let engine = Engine::new(host);
    engine.tara(&["import", root.to_str().unwrap(), "box"]).ok();
    engine
}

fn build(engine: &Engine<'_>, options: &[&str], context: &Path) -> Output {
    let parent = engine.host.cgroup_parent();
    let fixed = ["build", "--network", "none", "--cgroup-parent", &parent, "--progress", "plain"];
    engine.tara(&[&fixed, options, &[context.to_str().unwrap()]].concat())
}

fn the_corpus_gives_what_is_expected(host: &Host) {
    let engine = with_base(host);
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for case in corpus() {
        let found = built(&engine, &case);
        let path = case.folder.join("expected.json");
        if update {
            fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
            continue;
        }
        let expected: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        if found != expected {
            wrong.push(differences(&case.name, &expected, &found));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    engine.assert_clean();
}

/// Builds a case and describes the image.
fn built(engine: &Engine<'_>, case: &Case) -> Value {
    let name = image_name(case);
    let options: Vec<&str> = case.options.iter().map(String::as_str).chain(["-t", &name]).collect();
    let output = build(engine, &options, &context(engine.host, case));
    assert_eq!(output.code, 0, "{}: {}", case.name, output.stderr);
    let images = engine.root().join("images");
    let read = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob =
        |digest: &Value| images.join("blobs/sha256").join(digest.as_str().unwrap().strip_prefix("sha256:").unwrap());
    let index = read(images.join("index.json"));
    let named =
        |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == json!(format!("{name}:latest"));
    let entry = index["manifests"].as_array().unwrap().iter().find(named).unwrap();
    let manifest = read(blob(&entry["digest"]));
    let layers = manifest["layers"].as_array().unwrap().iter();
    let layers = layers.map(|layer| entries(GzDecoder::new(File::open(blob(&layer["digest"])).unwrap()))).collect();
    described(&read(blob(&manifest["config"]["digest"])), layers)
}

fn image_name(case: &Case) -> String {
    format!("case{}", case.name)
}

/// What has to be the same: configuration, which instructions made layers, and the layers entry by entry. The base, if it is there, is
/// the first layer and the first line of the history.
fn described(image: &Value, mut layers: Vec<Vec<String>>) -> Value {
    let is_base = |layer: &Vec<String>| layer.iter().any(|entry| entry.contains(" bin/busybox ")) && layer.len() > 5;
    let base = layers.first().is_some_and(is_base);
    if base {
        layers.remove(0);
    }
    let history = image["history"].as_array().unwrap().iter().skip(usize::from(base));
    let flags: Vec<bool> = history.map(|entry| entry["empty_layer"].as_bool().unwrap_or(false)).collect();
    let mut config = BTreeMap::new();
    for (key, value) in image["config"].as_object().unwrap() {
        let known = [
            "Cmd",
            "Entrypoint",
            "Env",
            "ExposedPorts",
            "Healthcheck",
            "Labels",
            "OnBuild",
            "Shell",
            "StopSignal",
            "User",
            "Volumes",
            "WorkingDir",
        ];
        let nothing = value.is_null() || *value == json!("") || *value == json!([]) || *value == json!({});
        if known.contains(&key.as_str()) && !nothing {
            config.insert(key.clone(), value.clone());
        }
    }
    json!({ "author": image["author"].as_str().unwrap_or(""), "config": config, "empty": flags, "layers": layers })
}

/// The entries of a layer, sorted: kind, mode, owner, name, and content or target. Times are not compared.
fn entries(reader: impl Read) -> Vec<String> {
    let mut archive = tar::Archive::new(reader);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let name = name.trim_start_matches("./").trim_end_matches('/').to_owned();
        let target =
            entry.link_name_bytes().map(|bytes| String::from_utf8(bytes.into_owned()).unwrap()).unwrap_or_default();
        let header = entry.header().clone();
        let (mode, uid, gid) = (header.mode().unwrap() & 0o7777, header.uid().unwrap(), header.gid().unwrap());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let short = match std::str::from_utf8(&content) {
            Ok(text) if content.len() < 200 => format!("{text:?}"),
            _ => format!("{} bytes", content.len()),
        };
        found.push(match header.entry_type() {
            _ if name.rsplit('/').next().unwrap().starts_with(".wh.") => format!("whiteout {name}"),
            tar::EntryType::Directory => format!("folder {mode:o} {uid}:{gid} {name}"),
            tar::EntryType::Symlink => format!("link {uid}:{gid} {name} -> {target}"),
            tar::EntryType::Link => format!("hard link {name} = {target}"),
            tar::EntryType::Regular => format!("file {mode:o} {uid}:{gid} {name} {short}"),
            other => format!("{other:?} {mode:o} {uid}:{gid} {name}"),
        });
    }
    found.sort();
    found
}

fn differences(name: &str, expected: &Value, found: &Value) -> String {
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let (expected, found) = (text(expected), text(found));
    let (before, after): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let missing = before.iter().filter(|line| !after.contains(line)).map(|line| format!("  - {line}\n"));
    let added = after.iter().filter(|line| !before.contains(line)).map(|line| format!("  + {line}\n"));
    format!("{name}:\n{}{}", missing.collect::<String>(), added.collect::<String>())
}

/// The image as docker has saved it.
fn saved(host: &Host, docker: &Docker<'_>, name: &str) -> Value {
    let archive = host.path("saved.tar");
    docker.run(&["save", "-o", archive.to_str().unwrap(), name]).ok();
    of_archive(&archive)
}

/// The image of a docker archive.
fn of_archive(archive: &Path) -> Value {
    let mut members: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in tar::Archive::new(File::open(archive).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        // A layer that comes twice is a link to the first.
        if let Some(target) = entry.link_name().unwrap() {
            let target = target.display().to_string();
            let target = target.trim_start_matches("../").to_owned();
            bytes = members.get(&target).cloned().unwrap_or_default();
        }
        members.insert(name, bytes);
    }
    let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    let image: Value = serde_json::from_slice(&members[manifest[0]["Config"].as_str().unwrap()]).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap().iter();
    described(&image, layers.map(|layer| entries(&members[layer.as_str().unwrap()][..])).collect())
}
fn the_corpus_gives_what_docker_gives(host: &Host) {
    let engine = with_base(host);
    let docker = Docker::without_network(host);
    let tarball = host.path("box.tar");
    let pack = format!("tar -C {} -c . > {}", host.path("box").display(), tarball.display());
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", &pack])).code, 0);
    docker.run(&["import", "-c", "CMD [\"sh\"]", tarball.to_str().unwrap(), "box"]).ok();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for case in corpus().iter().filter(|case| case.not_by_docker.is_none()) {
        let ours = built(&engine, case);
        let name = image_name(case);
        let options: Vec<&str> = case.options.iter().map(String::as_str).collect();
        let folder = host.path(&case.name);
        let fixed = ["build", "--network", "none", "-t", &name];
        let output = docker.run(&[&fixed, &options[..], &[folder.to_str().unwrap()]].concat());
        assert_eq!(output.code, 0, "{}: {}{}", case.name, output.stdout, output.stderr);
        let theirs = saved(host, &docker, &name);
        compared += 1;
        if ours != theirs {
            wrong.push(differences(&case.name, &theirs, &ours));
        }
    }
    docker.stop();
    assert!(wrong.is_empty(), "{} of {compared} differ from docker (-), here (+):\n{}", wrong.len(), wrong.join("\n"));
}

/// A second opinion on what docker's classic builder does not know.
fn what_docker_cannot_build_gives_what_buildah_gives(host: &Host) {
    let (root, store) = (host.busybox_root("box"), host.folder("buildah"));
    // It mounts on these, and leaves in the layer what it had to make for that.
    for target in ["etc/hostname", "run/.containerenv"] {
        fs::create_dir_all(root.join(target).parent().unwrap()).unwrap();
        fs::write(root.join(target), "").unwrap();
    }
    let engine = with_base_of(host, &root);
    // Its own steps run in a chroot: a network, a cgroup and limits of its own are not what is compared.
    let buildah = |words: &str| {
        let options = format!("--root {0}/root --runroot {0}/run --storage-driver vfs", store.display());
        let script = format!("BUILDAH_ISOLATION=chroot exec buildah {options} {words}");
        host.run(host.command("/bin/sh").args(["-c", &script]))
    };
    buildah("from --name base scratch").ok();
    buildah(&format!("copy -q base {} /", root.display())).ok();
    buildah("config --cmd sh base").ok();
    buildah("commit -q --rm base localhost/box").ok();
    let mut wrong = Vec::new();
    let cases: Vec<Case> = corpus().into_iter().filter(|case| case.by_buildah).collect();
    assert!(!cases.is_empty());
    for case in &cases {
        let ours = built(&engine, case);
        let (name, folder) = (image_name(case), host.path(&case.name));
        let options = case.options.join(" ");
        let fixed = "--layers --pull=never --network none";
        buildah(&format!("build -q {fixed} {options} -t {name} {}", folder.display())).ok();
        let archive = host.path(&format!("{name}.tar"));
        buildah(&format!("push -q {name} docker-archive:{}", archive.display())).ok();
        let mut theirs = of_archive(&archive);
        let config = theirs["config"].as_object_mut().unwrap();
        assert!(config.remove("Labels").is_some_and(|labels| labels.get("io.buildah.version").is_some()));
        // Of an instruction that changed nothing it keeps a layer with nothing in it.
        let [ours, theirs] = [ours, theirs].map(|image| {
            let layers: Vec<_> =
                image["layers"].as_array().unwrap().iter().filter(|layer| **layer != json!([])).collect();
            json!({ "config": image["config"], "layers": layers })
        });
        if ours != theirs {
            wrong.push(differences(&case.name, &theirs, &ours));
        }
    }
    assert!(wrong.is_empty(), "{} differ from buildah (-), here (+):\n{}", wrong.len(), wrong.join("\n"));
}

/// A context with these files.
fn files(host: &Host, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = host.folder(name);
    for (path, content) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn cached(output: &Output) -> usize {
    output.stderr.lines().filter(|line| line.ends_with(" CACHED")).count()
}

const CHAIN: &str = "FROM box\nRUN echo 1 > /1\nCOPY a.txt /\nRUN cat /a.txt > /2\nLABEL x=1\nRUN echo 3 > /3\n";

fn only_what_has_changed_is_done_again(host: &Host) {
    let engine = with_base(host);
    let context = files(host, "ctx", &[("Dockerfile", CHAIN), ("a.txt", "a")]);
    let first = build(&engine, &["-t", "one"], &context);
    assert_eq!((first.code, cached(&first)), (0, 0), "{}", first.stderr);
    let again = build(&engine, &["-t", "two"], &context);
    assert_eq!(cached(&again), 4, "{}", again.stderr);
    assert_eq!(id(&engine, "one"), id(&engine, "two"));
    // A new time is no change.
    let touch =
        host.run(host.command("/bin/sh").args(["-c", &format!("touch -d 2001-01-01 {}/a.txt", context.display())]));
    assert_eq!((touch.code, cached(&build(&engine, &[], &context))), (0, 4));
    // A label changes no file system.
    fs::write(context.join("Dockerfile"), CHAIN.replace("x=1", "x=2")).unwrap();
    assert_eq!(cached(&build(&engine, &[], &context)), 4);
    fs::write(context.join("a.txt"), "b").unwrap();
    assert_eq!(cached(&build(&engine, &[], &context)), 1, "from the COPY on");
    assert_eq!(cached(&build(&engine, &["--no-cache"], &context)), 0);
    assert!(
        build_error(&engine, "failing", "FROM box\nRUN echo 1 > /1\nRUN echo new > /n\nRUN exit 7\n")
            .contains("exit code 7")
    );
    let after_failure = files(host, "after", &[("Dockerfile", "FROM box\nRUN echo 1 > /1\nRUN echo new > /n\n")]);
    assert_eq!(cached(&build(&engine, &[], &after_failure)), 2, "what a failed build has done is kept");
    engine.assert_consistent();
    assert!(engine.tara(&["build", "prune"]).ok().starts_with("Total reclaimed space: "));
    assert_eq!(cached(&build(&engine, &[], &context)), 0);
    engine.assert_clean();
}

fn build_error(engine: &Engine<'_>, name: &str, dockerfile: &str) -> String {
    let output = build(engine, &[], &files(engine.host, name, &[("Dockerfile", dockerfile)]));
    assert_eq!(output.code, 1, "{dockerfile}: {}", output.stderr);
    let at = output.stderr.find("error: ").unwrap();
    output.stderr[at..].to_owned()
}

fn errors_show_the_line(host: &Host) {
    let engine = with_base(host);
    let wrong = [
        "RNU echo",
        "FROM box\nRNU echo hi",
        "FROM box AS 1st",
        "FROM",
        "FROM $NONE",
        "FROM 127.0.0.1:1/nothere:1",
        "FROM box\nCOPY only",
        "FROM box\nCOPY nothere /x",
        "FROM box\nCOPY *.nothere /x/",
        "FROM box\nCOPY a b /x",
        "FROM box\nCOPY --form=x a /x",
        "FROM box\nCOPY --chown=nobody-here Dockerfile /x",
        "FROM box\nCOPY --chmod=rwx Dockerfile /x",
        "FROM box\nCOPY --from=127.0.0.1:1/nosuchstage /a /b",
        "FROM box\nENV A",
        "FROM box\nENV A=1 B",
        "FROM box\nENV A=${B:x}",
        "FROM box\nENV A=\"open",
        "FROM box\nENV A=${B:?is needed}",
        "FROM box\nEXPOSE 80/icmp",
        "FROM box\nSTOPSIGNAL SIGNONE",
        "FROM box\nSHELL sh -c",
        "FROM box\nHEALTHCHECK --interval=5 CMD x",
        "FROM box\nHEALTHCHECK DMC x",
        "FROM box\nONBUILD FROM x",
        "FROM box\nRUN <<EOF\nno end",
        "FROM box\nRUN --mount=type=ssh true",
        "FROM box\nRUN --mount=type=cache true",
        "FROM box\nRUN --security=insecure true",
        "FROM box\nRUN echo before \\\n  && exit 3",
        "FROM box\nADD http://127.0.0.1:1/x /x",
        "FROM box\nADD https://127.0.0.1:1/x.git /x",
        "FROM box\nADD --checksum=sha256:12 http://127.0.0.1:1/x /x",
        "FROM box\nADD --checksum=sha256:12 Dockerfile /x",
        "# escape=x\nFROM box",
        "",
    ];
    let mut said = String::new();
    for (number, dockerfile) in wrong.iter().enumerate() {
        said += &build_error(&engine, &format!("wrong{number}"), dockerfile);
        said.push('\n');
    }
    insta::assert_snapshot!("errors_of_dockerfiles", said);
    engine.assert_clean();
}

fn nothing_outside_the_context_is_copied(host: &Host) {
    let engine = with_base(host);
    let secret = host.path("secret");
    fs::write(&secret, "the host's").unwrap();
    let context = files(host, "ctx", &[("Dockerfile", "FROM box\nCOPY link /got\n"), ("d/x", "x")]);
    std::os::unix::fs::symlink(&secret, context.join("link")).unwrap();
    let refused = build(&engine, &[], &context);
    assert!(refused.code == 1 && refused.stderr.contains("`link` is not there"), "{}", refused.stderr);
    for (number, source) in ["../secret", "/../../secret", "d/../../secret", "up/secret"].iter().enumerate() {
        let dockerfile = format!("FROM box\nCOPY {source} /got\n");
        let context = files(host, &format!("out{number}"), &[("Dockerfile", &dockerfile), ("d/x", "x")]);
        std::os::unix::fs::symlink("..", context.join("up")).unwrap();
        assert!(build(&engine, &[], &context).stderr.contains("is not there"), "{source}");
    }
    // A link of the image leads nowhere but into the image.
    let target = host.folder("target");
    let text = format!(
        "FROM box\nRUN ln -s {} /out && ln -s {}/f /file\nCOPY d /out/\nCOPY d/x /file\n",
        target.display(),
        target.display()
    );
    let context = files(host, "into", &[("Dockerfile", &text), ("d/x", "x")]);
    let _either = build(&engine, &[], &context);
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "nothing was written to the host");
    // A fifo as Dockerfile or source does not hang.
    let context = files(host, "fifo", &[("Dockerfile", "FROM box\nCOPY . /x\n")]);
    nix::unistd::mkfifo(&context.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(build(&engine, &[], &context).code, 0);
    engine.assert_clean();
}

fn a_time_that_is_set_gives_the_same_image(host: &Host) {
    let engine = with_base(host);
    let dockerfile = "FROM box\nRUN date > /dev/null; echo x > /x; mkdir /d\nCOPY a /e/\nWORKDIR /w\n";
    let context = files(host, "ctx", &[("Dockerfile", dockerfile), ("a", "a")]);
    let id = || {
        let parent = host.cgroup_parent();
        let options = ["build", "-q", "--no-cache", "--network", "none", "--cgroup-parent", &parent];
        let mut command = engine.command(&options);
        host.run(command.arg(&context).env("SOURCE_DATE_EPOCH", "1700000000")).ok().to_owned()
    };
    let first = id();
    assert_eq!(first, id());
    assert!(first.starts_with("sha256:"));
    engine.assert_clean();
}

/// `build` with a time of its own.
fn build_at(engine: &Engine<'_>, seconds: &str, options: &[&str], context: &Path) -> Output {
    let parent = engine.host.cgroup_parent();
    let fixed = ["build", "--network", "none", "--cgroup-parent", &parent, "--progress", "plain"];
    let mut command = engine.command(&[&fixed, options].concat());
    engine.host.run(command.arg(context).env("SOURCE_DATE_EPOCH", seconds))
}

fn id(engine: &Engine<'_>, name: &str) -> Value {
    serde_json::from_str::<Value>(&engine.tara(&["inspect", name]).ok()).unwrap()[0]["Id"].take()
}

fn a_time_that_is_set_takes_nothing_of_builds_without_it(host: &Host) {
    let engine = with_base(host);
    let context = files(host, "ctx", &[("Dockerfile", "FROM box\nRUN echo x > /x\nCOPY a /a\n"), ("a", "a")]);
    assert_eq!(build(&engine, &["-t", "now"], &context).code, 0);
    let then = build_at(&engine, "1000", &["-t", "then"], &context);
    assert_eq!((then.code, cached(&then)), (0, 0), "its files are of another time: {}", then.stderr);
    assert_eq!(build_at(&engine, "1000", &["--no-cache", "-t", "anew"], &context).code, 0);
    assert_eq!(id(&engine, "then"), id(&engine, "anew"), "what is in the cache makes no difference");
    let again = build(&engine, &["-t", "again"], &context);
    assert_eq!((cached(&again), id(&engine, "again")), (2, id(&engine, "now")), "{}", again.stderr);
    let again = build_at(&engine, "1000", &["-t", "again"], &context);
    assert_eq!((cached(&again), id(&engine, "again")), (2, id(&engine, "then")), "{}", again.stderr);
    engine.assert_clean();
}

fn what_is_built_anew_replaces_what_was_kept(host: &Host) {
    let engine = with_base(host);
    let layers = || fs::read_dir(engine.root().join("layers")).unwrap().count();
    let before = layers();
    // Two builds of it are never the same.
    let context = files(host, "ctx", &[("Dockerfile", "FROM box\nRUN cat /proc/sys/kernel/random/uuid > /x\n")]);
    assert_eq!(build(&engine, &["-t", "one"], &context).code, 0);
    assert_eq!(build(&engine, &["-t", "two", "--no-cache"], &context).code, 0);
    assert_ne!(id(&engine, "one"), id(&engine, "two"));
    engine.assert_consistent();
    engine.tara(&["rmi", "one", "two"]).ok();
    assert_eq!(layers(), before + 1, "of a step the cache keeps what came last");
    assert_eq!(build(&engine, &["-t", "three", "--no-cache"], &context).code, 0);
    assert_eq!(layers(), before + 1, "what nobody can ask for any more is gone");
    engine.assert_clean();
}

fn a_base_comes_from_its_registry(host: &Host) {
    let registry = docker_registry(host, "", "");
    let engine = with_base(host);
    let base = "127.0.0.1:5000/team/box:1";
    engine.tara(&["tag", "box", base]).ok();
    engine.tara(&["push", base]).ok();
    let pushed = id(&engine, "box");
    engine.tara(&["rmi", base, "box"]).ok();
    let other = "127.0.0.1:5000/team/box";
    let dockerfile = format!(
        "FROM {base} AS first\nRUN echo made > /made\nFROM {other}:1\nCOPY --from=first /made /\nCOPY --from={base} /bin/busybox /again\n"
    );
    let context = files(host, "ctx", &[("Dockerfile", &dockerfile)]);
    let first = build(&engine, &["-t", "mine"], &context);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stderr.contains(&format!("pulling {base}")), "{}", first.stderr);
    assert_eq!(engine.tara(&["run", "--rm", "--network", "none", "mine", "cat", "/made"]).ok(), "made\n");
    assert_eq!(id(&engine, base), pushed, "the base has a name here, as after `pull`");
    // It is here now: no registry is asked, unless that is wanted.
    let again = build(&engine, &[], &context);
    assert_eq!(cached(&again), 3, "{}", again.stderr);
    assert!(!again.stderr.contains("pulling"), "{}", again.stderr);
    assert!(build(&engine, &["--pull"], &context).stderr.contains(&format!("pulling {base}")));
    drop(registry);
    assert_eq!(build(&engine, &[], &context).code, 0);
    let gone = build(&engine, &["--pull"], &context);
    assert!(gone.code == 1 && gone.stderr.contains("cannot reach the registry"), "{}", gone.stderr);
    engine.assert_clean();
}

fn a_killed_build_leaves_a_valid_store(host: &Host) {
    let engine = with_base(host);
    let dockerfile = "FROM box\nRUN echo 1 > /1\nRUN echo begun; sleep 1000\n";
    let context = files(host, "ctx", &[("Dockerfile", dockerfile)]);
    let parent = host.cgroup_parent();
    let mut command = engine.command(&["build", "--network", "none", "--cgroup-parent", &parent]);
    let log = host.path("log");
    let mut child = command.arg(&context).stderr(File::create(&log).unwrap()).spawn().unwrap();
    until("the step runs", || {
        fs::read_to_string(&log).unwrap().lines().any(|line| line.ends_with(" begun")).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    until("the container has ended", || {
        engine.tara(&["system", "reclaim"]);
        (engine.tara(&["system", "check"]).stdout == "nothing is left behind\n").then_some(())
    });
    assert_eq!(
        build(&engine, &["-t", "fine"], &files(host, "fine", &[("Dockerfile", "FROM box\nRUN true\n")])).code,
        0
    );
    engine.assert_clean();
}

fn secrets_leave_no_trace(host: &Host) {
    let engine = with_base(host);
    let dockerfile =
        "FROM box\nRUN --mount=type=secret,id=key,required=true cat /run/secrets/key | tr a-z A-Z > /seen\n";
    let context = files(host, "ctx", &[("Dockerfile", dockerfile)]);
    let key = host.path("key");
    fs::write(&key, "hush-hush").unwrap();
    assert!(build(&engine, &[], &context).stderr.contains("there is no secret `key`"));
    let secret = format!("id=key,src={}", key.display());
    assert_eq!(build(&engine, &["--secret", &secret, "-t", "s"], &context).code, 0);
    assert_eq!(engine.tara(&["run", "--rm", "--network", "none", "s", "cat", "/seen"]).ok(), "HUSH-HUSH");
    let found = format!("grep -rl hush-hush {} {}", engine.root().display(), engine.run_root().display());
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", &found])).stdout, "");
}

fn a_locked_cache_is_one_runs_at_a_time(host: &Host) {
    let engine = with_base(host);
    // `mkdir` refuses where the other stage is still inside; each stage names the caches in its own order, and one of them twice.
    let work = "mkdir /a/in && mkdir /b/in && usleep 200000 && rmdir /a/in /b/in && echo x >> /a/runs";
    let mount = |target: &str| format!("--mount=type=cache,sharing=locked,id={target},target=/{target}");
    let (a, b) = (mount("a"), mount("b"));
    let again = "--mount=type=cache,sharing=locked,id=a,target=/again";
    let dockerfile = format!(
        "FROM box AS one\nRUN {a} {b} {work} && touch /one\nRUN {again} {a} {b} {work}\n\
         FROM box AS two\nRUN {b} {a} {work} && touch /two\n\
         FROM box\nCOPY --from=one /one /\nCOPY --from=two /two /\nRUN {a} test $(grep -c x /a/runs) = 3\n"
    );
    let context = files(host, "ctx", &[("Dockerfile", &dockerfile)]);
    let output = build(&engine, &[], &context);
    assert_eq!(output.code, 0, "{}", output.stderr);
    engine.assert_clean();
}

fn contexts_come_from_standard_input(host: &Host) {
    let engine = with_base(host);
    let context = files(host, "ctx", &[("Dockerfile", "FROM box\nCOPY a /a\n"), ("a", "from tar\n")]);
    let tara = engine.command(&["build", "--network", "none", "-t", "x", "-"]);
    let words: Vec<String> = tara.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
    let line = format!("tar -C {} -cz . | {} {}", context.display(), common::TARA, words.join(" "));
    let output = host.run(host.command("/bin/sh").args(["-c", &line]));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(engine.tara(&["run", "--rm", "--network", "none", "x", "cat", "/a"]).ok(), "from tar\n");
    let line = format!("printf 'FROM box\\nENV A=1\\n' | {} {}", common::TARA, words.join(" "));
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", &line])).code, 0);
    let out = host.path("out");
    let options = ["-o", &format!("type=local,dest={}", out.display())];
    assert_eq!(build(&engine, &options, &context).code, 0);
    assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "from tar\n");
    engine.assert_clean();
}

/// A server on the fake host's loopback that gives the files of a folder.
struct Httpd(Child);

impl Httpd {
    fn start(host: &Host, folder: &Path) -> Self {
        host.run(host.command("/sbin/ip").args(["link", "set", "lo", "up"])).ok();
        let mut command = host.command("/bin/busybox");
        command.args(["httpd", "-f", "-p", "127.0.0.1:8080", "-h"]).arg(folder);
        let server = Self(command.spawn().unwrap());
        until("the server answers", || std::net::TcpStream::connect("127.0.0.1:8080").ok());
        server
    }

    fn stop(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn files_are_fetched_from_servers(host: &Host) {
    let engine = with_base(host);
    let folder = host.folder("served");
    fs::write(folder.join("a file"), "from afar\n").unwrap();
    let script = "cd $0 && touch -d @1445412480 'a file' && tar -cf x.tar 'a file'";
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", script]).arg(&folder)).code, 0);
    let server = Httpd::start(host, &folder);
    let digest = step07_images::Digest::of(b"from afar\n");
    let url = "http://127.0.0.1:8080";
    let dockerfile = format!(
        "FROM box\nARG URL\nADD $URL/a%20file /folder/\nADD --chown=3:4 --chmod=644 {url}/a%20file?x=/y /named\n\
         ADD {url}/x.tar Dockerfile /several/\nADD --unpack=true {url}/x.tar /unpacked\n"
    );
    let context = files(host, "ctx", &[("Dockerfile", &dockerfile)]);
    let option = format!("URL={url}");
    let built = |options: &[&str], context: &Path| {
        build(&engine, &[&["--build-arg", &option, "-t", "fetched"], options].concat(), context)
    };
    assert_eq!(built(&[], &context).code, 0);
    let look = "cat '/folder/a file' && stat -c '%a %u:%g %Y' '/folder/a file' /named && ls /several /unpacked";
    let said = engine.tara(&["run", "--rm", "--network", "none", "fetched", "sh", "-c", look]).ok().to_owned();
    assert_eq!(
        said,
        "from afar\n600 0:0 1445412480\n644 3:4 1445412480\n/several:\nDockerfile\nx.tar\n\n/unpacked:\na file\n"
    );
    // The content decides: the same again is cached, another is not.
    assert_eq!(cached(&built(&[], &context)), 4);
    fs::write(folder.join("x.tar"), "another").unwrap();
    assert_eq!(cached(&built(&[], &context)), 2);
    // What is promised and known is not even asked for.
    let sure = |digest: &str| format!("FROM box\nADD --checksum={digest} {url}/a%20file /x\n");
    let context = files(host, "sure", &[("Dockerfile", &sure(&digest.to_string()))]);
    assert_eq!(built(&[], &context).code, 0);
    let wrong = built(&[], &files(host, "wrong", &[("Dockerfile", &sure(&format!("sha256:{:064}", 0)))]));
    assert!(wrong.code == 1 && wrong.stderr.contains(&format!("is {digest}, --checksum says")), "{}", wrong.stderr);
    let none = built(&[], &files(host, "none", &[("Dockerfile", &format!("FROM box\nADD {url}/none /x\n"))]));
    assert!(none.code == 1 && none.stderr.contains("not found at the server"), "{}", none.stderr);
    server.stop();
    assert_eq!(cached(&built(&[], &context)), 1);
    engine.assert_clean();
}

fn outputs_are_what_their_tools_read(host: &Host) {
    let engine = with_base(host);
    let context = files(host, "ctx", &[("Dockerfile", "FROM box\nCOPY a /a\nLABEL x=y\n"), ("a", "a\n")]);
    let at = |name: &str| host.path(name).display().to_string();
    let before = engine.tara(&["images", "-a", "-q"]).ok().to_owned();
    let inspect = |place: &str| -> Value {
        let skopeo = host.command("/usr/bin/skopeo").args(["inspect", "--config", place]).output().unwrap();
        assert!(skopeo.status.success(), "{place}: {}", String::from_utf8_lossy(&skopeo.stderr));
        serde_json::from_slice(&skopeo.stdout).unwrap()
    };
    for (output, place) in [
        (format!("type=oci,dest={}", at("o.tar")), format!("oci-archive:{}:out:1", at("o.tar"))),
        (format!("type=oci,tar=false,dest={}", at("layout")), format!("oci:{}:out:1", at("layout"))),
        (format!("type=docker,dest={}", at("d.tar")), format!("docker-archive:{}:out:1", at("d.tar"))),
    ] {
        let output = build(&engine, &["-t", "out:1", "-o", &output], &context);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(inspect(&place)["config"]["Labels"]["x"], "y");
    }
    for (option, list) in [("local", "cat out.local/a"), ("tar", "tar -xOf out.tar a")] {
        let dest = format!("type={option},dest={}", at(&format!("out.{option}")));
        assert_eq!(build(&engine, &["-o", &dest], &context).code, 0);
        let script = format!("cd {} && {list}", host.path("").display());
        assert_eq!(host.run(host.command("/bin/sh").args(["-c", &script])).ok(), "a\n");
    }
    assert_eq!(engine.tara(&["images", "-a", "-q"]).ok(), before, "none of them is in the store");
    // What was written is read again, and is the same as the image in the store.
    engine.tara(&["load", "-i", &at("d.tar")]).ok();
    assert_eq!(build(&engine, &["-t", "stored", "-o", "type=docker"], &context).code, 0);
    assert_eq!(id(&engine, "out:1"), id(&engine, "stored"));
    let wrong = build(&engine, &["-o", "type=oci,compression=zstd"], &context);
    assert!(wrong.code != 0 && wrong.stderr.contains("`compression` is not known"), "{}", wrong.stderr);
    engine.assert_clean();
}
