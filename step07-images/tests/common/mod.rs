//! Layers and layouts written byte by byte: what no honest tool would write.

#![allow(clippy::unwrap_used, dead_code, reason = "a failed test is a panic; each test program uses a part")]

pub(crate) mod fake;

use flate2::write::GzEncoder;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use step07_images::{Digest, Store};
use tar::{EntryType, Header};

/// A tar under construction.
#[derive(Default)]
pub(crate) struct Layer(pub(crate) Vec<u8>);

impl Layer {
    /// Appends a header that `change` may spoil before its checksum is made, and `content`.
    pub(crate) fn raw(
        mut self,
        kind: u8,
        name: &[u8],
        link: &[u8],
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name);
        gnu.linkname[..link.len()].copy_from_slice(link);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(b'0', name.as_bytes(), b"", content, |_| {})
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.raw(b'5', name.as_bytes(), b"", b"", |_| {})
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(b'2', name.as_bytes(), target.as_bytes(), b"", |_| {})
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(b'1', name.as_bytes(), target.as_bytes(), b"", |_| {})
    }

    /// A PAX header for the next entry.
    pub(crate) fn pax(self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).unwrap();
        let record = [format!("{length} {key}=").as_bytes(), value, b"\n"].concat();
        self.raw(b'x', b"pax", b"", &record, |_| {})
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A layer as a layout says it is, true or not.
#[derive(Clone)]
pub(crate) struct Blob {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) diff_id: Digest,
}

impl Blob {
    pub(crate) fn plain(tar: Vec<u8>) -> Self {
        Self {
            digest: Digest::of(&tar),
            diff_id: Digest::of(&tar),
            size: tar.len() as u64,
            media_type: TAR,
            bytes: tar,
        }
    }

    pub(crate) fn packed(tar: &[u8], bytes: Vec<u8>, media_type: &'static str) -> Self {
        Self { digest: Digest::of(&bytes), diff_id: Digest::of(tar), size: bytes.len() as u64, media_type, bytes }
    }

    pub(crate) fn gzip(tar: &[u8]) -> Self {
        Self::packed(tar, gzip(tar), GZIP)
    }

    pub(crate) fn zstd(tar: &[u8]) -> Self {
        Self::packed(tar, zstd::encode_all(tar, 1).unwrap(), ZSTD)
    }
}

/// Writes an OCI layout of one image with these layers.
pub(crate) fn layout(folder: &Path, name: &str, layers: &[Blob]) -> PathBuf {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
    layers.iter().for_each(|layer| fs::write(blobs.join(layer.digest.hex()), &layer.bytes).unwrap());
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    let config = json!({
        "architecture": sys::arch::OCI_ARCHITECTURE, "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string();
    put(config.as_bytes());
    let describe =
        |layer: &Blob| json!({"mediaType": layer.media_type, "digest": layer.digest.to_string(), "size": layer.size});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(config.as_bytes()).to_string(), "size": config.len()},
        "layers": layers.iter().map(describe).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string();
    put(manifest.as_bytes());
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::of(manifest.as_bytes()).to_string(), "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": name},
        }],
    });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    folder.to_owned()
}

/// Everything below `folder`: the name, the mode, and the content of what is a file.
pub(crate) fn everything(folder: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            let content = if data.is_file() { Digest::of(&fs::read(&path).unwrap()).short() } else { String::new() };
            lines.push(format!("{} {:o} {} {content}", path.display(), data.mode(), data.nlink()));
            if data.is_dir() {
                folders.push(path);
            }
        }
    }
    lines.sort();
    lines
}

/// How many entries a folder has.
pub(crate) fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

pub(crate) fn open(root: &Path) -> Store {
    Store::open(root).unwrap()
}
