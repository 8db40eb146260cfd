//! Real registries: Debian's docker-registry with and without TLS and passwords, and `tara registry serve`; with skopeo and podman as
//! the other clients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::docker::{DOCKERD, Docker};
use common::registry::{IP, REGISTRY, docker_registry, loopback, served};
use common::{Engine, error};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use testkit::{BUSYBOX, Host, Need, Output};

const HTPASSWD: Need = Need::Program("htpasswd", "apache2-utils");
const OPENSSL: Need = Need::Program("openssl", "openssl");
const SKOPEO: Need = Need::Program("skopeo", "skopeo");
const PODMAN: Need = Need::Program("podman", "podman");
const UMOCI: Need = Need::Program("umoci", "umoci");

testkit::suite! {
    an_image_goes_to_docker_registry_and_back: [BUSYBOX, REGISTRY, SKOPEO, IP],
    a_changed_image_sends_one_layer: [BUSYBOX, REGISTRY, UMOCI, IP],
    with_tls_and_a_password: [Need::Root, BUSYBOX, REGISTRY, OPENSSL, HTPASSWD, SKOPEO, IP],
    podman_reads_what_was_pushed: [Need::Root, BUSYBOX, REGISTRY, PODMAN, IP],
    run_pulls_what_is_missing: [Need::Root, BUSYBOX, IP],
    a_served_store_is_a_registry: [Need::Root, BUSYBOX, SKOPEO, IP],
    an_index_is_served_as_it_came: [Need::Root, BUSYBOX, SKOPEO, IP],
    what_is_no_image_is_served_too: [BUSYBOX, SKOPEO, IP],
    docker_is_served: [Need::Root, BUSYBOX, DOCKERD, IP],
    podman_is_served: [Need::Root, BUSYBOX, PODMAN, IP],
    a_read_only_store_takes_nothing: [BUSYBOX, IP],
    a_killed_server_leaves_what_can_be_reclaimed: [BUSYBOX, IP],
    credentials_go_through_a_helper: [BUSYBOX, REGISTRY, HTPASSWD, IP],
    a_mirror_is_asked_first: [BUSYBOX, IP],
    saved_archives_are_read_by_others: [BUSYBOX, SKOPEO, IP],
    what_images_are_made_of: [BUSYBOX, SKOPEO, UMOCI, IP],
}

fn skopeo(host: &Host, arguments: &[&str]) -> Output {
    // Without the machine's own settings, by which skopeo looks for signatures in a folder that is root's alone.
    let settings = host.folder("registries.d");
    let mut command = host.command("/usr/bin/skopeo");
    host.run(command.arg("--insecure-policy").arg("--registries.d").arg(settings).args(arguments))
}

/// The digest that skopeo finds at a registry.
fn digest(host: &Host, name: &str) -> String {
    let text = skopeo(host, &["inspect", "--tls-verify=false", &format!("docker://{name}")]).ok();
    let json: Value = serde_json::from_str(&text).unwrap();
    json["Digest"].as_str().unwrap().to_owned()
}

/// The digest in the last line of a push or pull.
fn digest_said(text: &str) -> String {
    let begin = text.find("sha256:").unwrap_or_else(|| panic!("no digest in {text}"));
    text[begin..begin + 71].to_owned()
}

fn second_engine(host: &Host, arguments: &[&str]) -> Output {
    let mut command = host.command(common::TARA);
    command.arg("--root").arg(host.path("second")).arg("--run-root").arg(host.path("second-run")).args(arguments);
    host.run(&mut command)
}

fn an_image_goes_to_docker_registry_and_back(host: &Host) {
    let _registry = docker_registry(host, "", "");
    let engine = Engine::with_box(host);
    engine.tara(&["tag", "box", "127.0.0.1:5000/team/box:1"]).ok();
    let pushed = engine.tara(&["push", "127.0.0.1:5000/team/box:1"]).ok();
    assert!(pushed.contains(": Pushed\n"), "{pushed}");
    let there = digest(host, "127.0.0.1:5000/team/box:1");
    assert_eq!(digest_said(&pushed), there);
    let again = engine.tara(&["push", "127.0.0.1:5000/team/box:1"]).ok();
    assert!(again.contains(": Layer already exists\n") && !again.contains(": Pushed"), "{again}");
    engine.tara(&["tag", "box", "127.0.0.1:5000/other/box:1"]).ok();
    let mounted = engine.tara(&["push", "127.0.0.1:5000/other/box:1"]).ok();
    assert!(mounted.contains(": Mounted from"), "{mounted}");

    let pulled = second_engine(host, &["pull", "127.0.0.1:5000/team/box:1"]).ok();
    assert_eq!(digest_said(&pulled), there);
    assert!(pulled.ends_with("127.0.0.1:5000/team/box:1\n"), "{pulled}");
    let by_digest = format!("127.0.0.1:5000/team/box@{there}");
    second_engine(host, &["pull", "-q", &by_digest]).ok();
    let uname = second_engine(host, &["run", "--rm", "--network", "none", &by_digest, "echo", "it runs"]).ok();
    assert_eq!(uname, "it runs\n");
    let up_to_date = second_engine(host, &["pull", "127.0.0.1:5000/team/box:1"]).ok();
    assert!(up_to_date.contains("Image is up to date for"), "{up_to_date}");
    assert_eq!(second_engine(host, &["search", "127.0.0.1:5000/team"]).ok(), "NAME\n127.0.0.1:5000/team/box\n");
    let manifest = second_engine(host, &["manifest", "inspect", "127.0.0.1:5000/team/box:1"]).ok();
    assert!(manifest.contains("\"layers\""), "{manifest}");
}

/// A second layer on top of `from`, made by umoci, loaded as `to`.
fn one_layer_more(host: &Host, engine: &Engine<'_>, from: &str, to: &str) {
    let (layout, tarball) = (host.path("layout"), host.path("more.tar"));
    let file = host.path("more");
    fs::write(&file, "more").unwrap();
    host.run(host.command("/bin/tar").arg("-cf").arg(&tarball).arg("-C").arg("/run/testkit").arg("more")).ok();
    let from = format!("oci:{}:{from}", engine.root().join("images").display());
    skopeo(host, &["copy", &from, &format!("oci:{}:x", layout.display())]).ok();
    let image = format!("{}:x", layout.display());
    host.run(host.command("/usr/bin/umoci").args(["raw", "add-layer", "--image", &image]).arg(&tarball)).ok();
    engine.tara(&["load", "-i", layout.to_str().unwrap()]).ok();
    engine.tara(&["tag", "x", to]).ok();
}

fn a_changed_image_sends_one_layer(host: &Host) {
    let _registry = docker_registry(host, "", "");
    let engine = Engine::with_box(host);
    engine.tara(&["tag", "box", "127.0.0.1:5000/box:1"]).ok();
    engine.tara(&["push", "127.0.0.1:5000/box:1"]).ok();
    one_layer_more(host, &engine, "box:latest", "127.0.0.1:5000/box:2");
    let pushed = engine.tara(&["push", "127.0.0.1:5000/box:2"]).ok();
    let count = |words: &str| pushed.lines().filter(|line| line.ends_with(words)).count();
    assert_eq!((count(": Pushed"), count(": Layer already exists")), (1, 1), "{pushed}");
    let pulled = second_engine(host, &["pull", "-a", "127.0.0.1:5000/box"]).ok();
    let count = |words: &str| pulled.lines().filter(|line| line.ends_with(words)).count();
    assert_eq!((count(": Pull complete"), count(": Already exists")), (2, 1), "{pulled}");
    assert_eq!(
        second_engine(host, &["run", "--rm", "--network", "none", "127.0.0.1:5000/box:2", "cat", "/more"]).ok(),
        "more"
    );
}

fn htpasswd(host: &Host) -> String {
    let line = host.run(host.command("/usr/bin/htpasswd").args(["-Bbn", "student", "geheim"])).ok();
    let path = host.path("htpasswd");
    fs::write(&path, line).unwrap();
    format!("auth:\n  htpasswd:\n    realm: school\n    path: {}\n", path.display())
}

/// `tara login -u student --password-stdin`.
fn login(engine: &Engine<'_>, name: &str, password: &str) -> Output {
    let mut command = engine.command(&["login", "-u", "student", "--password-stdin", name]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn with_tls_and_a_password(host: &Host) {
    let (key, certificate) = (host.path("key.pem"), host.path("cert.pem"));
    let mut openssl = host.command("/usr/bin/openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=registry.school", "-addext", "subjectAltName=DNS:registry.school"]);
    // As it stands, openssl makes an authority's certificate, which is no server's.
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    host.run(&mut openssl).ok();
    let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
    let _registry = docker_registry(host, &tls, &htpasswd(host));
    let _hosts = host.replace_file("/etc/hosts", "127.0.0.1 localhost registry.school\n");
    let engine = Engine::with_box(host);
    let name = "registry.school:5000/box:1";
    engine.tara(&["tag", "box", name]).ok();
    let unknown = engine.tara(&["push", name]);
    assert!(error(&unknown).1.contains("cannot be trusted"), "{unknown:?}");
    let certs = host.path("home").join(".config/tara/certs.d/registry.school:5000");
    fs::create_dir_all(&certs).unwrap();
    fs::copy(&certificate, certs.join("ca.crt")).unwrap();

    let denied = engine.tara(&["push", name]);
    assert!(error(&denied).1.starts_with("error: push access denied for registry.school:5000/box"), "{denied:?}");
    let wrong = login(&engine, "registry.school:5000", "wrong\n");
    assert!(wrong.code == 1 && wrong.stderr.contains("unauthorized"), "{wrong:?}");
    let good = login(&engine, "registry.school:5000", "geheim\n").ok();
    assert!(good.starts_with("Login Succeeded\n"), "{good}");
    let config: Value =
        serde_json::from_slice(&fs::read(host.path("home").join(".docker/config.json")).unwrap()).unwrap();
    assert_eq!(config["auths"]["registry.school:5000"]["auth"], "c3R1ZGVudDpnZWhlaW0=");
    let pushed = digest_said(&engine.tara(&["push", name]).ok());
    // docker's file, docker's form: skopeo finds the password in it, too.
    let auth = host.path("home").join(".docker/config.json");
    let copy = format!("dir:{}", host.path("copy").display());
    let from = format!("docker://{name}");
    skopeo(host, &["copy", "--authfile", auth.to_str().unwrap(), "--src-tls-verify=false", &from, &copy]).ok();
    engine.tara(&["rmi", name]).ok();
    assert_eq!(digest_said(&engine.tara(&["pull", name]).ok()), pushed);
    assert_eq!(
        engine.tara(&["logout", "registry.school:5000"]).ok(),
        "Removing login credentials for registry.school:5000\n"
    );
    let denied = engine.tara(&["pull", name]);
    assert!(error(&denied).1.starts_with("error: pull access denied for registry.school:5000/box"), "{denied:?}");
}

fn credentials_go_through_a_helper(host: &Host) {
    let _registry = docker_registry(host, "", &htpasswd(host));
    let engine = Engine::with_box(host);
    let (bin, kept) = (host.folder("bin"), host.path("kept"));
    let helper = bin.join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\ncase $1 in store) cat > {0};; get) [ -s {0} ] || {{ echo credentials not found in native keychain; exit 1; }}; cat {0};; erase) rm {0};; esac\n",
        kept.display()
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::create_dir_all(host.path("home").join(".docker")).unwrap();
    fs::write(host.path("home").join(".docker/config.json"), r#"{"credsStore":"test"}"#).unwrap();
    engine.tara(&["tag", "box", "127.0.0.1:5000/box"]).ok();
    let tara = |arguments: &[&str]| {
        let mut command = engine.command(arguments);
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        host.run(&mut command)
    };
    assert!(tara(&["push", "127.0.0.1:5000/box"]).stderr.contains("access denied"));
    let good = tara(&["login", "-u", "student", "-p", "geheim", "127.0.0.1:5000"]).ok();
    assert!(good.contains("docker-credential-test"), "{good}");
    assert!(fs::read_to_string(&kept).unwrap().contains("geheim"));
    assert!(!fs::read_to_string(host.path("home").join(".docker/config.json")).unwrap().contains("auths"));
    tara(&["push", "127.0.0.1:5000/box"]).ok();
    tara(&["logout", "127.0.0.1:5000"]).ok();
    assert!(!kept.exists());
}

/// podman on folders of the test.
fn podman(host: &Host, arguments: &[&str]) -> Output {
    let mut command = host.command("/usr/bin/podman");
    command.arg("--root").arg(host.path("podman")).arg("--runroot").arg(host.path("podman-run"));
    command.args(["--storage-driver", "vfs", "--events-backend", "none"]).args(arguments);
    host.run(&mut command)
}

/// What podman leaves in the fake host's own `/run`.
fn forget_podman(host: &Host) {
    podman(host, &["rmi", "-a", "-f"]).ok();
    fs::remove_dir_all("/run/libpod").unwrap();
}

fn podman_reads_what_was_pushed(host: &Host) {
    let _registry = docker_registry(host, "", "");
    let engine = Engine::with_box(host);
    engine.tara(&["tag", "box", "127.0.0.1:5000/box:1"]).ok();
    engine.tara(&["push", "127.0.0.1:5000/box:1"]).ok();
    let id = engine
        .tara(&["images", "-q", "--no-trunc"])
        .ok()
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("sha256:")
        .to_owned();
    let pulled = podman(host, &["pull", "-q", "--tls-verify=false", "127.0.0.1:5000/box:1"]).ok();
    assert_eq!(pulled.trim(), id);
    forget_podman(host);
}

fn run_pulls_what_is_missing(host: &Host) {
    let engine = Engine::with_box(host);
    let image = "127.0.0.1:5001/box:1";
    let server = served(host, &[]);
    engine.tara(&["tag", "box", image]).ok();
    engine.tara(&["push", image]).ok();
    let never = second_engine(host, &["run", "--rm", "--network", "none", "--pull", "never", image, "true"]);
    assert_eq!(error(&never), (125, "error: no such image: `127.0.0.1:5001/box:1`"));
    let ran = second_engine(host, &["run", "--rm", "--network", "none", image, "echo", "hello"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "hello\n"));
    assert!(
        ran.stderr.starts_with("Unable to find image '127.0.0.1:5001/box:1' locally\n1: Pulling from box\n"),
        "{ran:?}"
    );
    let always = second_engine(host, &["run", "--rm", "--network", "none", "--pull", "always", image, "true"]);
    assert!(always.stderr.contains("Image is up to date for 127.0.0.1:5001/box:1"), "{always:?}");
    drop(server);
    // What is here needs no registry.
    assert_eq!(second_engine(host, &["run", "--rm", "--network", "none", image, "echo", "hello"]).stdout, "hello\n");
    let gone = second_engine(host, &["run", "--rm", "--network", "none", "127.0.0.1:5001/nothing", "true"]);
    assert_eq!(gone.code, 125);
    assert!(gone.stderr.contains("cannot reach the registry `127.0.0.1:5001`"), "{gone:?}");
}

fn served_images(host: &Host) -> String {
    let mut command = host.command(common::TARA);
    command.arg("--root").arg(host.path("served")).arg("--run-root").arg(host.path("served-run")).arg("images");
    host.run(&mut command).ok()
}

fn a_served_store_is_a_registry(host: &Host) {
    let _server = served(host, &[]);
    let engine = Engine::with_box(host);
    let name = "127.0.0.1:5001/team/box:1";
    engine.tara(&["tag", "box", name]).ok();
    let pushed = digest_said(&engine.tara(&["push", name]).ok());
    assert_eq!(digest(host, name), pushed);
    let again = engine.tara(&["push", name]).ok();
    assert!(again.contains(": Layer already exists\n"), "{again}");
    let copy = "docker://127.0.0.1:5001/by/skopeo:2";
    let flags = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    skopeo(host, &[&flags[..], &[&format!("docker://{name}"), copy]].concat()).ok();
    assert_eq!(digest(host, "127.0.0.1:5001/by/skopeo:2"), pushed);
    let there = format!("dir:{}", host.path("there").display());
    skopeo(host, &[&flags[..2], &[copy, &there]].concat()).ok();
    let tags = skopeo(host, &["list-tags", "--tls-verify=false", "docker://127.0.0.1:5001/team/box"]).ok();
    assert!(tags.contains("\"1\""), "{tags}");
    assert_eq!(digest_said(&second_engine(host, &["pull", "127.0.0.1:5001/by/skopeo:2"]).ok()), pushed);
    skopeo(host, &["delete", "--tls-verify=false", copy]).ok();
    let images = served_images(host);
    assert!(images.contains("127.0.0.1:5001/team/box") && !images.contains("by/skopeo"), "{images}");
    // In the served store it is an image like any other.
    let mut run = host.command(common::TARA);
    run.arg("--root").arg(host.path("served")).arg("--run-root").arg(host.path("served-run"));
    assert_eq!(host.run(run.args(["run", "--rm", "--network", "none", name, "echo", "served"])).ok(), "served\n");
}

/// Writes an OCI layout with an index of two platforms; gives the index.
fn two_platforms(host: &Host, engine: &Engine<'_>) -> Vec<u8> {
    let folder = host.path("platforms");
    engine.tara(&["save", "--format", "oci-dir", "-o", folder.to_str().unwrap(), "box"]).ok();
    let blobs = folder.join("blobs/sha256");
    let read = |digest: &Value| -> Value {
        serde_json::from_slice(&fs::read(blobs.join(&digest.as_str().unwrap()[7..])).unwrap()).unwrap()
    };
    let put = |document: &Value, media_type: &Value| -> Value {
        let bytes = document.to_string();
        let digest = step07_images::Digest::of(bytes.as_bytes());
        fs::write(blobs.join(digest.hex()), &bytes).unwrap();
        serde_json::json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let layout: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let here = layout["manifests"][0].clone();
    let mut manifest = read(&here["digest"]);
    let mut config = read(&manifest["config"]["digest"]);
    let own = config["architecture"].clone();
    config["architecture"] = "riscv64".into();
    manifest["config"] = put(&config, &manifest["config"]["mediaType"]);
    let mut other = put(&manifest, &here["mediaType"]);
    other["platform"] = serde_json::json!({"os": "linux", "architecture": "riscv64"});
    let here = serde_json::json!({
        "mediaType": here["mediaType"], "digest": here["digest"], "size": here["size"],
        "platform": {"os": "linux", "architecture": own},
    });
    let media_type = Value::from("application/vnd.oci.image.index.v1+json");
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [other, here]});
    let mut entry = put(&index, &media_type);
    entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "both"});
    let layout = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(folder.join("index.json"), layout.to_string()).unwrap();
    index.to_string().into_bytes()
}

fn an_index_is_served_as_it_came(host: &Host) {
    let _server = served(host, &[]);
    let engine = Engine::with_box(host);
    let index = two_platforms(host, &engine);
    let name = "127.0.0.1:5001/team/both:1";
    let (from, to) = (format!("oci:{}:both", host.path("platforms").display()), format!("docker://{name}"));
    let flags = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"];
    skopeo(host, &[&flags[..], &[&from, &to]].concat()).ok();
    let raw = skopeo(host, &["inspect", "--raw", "--tls-verify=false", &to]).ok();
    assert_eq!(raw.as_bytes(), index);
    // All of it comes back, for each platform the right one, and by the index's digest.
    let whole = step07_images::Digest::of(&index).to_string();
    let back = format!("oci:{}:back", host.path("back").display());
    skopeo(host, &[&flags[..], &[&format!("docker://127.0.0.1:5001/team/both@{whole}"), &back]].concat()).ok();
    for architecture in ["riscv64", step07_images::ARCHITECTURE] {
        let words = ["inspect", "--tls-verify=false", "--override-arch", architecture];
        let json: Value = serde_json::from_str(&skopeo(host, &[&words[..], &[&to]].concat()).ok()).unwrap();
        assert_eq!(json["Architecture"], architecture);
    }
    let tags = skopeo(host, &["list-tags", "--tls-verify=false", "docker://127.0.0.1:5001/team/both"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&tags).unwrap()["Tags"], serde_json::json!(["1"]));
    assert_eq!(digest_said(&second_engine(host, &["pull", name]).ok()), whole);
    assert_eq!(second_engine(host, &["run", "--rm", "--network", "none", name, "echo", "here"]).stdout, "here\n");
    // On the serving machine, too, its name is the image for that machine; and nothing of it counts as left behind.
    let serving = |arguments: &[&str]| {
        let mut command = host.command(common::TARA);
        command.arg("--root").arg(host.path("served")).arg("--run-root").arg(host.path("served-run"));
        host.run(command.args(arguments))
    };
    assert_eq!(serving(&["run", "--rm", "--network", "none", name, "echo", "there"]).ok(), "there\n");
    let left = serving(&["system", "check"]).stdout;
    assert!(!left.contains("a blob of no image"), "{left}");
    // By its digest all names of the index go; what it named stays until it is deleted itself.
    skopeo(host, &["delete", "--tls-verify=false", &to]).ok();
    assert!(skopeo(host, &["inspect", "--tls-verify=false", &to]).code != 0);
    // An index of what is not here is refused.
    let lost = "docker://127.0.0.1:5001/elsewhere/both:1";
    let only = ["copy", "--multi-arch", "index-only", "--src-tls-verify=false", "--dest-tls-verify=false"];
    let refused = skopeo(host, &[&only[..], &[&from, lost]].concat());
    assert!(refused.code != 0 && refused.stderr.contains("is not here"), "{refused:?}");
}

/// One request to the served store: status, head and body.
fn ask(method: &str, path: &str, media_type: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect("127.0.0.1:5001").unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:5001\r\nConnection: close\r\n");
    let about = format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all([&head, &about, body].concat().as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

/// As `oras` and `helm` push: a configuration that is no image's, one layer that is no tar, about an image.
fn what_is_no_image_is_served_too(host: &Host) {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let server = served(host, &[]);
    let engine = Engine::with_box(host);
    engine.tara(&["tag", "box", "127.0.0.1:5001/team/box:1"]).ok();
    let image = digest_said(&engine.tara(&["push", "127.0.0.1:5001/team/box:1"]).ok());
    let blob = |content: &str| {
        let digest = step07_images::Digest::of(content.as_bytes());
        let (status, ..) = ask("POST", &format!("/v2/team/box/blobs/uploads/?digest={digest}"), "", content);
        assert_eq!(status, 201);
        serde_json::json!({"mediaType": "text/plain", "digest": digest.to_string(), "size": content.len()})
    };
    let (mut config, layer) = (blob("{}"), blob("signed"));
    config["mediaType"] = "application/vnd.oci.empty.v1+json".into();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-signature", "config": config,
        "layers": [layer], "annotations": {"by": "teacher"},
        "subject": {"mediaType": MANIFEST, "digest": image, "size": 1},
    })
    .to_string();
    let (status, head, _) = ask("PUT", "/v2/team/box/manifests/signature", MANIFEST, &manifest);
    assert_eq!(status, 201, "{head}");
    assert!(head.contains(&format!("OCI-Subject: {image}")), "{head}");
    let (status, head, body) = ask("GET", "/v2/team/box/manifests/signature", "", "");
    assert!(status == 200 && body == manifest && head.contains(MANIFEST), "{head}");
    let digest = step07_images::Digest::of(manifest.as_bytes());
    assert_eq!(ask("GET", &format!("/v2/team/box/manifests/{digest}"), "", "").2, manifest);
    let content = layer["digest"].as_str().unwrap().to_owned();
    assert_eq!(ask("GET", &format!("/v2/team/box/blobs/{content}"), "", "").2, "signed");
    let tags = |name: &str| -> Value {
        serde_json::from_str(&ask("GET", &format!("/v2/{name}/tags/list"), "", "").2).unwrap()
    };
    assert_eq!(tags("team/box")["tags"], serde_json::json!(["1", "signature"]));
    let referrers = |query: &str| -> Value {
        serde_json::from_str(&ask("GET", &format!("/v2/team/box/referrers/{image}{query}"), "", "").2).unwrap()
    };
    let found = &referrers("")["manifests"];
    assert_eq!((&found[0]["digest"], &found[0]["annotations"]["by"]), (&digest.to_string().into(), &"teacher".into()));
    assert_eq!(found[0]["artifactType"], "application/x-signature");
    assert_eq!(referrers("?artifactType=other")["manifests"], serde_json::json!([]));
    // The image is what it was, and the signature is none.
    assert_eq!(self::digest(host, "127.0.0.1:5001/team/box:1"), image);
    assert!(!served_images(host).contains("signature"));
    let pulled = second_engine(host, &["pull", "127.0.0.1:5001/team/box:signature"]);
    assert_eq!(pulled.code, 1, "{pulled:?}");
    // It outlives the server, until it is deleted.
    drop(server);
    let _server = served(host, &[]);
    assert_eq!(ask("GET", "/v2/team/box/manifests/signature", "", "").2, manifest);
    assert_eq!(ask("DELETE", "/v2/team/box/manifests/signature", "", "").0, 202);
    assert_eq!(ask("GET", "/v2/team/box/manifests/signature", "", "").0, 404);
    assert_eq!(ask("GET", &format!("/v2/team/box/blobs/{content}"), "", "").0, 404);
    assert_eq!(self::digest(host, "127.0.0.1:5001/team/box:1"), image);
    let missing = manifest.replace(&content, &format!("sha256:{:064}", 1));
    assert_eq!(ask("PUT", "/v2/team/box/manifests/x", MANIFEST, &missing).0, 404);
}

fn docker_is_served(host: &Host) {
    let _server = served(host, &[]);
    let at = |name: &str| host.path(name).display().to_string();
    let docker = Docker::without_network(host);
    let root = host.busybox_root("box");
    let pack = format!("tar -C {} -c . > {}", root.display(), at("box.tar"));
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", &pack])).code, 0);
    let name = "127.0.0.1:5001/by/docker:1";
    docker.run(&["import", &at("box.tar"), name]).ok();
    let pushed = digest_said(&docker.run(&["push", name]).ok());
    assert_eq!(digest(host, name), pushed);
    assert!(docker.run(&["push", name]).ok().contains("Layer already exists"));
    docker.run(&["rmi", name]).ok();
    assert_eq!(digest_said(&docker.run(&["pull", name]).ok()), pushed);
    docker.run(&["pull", &format!("127.0.0.1:5001/by/docker@{pushed}")]).ok();
    assert!(docker.run(&["manifest", "inspect", "--insecure", name]).ok().contains("rootfs.diff.tar.gzip"));
    let gone = docker.run(&["pull", "127.0.0.1:5001/by/nobody"]);
    assert!(gone.code != 0 && gone.stderr.contains("not found"), "{gone:?}");
    assert_eq!(second_engine(host, &["run", "--rm", "--network", "none", name, "echo", "both"]).stdout, "both\n");
    docker.stop();
}

fn podman_is_served(host: &Host) {
    let _server = served(host, &[]);
    let engine = Engine::with_box(host);
    engine.tara(&["tag", "box", "127.0.0.1:5001/box:1"]).ok();
    engine.tara(&["push", "127.0.0.1:5001/box:1"]).ok();
    podman(host, &["pull", "-q", "--tls-verify=false", "127.0.0.1:5001/box:1"]).ok();
    podman(host, &["tag", "127.0.0.1:5001/box:1", "127.0.0.1:5001/by/podman:1"]).ok();
    podman(host, &["push", "-q", "--tls-verify=false", "127.0.0.1:5001/by/podman:1"]).ok();
    forget_podman(host);
    assert_eq!(
        second_engine(host, &["run", "--rm", "--network", "none", "127.0.0.1:5001/by/podman:1", "echo", "both"]).stdout,
        "both\n"
    );
}

fn a_read_only_store_takes_nothing(host: &Host) {
    let _server = served(host, &["--read-only"]);
    let engine = Engine::with_box(host);
    engine.tara(&["tag", "box", "127.0.0.1:5001/box:1"]).ok();
    let refused = engine.tara(&["push", "127.0.0.1:5001/box:1"]);
    assert!(refused.code == 1 && refused.stderr.contains("this registry is read-only"), "{refused:?}");
    assert_eq!(served_images(host).lines().count(), 1);
}

fn a_killed_server_leaves_what_can_be_reclaimed(host: &Host) {
    let server = served(host, &[]);
    let engine = Engine::with_box(host);
    engine.tara(&["tag", "box", "127.0.0.1:5001/box:1"]).ok();
    engine.tara(&["push", "127.0.0.1:5001/box:1"]).ok();
    drop(server);
    let tara = |arguments: &[&str]| {
        let mut command = host.command(common::TARA);
        command.arg("--root").arg(host.path("served")).arg("--run-root").arg(host.path("served-run"));
        host.run(command.args(arguments))
    };
    assert!(tara(&["system", "check"]).stdout.starts_with("interrupted work"));
    tara(&["system", "reclaim"]).ok();
    assert_eq!(tara(&["system", "check"]).ok(), "nothing is left behind\n");
    assert_eq!(tara(&["run", "--rm", "--network", "none", "127.0.0.1:5001/box:1", "echo", "kept"]).ok(), "kept\n");
    let mut server = served(host, &[]);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(server.0.id().try_into().unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert!(server.0.wait().unwrap().success());
    assert_eq!(tara(&["system", "check"]).ok(), "nothing is left behind\n");
}

/// One archive of each form, read by whom it is for, and by `load`.
fn saved_archives_are_read_by_others(host: &Host) {
    let engine = Engine::with_box(host);
    let manifest = |text: &str| text.lines().next().unwrap().to_owned();
    let id = manifest(&engine.tara(&["images", "-q", "--no-trunc"]).ok());
    for (format, transport) in
        [("docker-archive", "docker-archive"), ("oci-archive", "oci-archive"), ("oci-dir", "oci")]
    {
        let path = host.path(format);
        engine.tara(&["save", "--format", format, "-o", path.to_str().unwrap(), "box"]).ok();
        let name = if transport == "docker-archive" { "docker.io/library/box:latest" } else { "box:latest" };
        let from = format!("{transport}:{}:{name}", path.display());
        let copy = host.path(&format!("{format}-copy"));
        skopeo(host, &["copy", &from, &format!("oci:{}:copy", copy.display())]).ok();
        assert_eq!(second_engine(host, &["load", "-i", path.to_str().unwrap()]).ok(), "Loaded image: box:latest\n");
        assert_eq!(manifest(&second_engine(host, &["images", "-q", "--no-trunc"]).ok()), id);
        assert_eq!(
            second_engine(host, &["run", "--rm", "--network", "none", "box", "echo", format]).ok(),
            format!("{format}\n")
        );
        second_engine(host, &["rmi", "box"]).ok();
    }
    let stdout = engine.command(&["save", "box"]).output().unwrap().stdout;
    assert_eq!(stdout, fs::read(host.path("docker-archive")).unwrap());
    let refused = engine.tara(&["save", "--format", "oci-dir", "-o", host.path("oci-dir").to_str().unwrap(), "box"]);
    assert!(refused.code == 1 && refused.stderr.contains("EEXIST"), "{refused:?}");
}

fn what_images_are_made_of(host: &Host) {
    loopback(host);
    let engine = Engine::with_box(host);
    one_layer_more(host, &engine, "box:latest", "two:1");
    let history = engine.tara(&["history", "two:1"]).ok();
    assert!(
        history.starts_with("IMAGE ") && history.lines().count() == 3 && history.contains("<missing>"),
        "{history}"
    );
    let json = engine.tara(&["history", "--format", "json", "box"]).ok();
    let line: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(line["Comment"], "imported");
    let digests = engine.tara(&["images", "--digests"]).ok();
    assert!(digests.contains("sha256:"), "{digests}");
    let tree = engine.tara(&["images", "--tree"]).ok();
    assert!(tree.contains("├─ ") && tree.contains("└─ ") && tree.contains("shared with 1 more"), "{tree}");
    engine.tara(&["create", "--name", "user", "box"]).ok();
    let df = engine.tara(&["system", "df"]).ok();
    let images = df.lines().find(|line| line.starts_with("Images ")).unwrap();
    assert_eq!(images.split_whitespace().nth(2), Some("1"), "{df}");
    let df = engine.tara(&["system", "df", "-v"]).ok();
    let words = df.split_whitespace().collect::<Vec<_>>().join(" ");
    for header in [
        "Images space usage: REPOSITORY TAG IMAGE ID CREATED SIZE SHARED SIZE UNIQUE SIZE CONTAINERS box latest ",
        "Containers space usage: CONTAINER ID IMAGE COMMAND LOCAL VOLUMES SIZE CREATED STATUS NAMES ",
        "Local Volumes space usage: VOLUME NAME LINKS SIZE",
    ] {
        assert!(words.contains(header), "{header}: {df}");
    }
    // The two images have the same base: what only one of them has is the one layer more.
    let line = |name: &str| df.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("box ").contains(" 0B ") && line("box ").ends_with(" 1"), "{df}");
    assert!(line("two ").ends_with(" 0") && !line("two ").contains(" 0B "), "{df}");
    engine.tara(&["rm", "user"]).ok();
}

fn a_mirror_is_asked_first(host: &Host) {
    let _server = served(host, &[]);
    let engine = Engine::with_box(host);
    engine.tara(&["tag", "box", "127.0.0.1:5001/team/box:1"]).ok();
    engine.tara(&["push", "127.0.0.1:5001/team/box:1"]).ok();
    let folder = host.path("home").join(".config/tara");
    fs::create_dir_all(&folder).unwrap();
    let settings = folder.join("registries.toml");
    fs::write(&settings, "[\"school.example\"]\nmirrors = [\"http://127.0.0.1:5009\", \"http://127.0.0.1:5001\"]\n")
        .unwrap();
    let pulled = second_engine(host, &["pull", "school.example/team/box:1"]).ok();
    assert!(pulled.ends_with("\nschool.example/team/box:1\n"), "{pulled}");
    assert_eq!(
        second_engine(host, &["run", "--rm", "--network", "none", "school.example/team/box:1", "echo", "near"]).ok(),
        "near\n"
    );
    fs::write(&settings, "[\"school.example\"]\nmirror = []\n").unwrap();
    let wrong = second_engine(host, &["pull", "school.example/team/box:1"]);
    assert!(
        wrong.code == 1 && wrong.stderr.contains("registries.toml") && wrong.stderr.contains("mirror"),
        "{wrong:?}"
    );
}
