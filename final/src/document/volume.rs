//! A volume, as the Engine API's `VolumeInspect`.

use crate::volumes::Volume;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything about a volume.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are docker's, and so is their meaning: Engine API, VolumeInspect")]
pub struct VolumeDocument {
    pub created_at: String,
    pub driver: &'static str,
    pub labels: Option<BTreeMap<String, String>>,
    pub mountpoint: PathBuf,
    pub name: String,
    pub options: Option<BTreeMap<String, String>>,
    pub scope: &'static str,
}

/// The document of a volume.
#[must_use]
pub fn volume(volume: &Volume) -> VolumeDocument {
    let some = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
    VolumeDocument {
        created_at: volume.record.created.to_string(),
        driver: "local",
        labels: some(&volume.record.labels),
        mountpoint: volume.data(),
        name: volume.name.clone(),
        options: some(&volume.record.options),
        scope: "local",
    }
}
