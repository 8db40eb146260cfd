//! Docker archives: `manifest.json` names configurations and layers by their files in the archive.
//!
//! Source: moby, `image/spec/spec.md`, "Combined Image JSON + Filesystem Changeset Format".

use super::archive::Archive;
use super::names;
use crate::compression::Decoder;
use crate::digest::Digest;
use crate::error::Error;
use crate::intake::{Added, Expected, Intake};
use crate::layout::{diff_ids, parse};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageManifestBuilder, MediaType};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Takes all the images of a docker archive.
pub(super) fn take(archive: &Archive, intake: &mut Intake<'_>) -> Result<(), Error> {
    let what = || format!("`manifest.json` of `{}`", archive.name());
    let entries: Vec<Entry> = parse(&archive.document("manifest.json")?, what)?;
    if entries.is_empty() {
        return Err(Error::malformed(what(), "it names no image"));
    }
    entries.iter().try_for_each(|entry| image(archive, entry, intake))
}

fn image(archive: &Archive, entry: &Entry, intake: &mut Intake<'_>) -> Result<(), Error> {
    let bytes = archive.document(&entry.config)?;
    let what = format!("`{}` of `{}`", entry.config, archive.name());
    check_name(&entry.config, &bytes, &what)?;
    let config: ImageConfiguration = parse(&bytes, || what.clone())?;
    let diff_ids = diff_ids(&config)?;
    if diff_ids.len() != entry.layers.len() {
        return Err(Error::malformed(
            what,
            format!("it has {} layers, the manifest {}", diff_ids.len(), entry.layers.len()),
        ));
    }
    let mut layers = Vec::new();
    for (member, diff_id) in entry.layers.iter().zip(diff_ids) {
        let (reader, _) = archive.get(member)?;
        let expected = Expected { what: format!("layer `{member}`"), diff_id: Some(diff_id), ..Expected::default() };
        let reader = Decoder::to_layer(reader, &expected.what)?;
        layers.push(intake.layer(reader, expected)?);
    }
    let names = names(entry.repo_tags.iter().flatten().map(String::as_str));
    let unpacked = layers.iter().map(|layer| layer.bytes).sum();
    let manifest = manifest(&bytes, &layers, intake)?;
    intake.image(manifest, &names, unpacked);
    Ok(())
}

/// Takes the configuration and writes the manifest that a docker archive does not have.
pub(crate) fn manifest(config: &[u8], layers: &[Added], intake: &mut Intake<'_>) -> Result<Descriptor, Error> {
    manifest_of(config, layers.iter().map(|layer| layer.descriptor.clone()).collect(), intake)
}

/// The same for layers of which some are in the store already.
pub(crate) fn manifest_of(
    config: &[u8],
    layers: Vec<Descriptor>,
    intake: &mut Intake<'_>,
) -> Result<Descriptor, Error> {
    intake.document(config)?;
    let (bytes, descriptor) = manifest_bytes(config, layers)?;
    intake.document(&bytes)?;
    Ok(descriptor)
}

/// The manifest of a configuration and layers, and its descriptor.
pub(crate) fn manifest_bytes(config: &[u8], layers: Vec<Descriptor>) -> Result<(Vec<u8>, Descriptor), Error> {
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(Descriptor::new(MediaType::ImageConfig, config.len() as u64, Digest::of(config)))
        .layers(layers)
        .build()
        .expect("all the required fields are set");
    let what = "write the manifest".to_owned();
    let bytes = serde_json::to_vec(&manifest).map_err(|source| Error::Json { what, source })?;
    let descriptor = Descriptor::new(MediaType::ImageManifest, bytes.len() as u64, Digest::of(&bytes));
    Ok((bytes, descriptor))
}

/// A configuration's file is named by its digest (`<digest>.json`, newer `blobs/sha256/<digest>`); a name that is none is no promise.
fn check_name(member: &str, bytes: &[u8], what: &str) -> Result<(), Error> {
    let name = member.rsplit('/').next().unwrap_or(member);
    let Some(expected) = Digest::from_hex(name.strip_suffix(".json").unwrap_or(name)) else {
        return Ok(());
    };
    let actual = Digest::of(bytes);
    if actual == expected {
        return Ok(());
    }
    Err(Error::WrongDigest { what: what.to_owned(), expected, actual })
}
