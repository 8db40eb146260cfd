//! Images made for a measurement: an OCI layout as a tarball, with as many layers as one likes.

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes an image `bench:NAME` to a tarball in `folder`: the program in the first layer, in each other one file of `size` bytes.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(folder: &Path, name: &str, program: &Path, layers: usize, size: usize) -> Result<PathBuf> {
    pack(folder, name, (0..layers).map(|number| layer(program, number, size).map(Layer::plain)))
}

/// A layer as a registry has it.
pub(crate) struct Layer {
    pub(crate) blob: Vec<u8>,
    diff_id: String,
    media_type: &'static str,
}

impl Layer {
    fn plain(tar: Vec<u8>) -> Self {
        Self { diff_id: digest(&tar), blob: tar, media_type: "application/vnd.oci.image.layer.v1.tar" }
    }

    /// At the level that `gzip` and most registries' clients take.
    pub(crate) fn gzip(tar: &[u8]) -> Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(tar)?;
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        Ok(Self { diff_id: digest(tar), blob: gzip.finish()?, media_type })
    }

    /// At zstd's own default.
    pub(crate) fn zstd(tar: &[u8]) -> Result<Self> {
        let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
        Ok(Self { diff_id: digest(tar), blob: zstd::encode_all(tar, 0)?, media_type })
    }
}

/// Writes an image `bench:NAME` of these layers to a tarball in `folder`.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn pack(folder: &Path, name: &str, layers: impl Iterator<Item = Result<Layer>>) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.tar"));
    let mut archive = tar::Builder::new(File::create(&path).with_context(|| format!("make `{}`", path.display()))?);
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for layer in layers {
        let layer = layer?;
        descriptors.push(blob(&mut archive, &layer.blob, layer.media_type)?);
        diff_ids.push(format!("sha256:{}", layer.diff_id));
    }
    let config = json!({
        "architecture": sys::arch::OCI_ARCHITECTURE, "os": "linux", "config": { "Cmd": ["/bin/program"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = blob(&mut archive, &serde_json::to_vec(&config)?, "application/vnd.oci.image.config.v1+json")?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": descriptors });
    let mut manifest = blob(&mut archive, &serde_json::to_vec(&manifest)?, kind)?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": name, "io.containerd.image.name": format!("docker.io/library/bench:{name}") });
    let index =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest] });
    append(&mut archive, "index.json", &serde_json::to_vec(&index)?)?;
    append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.finish()?;
    Ok(path)
}

/// A layer as a tarball.
fn layer(program: &Path, number: usize, size: usize) -> Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    if number == 0 {
        layer.append_path_with_name(program, "bin/program")?;
    } else {
        let byte = u8::try_from(number % 251)?;
        append(&mut layer, &format!("file{number}"), &vec![byte; size])?;
    }
    Ok(layer.into_inner()?)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds a blob and returns its descriptor.
fn blob(archive: &mut tar::Builder<File>, bytes: &[u8], kind: &str) -> Result<serde_json::Value> {
    let digest = digest(bytes);
    append(archive, &format!("blobs/sha256/{digest}"), bytes)?;
    Ok(json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
}

fn append<W: Write>(archive: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(u64::try_from(bytes.len())?);
    header.set_mode(0o644);
    // Left out they would be empty fields, which not every reader takes for 0.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(archive.append_data(&mut header, name, bytes)?)
}

/// One file of a cpio archive in the form `newc`: 13 numbers in base 16, name and content, each filled up to four bytes.
pub(crate) fn cpio(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let (size, name_size) = (content.len(), name.len() + 1);
    let numbers = [0, mode as usize, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    archive.extend(b"070701");
    numbers.iter().for_each(|number| archive.extend(format!("{number:08x}").bytes()));
    archive.extend(name.bytes().chain([0]));
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
