//! What is known of a volume, and of its place in a container.

use crate::report::Refusal;
use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use step03_mount_overlay::Mount;

/// `volume.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// When it was made.
    pub created: Timestamp,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `-o`: docker's options of the driver `local`.
    pub options: BTreeMap<String, String>,
    /// Whether it was made for one container, without a name.
    pub anonymous: bool,
}

/// A volume that is there.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// `ROOT/volumes/<name>`.
    pub folder: PathBuf,
    /// What is known of it.
    pub record: VolumeRecord,
}

impl Volume {
    /// Where its files are on the host.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("_data")
    }

    /// What a container mounts: its own directory, or the one that its options bind.
    ///
    /// # Errors
    /// As `bound_directory`.
    pub fn source(&self) -> Result<PathBuf> {
        Ok(bound_directory(&self.record.options)?.unwrap_or_else(|| self.data()))
    }
}

/// The directory of `type=none,o=bind,device=DIR`, the one set of options that means the same for every container.
///
/// # Errors
/// [`Refusal`] for other options.
pub(super) fn bound_directory(options: &BTreeMap<String, String>) -> Result<Option<PathBuf>> {
    if options.is_empty() {
        return Ok(None);
    }
    let option = |key: &str| options.get(key).map_or("", String::as_str);
    let is_bind = ["", "none"].contains(&option("type")) && ["bind", "rbind"].contains(&option("o"));
    if is_bind && option("device").starts_with('/') && options.len() <= 3 {
        return Ok(Some(option("device").into()));
    }
    let refusal = Refusal::new("a volume of the driver `local` can only bind a directory by its options");
    Err(refusal.help("write -o type=none -o o=bind -o device=/DIR, or use `--tmpfs` or `--mount`").code(1).into())
}

/// A mount of a container as docker says it: Engine API, `MountPoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// On the host.
    pub source: PathBuf,
    /// Inside.
    pub destination: PathBuf,
    /// `local` for a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The options in words.
    pub mode: String,
    /// Whether it can be written to.
    #[serde(rename = "RW")]
    pub writable: bool,
    /// What becomes of later mounts in it.
    pub propagation: String,
}

impl MountPoint {
    /// What `inspect` says of a mount of the specification that was asked for.
    #[must_use]
    pub fn of(mount: &Mount) -> Self {
        let words = mount.options.iter().filter(|word| *word != "rbind" && *word != "bind");
        // docker's `ro` is OCI's `rro`: also for what is mounted below.
        let words: Vec<&str> = words.map(|word| if word == "rro" { "ro" } else { word }).collect();
        let is_bind = mount.fs_type == "bind";
        let propagation =
            words.iter().find(|word| word.ends_with("private") || word.ends_with("slave") || word.ends_with("shared"));
        let propagation = if is_bind { *propagation.unwrap_or(&"rprivate") } else { "" };
        Self {
            kind: mount.fs_type.clone(),
            name: None,
            source: if is_bind { mount.source.clone() } else { PathBuf::new() },
            destination: mount.destination.clone(),
            driver: None,
            mode: if is_bind { words.join(",") } else { String::new() },
            writable: !words.contains(&"ro"),
            propagation: propagation.to_owned(),
        }
    }

    /// The mount for the specification.
    #[must_use]
    pub fn mount(&self) -> Mount {
        let words = self.mode.split(',').filter(|word| !word.is_empty() && !["z", "Z", "nocopy"].contains(word));
        let words = words.map(|word| if word == "ro" { "rro" } else { word });
        let options = ["rbind"].into_iter().chain(words).map(str::to_owned).collect();
        Mount {
            destination: self.destination.clone(),
            fs_type: "bind".to_owned(),
            source: self.source.clone(),
            options,
        }
    }

    /// `SOURCE:DESTINATION[:MODE]`, as it was asked for; none for a tmpfs and a volume without a name of its own.
    #[must_use]
    pub fn as_bind(&self) -> Option<String> {
        let source = match (&self.name, self.kind.as_str()) {
            (Some(name), _) if !is_id(name) => name.clone(),
            (None, "bind") => self.source.display().to_string(),
            _ => return None,
        };
        let mode = if self.mode.is_empty() { String::new() } else { format!(":{}", self.mode) };
        Some(format!("{source}:{}{mode}", self.destination.display()))
    }

    /// What `ps` calls it.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.name.as_deref().or(self.source.to_str()).unwrap_or_default()
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
