//! OCI image layouts: `index.json` leads to manifests, perhaps over more indexes; everything is named by its digest.
//!
//! Source: OCI image specification, image-layout.md and image-index.md.

use super::archive::Archive;
use super::names;
use crate::digest::Digest;
use crate::error::Error;
use crate::image::{annotation, name_of};
use crate::intake::{Expected, Intake};
use crate::layout::{diff_ids, parse};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use sys::arch::OCI_ARCHITECTURE;

/// How the images of containerd and docker carry their whole name; their `ref.name` is the tag alone.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Indexes in indexes: the specification allows any depth, nobody needs more than two.
const DEEPEST: usize = 4;

/// Takes all the images of a layout: of each name the one for this platform.
pub(super) fn take(archive: &Archive, intake: &mut Intake<'_>) -> Result<(), Error> {
    let index: ImageIndex =
        parse(&archive.document("index.json")?, || format!("`index.json` of `{}`", archive.name()))?;
    if index.manifests().is_empty() {
        return Err(Error::malformed(format!("`index.json` of `{}`", archive.name()), "it names no image"));
    }
    for group in by_name(index.manifests()) {
        let name = name_in(group[0]);
        let title = name.unwrap_or(archive.name());
        let descriptor = choose(archive, &group, title, 0)?;
        image(archive, &descriptor, name, intake)?;
    }
    Ok(())
}

/// Entries of one name (several platforms) together; entries without a name and a platform are images of their own.
fn by_name(entries: &[Descriptor]) -> Vec<Vec<&Descriptor>> {
    let mut groups: Vec<Vec<&Descriptor>> = Vec::new();
    for entry in entries {
        let alone = name_in(entry).is_none() && entry.platform().is_none();
        let same = groups.iter_mut().find(|group| !alone && name_in(group[0]) == name_in(entry));
        match same {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    groups
}

fn name_in(descriptor: &Descriptor) -> Option<&str> {
    annotation(descriptor, CONTAINERD_NAME).or_else(|| name_of(descriptor))
}

/// The manifest for this platform. An entry that names no platform is taken as it is.
fn choose(archive: &Archive, entries: &[&Descriptor], image: &str, depth: usize) -> Result<Descriptor, Error> {
    let fits = |entry: &&&Descriptor| entry.platform().as_ref().is_none_or(is_ours);
    let Some(found) = entries.iter().find(fits) else {
        return Err(Error::NoMatchingManifest {
            wanted: format!("linux/{OCI_ARCHITECTURE}"),
            image: image.to_owned(),
            found: platforms(entries),
        });
    };
    let kind: &str = found.media_type().as_ref();
    if !kind.ends_with(".image.index.v1+json") && !kind.ends_with(".manifest.list.v2+json") {
        return Ok((*found).clone());
    }
    if depth == DEEPEST {
        return Err(Error::malformed(format!("the index of `{image}`"), "it leads to ever more indexes"));
    }
    let nested: ImageIndex = parse(&verified(archive, found, "index")?, || format!("index {}", found.digest()))?;
    choose(archive, &nested.manifests().iter().collect::<Vec<_>>(), image, depth + 1)
}

fn is_ours(platform: &oci_spec::image::Platform) -> bool {
    platform.os().to_string() == "linux" && platform.architecture().to_string() == OCI_ARCHITECTURE
}

fn platforms(entries: &[&Descriptor]) -> String {
    let name = |entry: &&Descriptor| entry.platform().as_ref().map(|p| format!("{}/{}", p.os(), p.architecture()));
    let names: Vec<_> = entries.iter().filter_map(name).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn image(archive: &Archive, descriptor: &Descriptor, name: Option<&str>, intake: &mut Intake<'_>) -> Result<(), Error> {
    let bytes = verified(archive, descriptor, "manifest")?;
    let what = || format!("manifest {}", descriptor.digest());
    let manifest: ImageManifest = parse(&bytes, what)?;
    let config_bytes = verified(archive, manifest.config(), "configuration")?;
    let config: ImageConfiguration = parse(&config_bytes, || format!("configuration {}", manifest.config().digest()))?;
    let diff_ids = diff_ids(&config)?;
    if diff_ids.len() != manifest.layers().len() {
        let why = format!("it has {} layers, its configuration {}", manifest.layers().len(), diff_ids.len());
        return Err(Error::malformed(what(), why));
    }
    let mut unpacked = 0;
    for (layer, diff_id) in manifest.layers().iter().zip(diff_ids) {
        let digest = Digest::try_from(layer.digest())?;
        let (reader, _) = archive.get(&blob(digest))?;
        let expected = Expected {
            what: format!("layer {digest}"),
            blob: Some((digest, layer.size())),
            diff_id: Some(diff_id),
            media_type: Some(layer.media_type().clone()),
            stored: None,
        };
        unpacked += intake.layer(reader, expected)?.bytes;
    }
    intake.document(&config_bytes)?;
    intake.document(&bytes)?;
    let digest = Digest::try_from(descriptor.digest())?;
    let entry = Descriptor::new(descriptor.media_type().clone(), bytes.len() as u64, digest);
    intake.image(entry, &names(name), unpacked);
    Ok(())
}

/// A document of the archive, if its size and digest are what its descriptor says.
fn verified(archive: &Archive, descriptor: &Descriptor, kind: &str) -> Result<Vec<u8>, Error> {
    let expected = Digest::try_from(descriptor.digest())?;
    let what = || format!("{kind} {expected}");
    let bytes = archive.document(&blob(expected))?;
    if bytes.len() as u64 != descriptor.size() {
        let actual = bytes.len().to_string();
        return Err(Error::WrongSize { what: what(), expected: descriptor.size(), actual });
    }
    let actual = Digest::of(&bytes);
    if actual == expected {
        return Ok(bytes);
    }
    Err(Error::WrongDigest { what: what(), expected, actual })
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
