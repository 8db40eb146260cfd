//! An image of the store, ready to run.

use crate::digest::Digest;
use crate::error::Error;
use crate::layout::{Layout, diff_ids};
use crate::reference::Reference;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageManifest};
use std::collections::HashMap;
use std::path::PathBuf;

/// The annotation that names an image in an index. Source: OCI image specification, annotations.md.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Our own: how many bytes the files of all the layers have, so that listing images reads no layer.
pub(crate) const UNPACKED: &str = "tara.unpacked-size";

/// Our own: the digest that an image has at the registry it came from; that of an index, where it was chosen from one.
pub(crate) const REPO_DIGEST: &str = "tara.repo-digest";

/// An image: what to run ([`Image::config`]) and on which files ([`Image::layers`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The digest of the configuration: docker's image ID.
    pub id: Digest,
    /// The digest of the manifest: what registries and `name@sha256:…` mean.
    pub manifest: Digest,
    /// Its names in familiar form, sorted; empty for an image without a name.
    pub names: Vec<String>,
    /// `repository@sha256:…` for each of the names, sorted: what a registry calls it.
    pub repo_digests: Vec<String>,
    /// Environment, command, user, working directory and the rest.
    pub config: ImageConfiguration,
    /// The unpacked layers, base first; none twice. For overlayfs's `lowerdir` they are reversed: there the top is first.
    pub layers: Vec<PathBuf>,
    /// Bytes of the unpacked files of all the layers.
    pub size: u64,
    /// When it was made, RFC 3339, by its own word.
    pub created: Option<String>,
}

impl Image {
    /// Reads the image that `descriptor` names: one manifest and one configuration.
    pub(crate) fn read(layout: &Layout, descriptor: &Descriptor, index: &[Descriptor]) -> Result<Self, Error> {
        let manifest = layout.manifest(descriptor)?;
        Self::from_parts(layout, descriptor, &manifest, index)
    }

    pub(crate) fn from_parts(
        layout: &Layout,
        descriptor: &Descriptor,
        manifest: &ImageManifest,
        index: &[Descriptor],
    ) -> Result<Self, Error> {
        let config = layout.config(manifest)?;
        let same = index.iter().filter(|other| other.digest() == descriptor.digest());
        let mut names: Vec<_> = same.clone().filter_map(name_of).map(str::to_owned).collect();
        names.sort();
        let mut repo_digests: Vec<_> = same.filter_map(repo_digest).collect();
        repo_digests.sort();
        repo_digests.dedup();
        Ok(Self {
            id: Digest::try_from(manifest.config().digest())?,
            manifest: Digest::try_from(descriptor.digest())?,
            names,
            repo_digests,
            layers: distinct(diff_ids(&config)?).into_iter().map(|id| layout.layer(id)).collect(),
            size: annotation(descriptor, UNPACKED).and_then(|size| size.parse().ok()).unwrap_or(0),
            created: config.created().clone(),
            config,
        })
    }

    /// The first of its names, or its short id: what messages call it.
    #[must_use]
    pub fn display_name(&self) -> String {
        self.names.first().cloned().unwrap_or_else(|| self.id.short())
    }
}

/// Each layer once, at its highest place: overlayfs refuses the same directory twice, and a layer that comes again on top says
/// all that it said below.
fn distinct(mut layers: Vec<Digest>) -> Vec<Digest> {
    let mut seen = std::collections::HashSet::new();
    layers.reverse();
    layers.retain(|layer| seen.insert(*layer));
    layers.reverse();
    layers
}

pub(crate) fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a str> {
    descriptor.annotations().as_ref()?.get(key).map(String::as_str)
}

pub(crate) fn name_of(descriptor: &Descriptor) -> Option<&str> {
    annotation(descriptor, REF_NAME)
}

/// `repository@digest` of an entry with a name.
fn repo_digest(descriptor: &Descriptor) -> Option<String> {
    let repository = name_of(descriptor)?.parse::<Reference>().ok()?.repository();
    let digest = annotation(descriptor, REPO_DIGEST).unwrap_or(descriptor.digest().as_ref());
    Some(format!("{repository}@{digest}"))
}

/// `descriptor` under another name, or none.
pub(crate) fn renamed(descriptor: &Descriptor, name: Option<&Reference>) -> Descriptor {
    let mut annotations: HashMap<_, _> = descriptor.annotations().clone().unwrap_or_default();
    annotations.remove(REF_NAME);
    if let Some(name) = name {
        annotations.insert(REF_NAME.into(), name.to_string());
    }
    let mut descriptor = descriptor.clone();
    descriptor.set_annotations((!annotations.is_empty()).then_some(annotations));
    descriptor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_comes_twice_stays_on_top() {
        let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
        assert_eq!(distinct(vec![a, b, a]), [b, a]);
    }
}
