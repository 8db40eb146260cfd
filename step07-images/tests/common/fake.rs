//! A registry that says whatever the test wants: one request on each connection, answered by the test's own function.

use super::Blob;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use step07_images::Digest;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    head: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The first byte that is wanted.
    pub(crate) fn from(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        range.map_or(0, |first| first.parse().unwrap())
    }
}

/// The registry; its threads end with the test.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Listens on `ip`.
    pub(crate) fn new(ip: &str, answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || {
                    if let Some((asked, mut stream)) = read(stream) {
                        log.lock().unwrap().push(asked.clone());
                        answer(&asked, &mut stream);
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often a path that ends so was asked for.
    pub(crate) fn count(&self, end: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path.ends_with(end)).count()
    }
}

fn read(stream: TcpStream) -> Option<(Asked, TcpStream)> {
    let mut reader = BufReader::new(stream);
    // No TLS here.
    if reader.fill_buf().ok()?.first() == Some(&0x16) {
        return None;
    }
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some((Asked { method, path, head }, reader.into_inner()))
}

/// Writes an answer; a client that is gone is the client's business.
pub(crate) fn say(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    finish(stream);
}

/// Ends an answer so that the client gets all of it.
pub(crate) fn finish(stream: &mut TcpStream) {
    let _gone = stream.shutdown(std::net::Shutdown::Write);
    let _gone = stream.read_to_end(&mut Vec::new());
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image as a registry has it, under `/v2/x/`.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Blob>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    pub(crate) fn new(layers: &[Blob]) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        let config = json!({
            "architecture": sys::arch::OCI_ARCHITECTURE, "os": "linux", "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let describe = |layer: &Blob| json!({"mediaType": layer.media_type, "digest": layer.digest.to_string(), "size": layer.size});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::of(&config).to_string(), "size": config.len()},
            "layers": layers.iter().map(describe).collect::<Vec<_>>(),
        });
        Self { layers: layers.to_vec(), config, manifest: manifest.to_string().into_bytes() }
    }

    /// The layer that a path asks for.
    pub(crate) fn layer(&self, path: &str) -> Option<&Blob> {
        self.layers.iter().find(|layer| path.ends_with(&layer.digest.to_string()))
    }

    /// Answers as an honest registry does.
    pub(crate) fn answer(&self, asked: &Asked, stream: &mut TcpStream) {
        if asked.path == "/v2/" {
            return say(stream, 200, "", b"{}");
        }
        if asked.path.contains("/manifests/") {
            return say(stream, 200, &format!("Content-Type: {MANIFEST}\r\n"), &self.manifest);
        }
        if asked.path.ends_with(&Digest::of(&self.config).to_string()) {
            return say(stream, 200, "", &self.config);
        }
        match self.layer(&asked.path) {
            Some(layer) => send(stream, asked, &layer.bytes, usize::MAX),
            None => say(stream, 404, "", b"{}"),
        }
    }
}

/// Sends the bytes that are wanted, but hangs up after `most` of them.
pub(crate) fn send(stream: &mut TcpStream, asked: &Asked, bytes: &[u8], most: usize) {
    let (from, all) = (asked.from(), bytes.len());
    let rest = &bytes[from..];
    let status = match from {
        0 => "200 OK".to_owned(),
        _ => format!("206 Partial\r\nContent-Range: bytes {from}-{}/{all}", all - 1),
    };
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", rest.len());
    let sent = &rest[..rest.len().min(most)];
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
    finish(stream);
}
