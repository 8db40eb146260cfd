//! Pulls from a registry that the test writes: one that lies, leads astray, lets bytes drip, hangs up; and one that is honest
//! while the puller is killed, meets a full disk, or is not alone.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod common;

use common::fake::{Asked, Fake, Image, MANIFEST, finish, say, send};
use common::{Blob, Layer, count, open};
use nix::mount::{MsFlags, mount, umount};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use step07_images::registry::{Credentials, Error as RegistryError, Keyring, Patience, Registries, Settings};
use step07_images::{Digest, Error, Store};
use testkit::{Host, Need, Test, until};

macro_rules! tests {
    ($($name:ident: [$($need:expr),*]),* $(,)?) => {
        const TESTS: &[Test] = &[$(Test { name: stringify!($name), needs: &[$($need),*], body: $name }),*];
    };
}

const IP: Need = Need::Program("ip", "iproute2");

tests! {
    an_honest_image_comes_whole: [IP],
    a_layer_that_is_another_is_refused: [IP],
    a_size_that_is_another_is_refused: [IP],
    a_tar_that_is_another_is_refused: [IP],
    a_manifest_that_is_another_is_refused: [IP],
    an_endless_manifest_is_refused: [IP],
    media_types_that_disagree_are_refused: [IP],
    another_platform_is_refused: [IP],
    a_detour_over_a_file_is_refused: [IP],
    detours_in_a_circle_and_without_an_end_are_refused: [IP],
    a_detour_to_another_host_gets_no_password: [IP],
    a_realm_elsewhere_gets_no_password: [IP],
    a_realm_that_is_a_file_is_refused: [IP],
    a_token_opens_the_registry: [IP],
    bytes_that_drip_are_not_waited_for: [IP],
    silence_is_not_waited_for: [IP],
    a_pull_that_is_cut_goes_on: [IP],
    a_registry_without_ranges_is_read_again: [IP],
    the_next_pull_goes_on_where_the_last_was_cut: [IP],
    a_pull_cut_anywhere_goes_on_from_there: [IP],
    the_memory_of_a_pull_has_a_bound: [IP],
    a_killed_pull_leaves_a_valid_store: [IP],
    two_pulls_at_once_unpack_once: [IP],
    a_full_disk_is_said_and_leaves_a_valid_store: [IP],
    the_program_runs_an_image: [IP, Need::Root, testkit::BUSYBOX],
}

/// This program is also the one that pulls: a pull that is killed has to be a process.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [_, "pull", root, name] => match pull(&open(Path::new(root)), name) {
            Ok(pulled) => println!("{} {}", if pulled.is_new { "new" } else { "old" }, peak()),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        },
        _ => return testkit::main(TESTS),
    }
    ExitCode::SUCCESS
}

/// The most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn registries(keyring: &Path) -> Registries {
    let patience = Patience {
        silence: Duration::from_millis(600),
        retries: 3,
        pause: Duration::from_millis(5),
        slowest: 1024,
        window: Duration::from_millis(800),
    };
    Registries::new(Settings::default().with_patience(patience), Keyring::at(keyring.to_owned()))
}

fn pull(store: &Store, name: &str) -> Result<step07_images::registry::Pulled, Error> {
    store.pull(&registries(Path::new("/nonexistent")), &name.parse().unwrap(), None, &())
}

fn loopback(host: &Host) {
    host.run(host.command("/sbin/ip").args(["link", "set", "lo", "up"])).ok();
}

/// Two layers of some files, one gzip, one zstd.
fn image() -> Image {
    let small = (0..200).fold(Layer::default().folder("small/"), |layer, number| {
        layer.file(&format!("small/{number}"), number.to_string().repeat(100).as_bytes())
    });
    // Not to be compressed: the blob is as long as the file.
    let noise: Vec<u8> =
        (0..40_000_u32).flat_map(|number| Digest::of(&number.to_le_bytes()).hex().into_bytes()).collect();
    let large = Layer::default().file("large", &noise);
    Image::new(&[Blob::gzip(&small.end()), Blob::zstd(&large.end())])
}

/// Pulls from a registry of that answer, which must be refused in time; nothing is left of it.
fn refused(host: &Host, answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Error {
    loopback(host);
    let registry = Fake::new("127.0.0.1", answer);
    let store = open(&host.path("store"));
    let begin = Instant::now();
    let error = pull(&store, &registry.name("x:1")).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(10), "{error} took {:?}", begin.elapsed());
    assert_eq!(store.list().unwrap(), []);
    let downloads = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("download-");
    let left: Vec<_> = store.check().unwrap().into_iter().filter(|left| !downloads(left.path())).collect();
    assert_eq!(left, []);
    error
}

fn assert_whole(store: &Store, name: &str) {
    let image = store.resolve(name).unwrap();
    assert_eq!(count(&image.layers[0].join("small")), 200);
    assert_eq!(fs::metadata(image.layers[1].join("large")).unwrap().len(), 40_000 * 64);
    assert_eq!(store.check().unwrap(), []);
}

fn an_honest_image_comes_whole(host: &Host) {
    loopback(host);
    let image = image();
    let digest = Digest::of(&image.manifest);
    let registry = Fake::new("127.0.0.1", move |asked, stream| image.answer(asked, stream));
    let store = open(&host.path("store"));
    let name = registry.name("x:1");
    let pulled = pull(&store, &name).unwrap();
    assert_eq!((pulled.digest, pulled.is_new), (digest, true));
    assert_whole(&store, &name);
    assert!(!pull(&store, &name).unwrap().is_new);
    let by_digest = format!("{}@{digest}", registry.name("x"));
    assert_whole(&store, &by_digest);
    // By its digest it is another name of what is here: not one layer is read again.
    let before = registry.asked().len();
    assert!(pull(&store, &by_digest).unwrap().is_new);
    assert!(
        registry.asked()[before..].iter().all(|asked| !asked.path.contains("blobs") || !asked.path.ends_with("layer"))
    );
    assert_whole(&store, &by_digest);
}

fn a_layer_that_is_another_is_refused(host: &Host) {
    let image = image();
    let error = refused(host, move |asked, stream| match image.layer(&asked.path) {
        Some(layer) => {
            let mut bytes = layer.bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            send(stream, asked, &bytes, usize::MAX);
        }
        None => image.answer(asked, stream),
    });
    let expected =
        matches!(error, Error::WrongDigest { .. } | Error::Entry { .. } | Error::WrongDiffId { .. } | Error::Io { .. });
    assert!(expected, "{error}");
}

fn a_size_that_is_another_is_refused(host: &Host) {
    for more in [true, false] {
        let image = image();
        let error = refused(host, move |asked, stream| match image.layer(&asked.path) {
            Some(layer) if more => send(stream, asked, &[&layer.bytes[..], b"more"].concat(), usize::MAX),
            Some(layer) => send(stream, asked, &layer.bytes[..layer.bytes.len() - 1], usize::MAX),
            None => image.answer(asked, stream),
        });
        assert!(matches!(error, Error::WrongSize { .. }), "{error}");
    }
}

fn a_tar_that_is_another_is_refused(host: &Host) {
    let mut layer = Blob::gzip(&Layer::default().file("a", b"a").end());
    layer.diff_id = Digest::of(b"another");
    let image = Image::new(&[layer]);
    let error = refused(host, move |asked, stream| image.answer(asked, stream));
    assert!(matches!(error, Error::WrongDiffId { .. }), "{error}");
}

fn a_manifest_that_is_another_is_refused(host: &Host) {
    let image = image();
    let error = refused(host, move |asked, stream| match asked.path.contains("/manifests/") {
        true => {
            let headers = format!("Content-Type: {MANIFEST}\r\nDocker-Content-Digest: {}\r\n", Digest::of(b"another"));
            say(stream, 200, &headers, &image.manifest);
        }
        false => image.answer(asked, stream),
    });
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

fn an_endless_manifest_is_refused(host: &Host) {
    let error = refused(host, |asked, stream| {
        if asked.path == "/v2/" {
            return say(stream, 200, "", b"{}");
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n", &[b' '; 0x10000][..], b"\r\n"].concat();
        let _gone = stream.write_all(head.as_bytes());
        while stream.write_all(&chunk).is_ok() {}
    });
    assert!(matches!(error, Error::Registry(RegistryError::TooLarge { .. })), "{error}");
}

fn media_types_that_disagree_are_refused(host: &Host) {
    let image = image();
    let error = refused(host, move |asked, stream| match asked.path.contains("/manifests/") {
        true => say(stream, 200, "Content-Type: application/vnd.oci.image.index.v1+json\r\n", &image.manifest),
        false => image.answer(asked, stream),
    });
    assert!(error.to_string().contains("the document itself"), "{error}");
}

fn another_platform_is_refused(host: &Host) {
    let image = image();
    let error = refused(host, move |asked, stream| match asked.path.contains("/manifests/") {
        true => {
            let index = "application/vnd.oci.image.index.v1+json";
            let entry = |architecture: &str| {
                json!({"mediaType": MANIFEST, "digest": Digest::of(b"x").to_string(), "size": 1,
                    "platform": {"os": "linux", "architecture": architecture}})
            };
            let body = json!({"schemaVersion": 2, "mediaType": index, "manifests": [entry("s390x"), entry("ppc64le")]});
            say(stream, 200, &format!("Content-Type: {index}\r\n"), body.to_string().as_bytes());
        }
        false => image.answer(asked, stream),
    });
    let wanted = format!("no matching manifest for linux/{}", sys::arch::OCI_ARCHITECTURE);
    assert!(error.to_string().starts_with(&wanted), "{error}");
}

fn a_detour_over_a_file_is_refused(host: &Host) {
    for to in ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher:x", "data:,x", "/\r\n"] {
        let image = image();
        let error = refused(host, move |asked, stream| match image.layer(&asked.path) {
            Some(_) => say(stream, 307, &format!("Location: {}\r\n", to.trim()), b""),
            None => image.answer(asked, stream),
        });
        let expected = matches!(
            error,
            Error::Registry(
                RegistryError::RedirectScheme { .. } | RegistryError::Status { .. } | RegistryError::NotFound { .. }
            )
        );
        assert!(expected, "{to}: {error}");
    }
}

fn detours_in_a_circle_and_without_an_end_are_refused(host: &Host) {
    let error = refused(host, |asked, stream| match asked.path.as_str() {
        "/v2/" => say(stream, 200, "", b"{}"),
        "/other" => say(stream, 302, "Location: /v2/x/manifests/1\r\n", b""),
        _ => say(stream, 302, "Location: /other\r\n", b""),
    });
    assert!(matches!(error, Error::Registry(RegistryError::RedirectLoop { .. })), "{error}");
    let error = refused(host, |asked, stream| match asked.path.as_str() {
        "/v2/" => say(stream, 200, "", b"{}"),
        path => say(stream, 302, &format!("Location: {path}x\r\n"), b""),
    });
    assert!(matches!(error, Error::Registry(RegistryError::RedirectMost { .. })), "{error}");
}

/// A registry that wants a password, and a keyring that has it.
fn keyring(host: &Host, registry: &Fake) -> std::path::PathBuf {
    let path = host.path("config.json");
    let credentials = Credentials { user: "u".into(), secret: "secret".into(), is_token: false };
    Keyring::at(path.clone()).keep(&registry.address.to_string(), &credentials).unwrap();
    path
}

fn is_open(asked: &Asked) -> bool {
    asked.header("authorization").is_some()
}

fn a_detour_to_another_host_gets_no_password(host: &Host) {
    loopback(host);
    let (there, here) = (image(), image());
    let other = Fake::new("127.0.0.2", move |asked, stream| there.answer(asked, stream));
    let to = other.address;
    let registry = Fake::new("127.0.0.1", move |asked, stream| match here.layer(&asked.path) {
        _ if !is_open(asked) => say(stream, 401, "WWW-Authenticate: Basic realm=x\r\n", b"{}"),
        Some(_) => say(stream, 307, &format!("Location: http://{to}{}\r\n", asked.path), b""),
        None => here.answer(asked, stream),
    });
    let store = open(&host.path("store"));
    let name = registry.name("x:1");
    let registries = registries(&keyring(host, &registry));
    store.pull(&registries, &name.parse().unwrap(), None, &()).unwrap();
    assert_whole(&store, &name);
    assert_eq!(other.asked().len(), 2);
    assert!(other.asked().iter().all(|asked| !is_open(asked)), "the other host got the password");
}

fn a_realm_elsewhere_gets_no_password(host: &Host) {
    loopback(host);
    let other = Fake::new("127.0.0.2", |_, stream| say(stream, 200, "", br#"{"token":"t"}"#));
    let to = other.address;
    let registry = Fake::new("127.0.0.1", move |_, stream| {
        say(stream, 401, &format!("WWW-Authenticate: Bearer realm=\"http://{to}/token\"\r\n"), b"{}");
    });
    let registries = registries(&keyring(host, &registry));
    let store = open(&host.path("store"));
    let error = store.pull(&registries, &registry.name("x:1").parse().unwrap(), None, &()).unwrap_err();
    assert!(matches!(error, Error::Registry(RegistryError::RealmElsewhere { .. })), "{error}");
    assert_eq!(other.asked().len(), 0);
}

fn a_realm_that_is_a_file_is_refused(host: &Host) {
    for realm in ["file:///etc/passwd", "ftp://127.0.0.1/", "nonsense", ""] {
        let error = refused(host, move |_, stream| {
            say(stream, 401, &format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"), b"{}");
        });
        assert!(matches!(error, Error::Registry(RegistryError::RealmScheme { .. })), "{realm}: {error}");
    }
}

fn a_token_opens_the_registry(host: &Host) {
    loopback(host);
    let image = image();
    let registry = Fake::new("127.0.0.1", move |asked, stream| {
        let own = asked.header("host").unwrap().to_owned();
        match asked.header("authorization") {
            _ if asked.path.starts_with("/token") => {
                assert!(
                    asked.path.contains("service=s") && asked.path.contains("repository%3Ax%3Apull"),
                    "{}",
                    asked.path
                );
                say(stream, 200, "", br#"{"token":"good"}"#);
            }
            Some("Bearer good") => image.answer(asked, stream),
            _ => {
                let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"s\"\r\n");
                say(stream, 401, &challenge, b"{}");
            }
        }
    });
    let store = open(&host.path("store"));
    let name = registry.name("x:1");
    pull(&store, &name).unwrap();
    assert_whole(&store, &name);
    assert_eq!(registry.asked().iter().filter(|asked| asked.path.starts_with("/token")).count(), 1);
}

fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    let length = bytes.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nContent-Length: {length}\r\n\r\n");
    let _gone = stream.write_all(head.as_bytes());
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn bytes_that_drip_are_not_waited_for(host: &Host) {
    for in_manifest in [true, false] {
        let image = image();
        let error = refused(host, move |asked, stream| match image.layer(&asked.path) {
            Some(layer) => drip(stream, &layer.bytes),
            None if in_manifest && asked.path.contains("/manifests/") => drip(stream, &[b' '; 1000]),
            None => image.answer(asked, stream),
        });
        assert!(matches!(error, Error::Registry(RegistryError::TooSlow { .. })), "{error}");
    }
}

fn silence_is_not_waited_for(host: &Host) {
    let image = image();
    let error = refused(host, move |asked, stream| match image.layer(&asked.path) {
        Some(layer) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", layer.bytes.len());
            let _gone = stream.write_all(head.as_bytes());
            finish(&mut stream.try_clone().unwrap());
            std::thread::sleep(Duration::from_secs(5));
        }
        None => image.answer(asked, stream),
    });
    assert!(matches!(error, Error::Registry(RegistryError::Cut { .. } | RegistryError::Silent { .. })), "{error}");
}

fn a_pull_that_is_cut_goes_on(host: &Host) {
    loopback(host);
    let image = image();
    let sent = std::sync::Arc::new(AtomicUsize::new(0));
    let total: usize = image.layers.iter().map(|layer| layer.bytes.len()).sum();
    let counter = std::sync::Arc::clone(&sent);
    // Ten pieces of a length that no buffer has.
    let registry = Fake::new("127.0.0.1", move |asked, stream| match image.layer(&asked.path) {
        Some(layer) => {
            let most = layer.bytes.len() / 10 - 7;
            counter.fetch_add((layer.bytes.len() - asked.from()).min(most), Ordering::Relaxed);
            send(stream, asked, &layer.bytes, most);
        }
        None => image.answer(asked, stream),
    });
    let store = open(&host.path("store"));
    let name = registry.name("x:1");
    pull(&store, &name).unwrap();
    assert_whole(&store, &name);
    assert_eq!(sent.load(Ordering::Relaxed), total, "something was sent twice");
    assert!(registry.asked().iter().filter(|asked| asked.from() > 0).count() >= 20);
}

fn a_registry_without_ranges_is_read_again(host: &Host) {
    loopback(host);
    let image = image();
    let first = AtomicBool::new(true);
    let registry = Fake::new("127.0.0.1", move |asked, stream| match image.layer(&asked.path) {
        Some(layer) => {
            let cut = layer.bytes.len() > 100_000 && first.swap(false, Ordering::Relaxed);
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", layer.bytes.len());
            let most = if cut { 70_001 } else { layer.bytes.len() };
            let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&layer.bytes[..most]));
            finish(stream);
        }
        None => image.answer(asked, stream),
    });
    let store = open(&host.path("store"));
    let name = registry.name("x:1");
    pull(&store, &name).unwrap();
    assert_whole(&store, &name);
}

fn the_next_pull_goes_on_where_the_last_was_cut(host: &Host) {
    loopback(host);
    let image = image();
    let [small, large] = [0, 1].map(|number| image.layers[number].digest.to_string());
    let length = image.layers[1].bytes.len();
    let is_down = std::sync::Arc::new(AtomicBool::new(false));
    let down = std::sync::Arc::clone(&is_down);
    let registry = Fake::new("127.0.0.1", move |asked, stream| match image.layer(&asked.path) {
        Some(layer) if layer.bytes.len() == length && !down.load(Ordering::Relaxed) => {
            // After that it hangs up at once, as often as it is asked.
            let most = if asked.from() == 0 { 1_000_003 } else { 0 };
            send(stream, asked, &layer.bytes, most);
        }
        _ => image.answer(asked, stream),
    });
    let store = open(&host.path("store"));
    let name = registry.name("x:1");
    let error = pull(&store, &name).unwrap_err();
    assert!(matches!(error, Error::Registry(RegistryError::Cut { .. })), "{error}");
    assert_eq!(store.list().unwrap(), []);
    is_down.store(true, Ordering::Relaxed);
    let before = registry.asked().len();
    pull(&store, &name).unwrap();
    assert_whole(&store, &name);
    let second = registry.asked().split_off(before);
    let of =
        |digest: &str| second.iter().filter(|asked| asked.path.ends_with(digest)).map(Asked::from).collect::<Vec<_>>();
    assert_eq!((of(&small), of(&large)), (vec![], vec![1_000_003]));
}

/// Ten pulls whose registry goes away after so many bytes, and comes back.
fn a_pull_cut_anywhere_goes_on_from_there(host: &Host) {
    use std::hash::BuildHasher;
    loopback(host);
    let image = image();
    let total: usize = image.layers.iter().map(|layer| layer.bytes.len()).sum();
    let digests: Vec<String> = image.layers.iter().map(|layer| layer.digest.to_string()).collect();
    let left = std::sync::Arc::new(AtomicUsize::new(0));
    let budget = std::sync::Arc::clone(&left);
    let registry = Fake::new("127.0.0.1", move |asked, stream| match image.layer(&asked.path) {
        Some(layer) => {
            let wanted = layer.bytes.len() - asked.from();
            let take = |left: usize| Some(left - left.min(wanted));
            let most = budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap();
            send(stream, asked, &layer.bytes, most);
        }
        None => image.answer(asked, stream),
    });
    let name = registry.name("x:1");
    for round in 0..10 {
        let number = std::hash::RandomState::new().hash_one(round);
        let cut = usize::try_from(number).unwrap() % (total - 1);
        let root = host.path(&format!("cut-{round}"));
        let store = open(&root);
        left.store(cut, Ordering::Relaxed);
        let error = pull(&store, &name).unwrap_err();
        assert!(matches!(error, Error::Registry(RegistryError::Cut { .. })), "at {cut}: {error}");
        assert_eq!(store.list().unwrap(), []);
        let kept = |digest: &str| {
            let blob = root.join(format!("tmp/download-{}/blob", digest.trim_start_matches("sha256:")));
            fs::metadata(blob).map_or(0, |data| usize::try_from(data.len()).unwrap())
        };
        let kept: Vec<usize> = digests.iter().map(|digest| kept(digest)).collect();
        let before = registry.asked().len();
        left.store(usize::MAX, Ordering::Relaxed);
        pull(&store, &name).unwrap();
        assert_whole(&store, &name);
        // What was there is asked for no more: of a layer that was whole, nothing.
        for asked in &registry.asked()[before..] {
            if let Some(layer) = digests.iter().position(|digest| asked.path.ends_with(digest)) {
                assert_eq!(asked.from(), kept[layer], "cut at {cut}");
            }
        }
    }
}

/// However large the layers are, and however well they compress.
fn the_memory_of_a_pull_has_a_bound(host: &Host) {
    loopback(host);
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|number| Digest::of(&number.to_le_bytes()).hex().into_bytes()).collect();
    let layer = |name: &str| (0..8).fold(Layer::default(), |layer, n| layer.file(&format!("{name}-{n}"), &noise)).end();
    let [one, two, three] = ["one", "two", "three"].map(layer);
    let image = Image::new(&[Blob::gzip(&one), Blob::zstd(&two), Blob::plain(three)]);
    let registry = Fake::new("127.0.0.1", move |asked, stream| image.answer(asked, stream));
    let output = puller(host, "store", &registry.name("x:1")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let peak: u64 = said.trim().strip_prefix("new ").unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB for three layers of 100 MB side by side");
}

fn puller(host: &Host, root: &str, name: &str) -> Command {
    let mut command = host.command("/proc/self/exe");
    command.arg("pull").arg(host.path(root)).arg(name).stdout(Stdio::piped());
    command
}

fn a_killed_pull_leaves_a_valid_store(host: &Host) {
    loopback(host);
    let image = image();
    let large = image.layers[1].clone();
    let hangs = std::sync::Arc::new(AtomicBool::new(true));
    let hanging = std::sync::Arc::clone(&hangs);
    let registry = Fake::new("127.0.0.1", move |asked, stream| match image.layer(&asked.path) {
        Some(layer) if layer.digest == large.digest && hanging.load(Ordering::Relaxed) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", layer.bytes.len());
            let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&layer.bytes[..500_000]));
            // Until the puller is killed.
            finish(&mut stream.try_clone().unwrap());
        }
        _ => image.answer(asked, stream),
    });
    let name = registry.name("x:1");
    for round in 0..3 {
        hangs.store(true, Ordering::Relaxed);
        let root = format!("killed-{round}");
        let store = open(&host.path(&root));
        let mut child = puller(host, &root, &name).spawn().unwrap();
        let tmp = host.path(&root).join("tmp");
        until("the blob has begun", || {
            let folders = fs::read_dir(&tmp).ok()?.flatten();
            let sizes = folders.filter_map(|folder| Some(fs::metadata(folder.path().join("blob")).ok()?.len()));
            sizes.max().filter(|size| *size > 0)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(store.list().unwrap(), []);
        hangs.store(false, Ordering::Relaxed);
        if round == 0 {
            store.reclaim(&store.check().unwrap()).unwrap();
            assert_eq!(store.check().unwrap(), []);
        }
        pull(&store, &name).unwrap();
        let left = store.check().unwrap();
        store.reclaim(&left).unwrap();
        assert_whole(&store, &name);
    }
}

fn two_pulls_at_once_unpack_once(host: &Host) {
    loopback(host);
    let image = image();
    let (small, large) = (image.layers[0].digest.to_string(), image.layers[1].digest.to_string());
    let registry = Fake::new("127.0.0.1", move |asked, stream| image.answer(asked, stream));
    let name = registry.name("x:1");
    let both: Vec<_> = (0..2).map(|_| puller(host, "store", &name).spawn().unwrap()).collect();
    let said = both.into_iter().map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    });
    let mut said: Vec<String> = said.map(|text| text[..3].to_owned()).collect();
    said.sort();
    assert_eq!(said, ["new", "old"]);
    assert_eq!((registry.count(&small), registry.count(&large)), (1, 1));
    assert_whole(&open(&host.path("store")), &name);
}

fn a_full_disk_is_said_and_leaves_a_valid_store(host: &Host) {
    loopback(host);
    let image = image();
    let registry = Fake::new("127.0.0.1", move |asked, stream| image.answer(asked, stream));
    let name = registry.name("x:1");
    let root = host.folder("small-disk");
    for size in ["size=1m", "size=2200k", "size=4m"] {
        mount(Some("small"), &root, Some("tmpfs"), MsFlags::empty(), Some(size)).unwrap();
        let store = open(&root);
        let error = pull(&store, &name).unwrap_err();
        assert!(error.to_string().contains("ENOSPC"), "{size}: {error}");
        assert!(error.help().unwrap().starts_with("free some space"), "{error}");
        assert_eq!((store.list().unwrap(), store.check().unwrap()), (vec![], vec![]), "{size}");
        drop(store);
        umount(&root).unwrap();
    }
}

/// `step07-images run`: with everything of the steps before, and pulled when it is missing.
fn the_program_runs_an_image(host: &Host) {
    loopback(host);
    let program = || host.command(env!("CARGO_BIN_EXE_step07-images"));
    let script = "echo $$; hostname; grep -E 'CapEff|Seccomp:' /proc/self/status; ls /sys/class/net";
    let said =
        host.run(program().args(["run", "--root"]).arg(host.path("root")).args(["demo", "sh", "-c", script])).ok();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words, ["1", "step07", "CapEff:", "00000000a80425fb", "Seccomp:", "2", "lo"]);
    let registry = Fake::new("127.0.0.1", |asked, stream| image().answer(asked, stream));
    let pulled = host.run(program().args(["pull", "--root"]).arg(host.path("root")).arg(registry.name("x:1"))).ok();
    assert_eq!(pulled.trim(), Digest::of(&image().manifest).to_string());
    let missing = host.run(program().args(["run", "--root"]).arg(host.path("root")).arg(registry.name("x:1")));
    assert_eq!(missing.code, 127, "{missing:?}");
}
