//! An image, as the Engine API's `ImageInspect`.

use super::NEVER;
use serde::Serialize;
use std::path::PathBuf;
use step07_images::Image;

/// Everything about an image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are docker's, and so is their meaning: Engine API, ImageInspect")]
pub struct ImageDocument {
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub parent: &'static str,
    pub comment: String,
    pub created: String,
    pub author: String,
    pub config: Option<oci_spec::image::Config>,
    pub architecture: String,
    pub os: String,
    pub size: u64,
    pub graph_driver: serde_json::Value,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// Ours: the digest of the manifest, and where the layers are.
    pub digest: String,
    pub layers: Vec<PathBuf>,
}

/// The layers.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "docker's names")]
pub struct RootFs {
    #[serde(rename = "Type")]
    pub kind: &'static str,
    pub layers: Vec<String>,
}

/// The document of an image.
#[must_use]
pub fn image(image: &Image) -> ImageDocument {
    let config = &image.config;
    let last = config.history().as_ref().and_then(|history| history.last());
    let lower: Vec<String> = image.layers.iter().rev().map(|layer| layer.display().to_string()).collect();
    ImageDocument {
        id: image.id.to_string(),
        repo_tags: image.names.clone(),
        repo_digests: Vec::new(),
        parent: "",
        comment: last.and_then(|step| step.comment().clone()).unwrap_or_default(),
        created: image.created.clone().unwrap_or_else(|| NEVER.to_owned()),
        author: config.author().clone().unwrap_or_default(),
        config: config.config().clone(),
        architecture: config.architecture().to_string(),
        os: config.os().to_string(),
        size: image.size,
        graph_driver: serde_json::json!({ "Name": "overlay2", "Data": { "LowerDir": lower.join(":") } }),
        root_fs: RootFs { kind: "layers", layers: config.rootfs().diff_ids().clone() },
        digest: image.manifest.to_string(),
        layers: image.layers.clone(),
    }
}
