//! Builds: a corpus of Dockerfiles with what has to come of each, also beside Debian's docker; the cache; errors; hostile contexts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::{BUSYBOX, Host, Need, Output, until};

const DOCKERD: Need = Need::Program("dockerd", "docker.io");
const MINUTES: Need = Need::Time(Duration::from_secs(400));

testkit::suite! {
    the_corpus_gives_what_is_expected: [Need::Root, BUSYBOX, MINUTES],
    the_corpus_gives_what_docker_gives: [Need::Root, BUSYBOX, DOCKERD, MINUTES],
}

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dockerfiles");

/// A Dockerfile of the corpus.
struct Case {
    name: String,
    folder: PathBuf,
    options: Vec<String>,
    /// Why docker's classic builder is not asked.
    not_by_docker: Option<String>,
}

fn corpus() -> Vec<Case> {
    let mut folders: Vec<PathBuf> = fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let only = std::env::var("TARA_CASE").unwrap_or_default();
    let of = |folder: PathBuf| {
        let about: Value = fs::read(folder.join("case.json"))
            .map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        let options = about["options"].as_array().into_iter().flatten();
        Case {
            name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            options: options.map(|word| word.as_str().unwrap().to_owned()).collect(),
            not_by_docker: about["not_by_docker"].as_str().map(str::to_owned),
            folder,
        }
    };
    folders.into_iter().map(of).filter(|case| case.name.contains(&only)).collect()
}

/// A copy of the case's context on the fake host, with the owner and modes that a checkout may not have.
fn context(host: &Host, case: &Case) -> PathBuf {
    let to = host.path(&case.name);
    let (from, to_text) = (case.folder.display(), to.display());
    let script = format!("cp -a {from} {to_text} && rm -f {to_text}/case.json {to_text}/expected.json && find {to_text} -type d -exec chmod 755 {{}} +");
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", &script])).code, 0);
    to
}

/// An image with nothing in its configuration, so that all in the result is the Dockerfile's.
fn with_base(host: &Host) -> Engine<'_> {
    let engine = Engine::new(host);
    let root = host.busybox_root("box");
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
    let blob = |digest: &Value| images.join("blobs/sha256").join(digest.as_str().unwrap().strip_prefix("sha256:").unwrap());
    let index = read(images.join("index.json"));
    let named = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == json!(format!("{name}:latest"));
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
    let is_base = |layer: &Vec<String>| layer.iter().any(|entry| entry.ends_with(" bin/busybox")) && layer.len() > 5;
    let base = layers.first().is_some_and(is_base);
    if base {
        layers.remove(0);
    }
    let history = image["history"].as_array().unwrap().iter().skip(usize::from(base));
    let flags: Vec<bool> = history.map(|entry| entry["empty_layer"].as_bool().unwrap_or(false)).collect();
    let mut config = BTreeMap::new();
    for (key, value) in image["config"].as_object().unwrap() {
        let known = [
            "Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell", "StopSignal", "User",
            "Volumes", "WorkingDir",
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
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap().trim_end_matches('/').to_owned();
        let target = entry.link_name_bytes().map(|bytes| String::from_utf8(bytes.into_owned()).unwrap()).unwrap_or_default();
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
            tar::EntryType::Regular => format!("file {mode:o} {uid}:{gid} {name} {short}").replace("bin/busybox 1", "bin/busybox 1"),
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

/// Debian's dockerd on the fake host, with everything of its own below the test's folder.
struct Docker<'h> {
    host: &'h Host,
    daemon: Child,
}

impl<'h> Docker<'h> {
    fn start(host: &'h Host) -> Self {
        let at = |name: &str| host.path(name).display().to_string();
        let mut command = host.command("/usr/sbin/dockerd");
        command.args(["-H", &format!("unix://{}", at("docker.sock")), "--data-root", &at("docker-data")]);
        command.args(["--exec-root", &at("docker-exec"), "--pidfile", &at("docker.pid")]);
        command.args(["--bridge", "none", "--iptables=false"]);
        let log = File::create(at("docker.log")).unwrap();
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let docker = Self { host, daemon };
        until("dockerd answers", || (docker.run(&["version"]).code == 0).then_some(()));
        docker
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command("/usr/bin/docker");
        command.env("DOCKER_HOST", format!("unix://{}", self.host.path("docker.sock").display()));
        command.env("DOCKER_BUILDKIT", "0").args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.host.run(&mut self.command(arguments))
    }

    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.daemon.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        self.daemon.wait().unwrap();
        // What dockerd leaves behind is dockerd's.
        let script = "rm -rf /run/containerd /run/docker";
        self.host.run(self.host.command("/bin/sh").args(["-c", script]));
    }

    /// The image as docker has saved it.
    fn saved(&self, name: &str) -> Value {
        let archive = self.host.path("saved.tar");
        self.run(&["save", "-o", archive.to_str().unwrap(), name]).ok();
        let mut members: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for entry in tar::Archive::new(File::open(&archive).unwrap()).entries().unwrap() {
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
}

fn the_corpus_gives_what_docker_gives(host: &Host) {
    let engine = with_base(host);
    let docker = Docker::start(host);
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
        let theirs = docker.saved(&name);
        compared += 1;
        if ours != theirs {
            wrong.push(differences(&case.name, &theirs, &ours));
        }
    }
    docker.stop();
    assert!(wrong.is_empty(), "{} of {compared} differ from docker (-), here (+):\n{}", wrong.len(), wrong.join("\n"));
}
