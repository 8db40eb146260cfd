//! The cache of steps: a file for each, named by the digest of its instruction and of all that it depends on.
//!
//! `ROOT/cache/steps/<key>` says which layer came of it; the layer lies where all layers lie, and stays as long as the file does.

use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::layout::Layout;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The layer; `None` when nothing was changed.
    pub layer: Option<BuiltLayer>,
    /// When it was made, RFC 3339.
    pub created: String,
}

/// A layer that a build has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltLayer {
    /// The digest of its tar.
    pub diff_id: String,
    /// The digest of the compressed tar.
    pub blob: String,
    /// The media type of the compressed tar.
    pub media_type: String,
    /// Bytes of the compressed tar.
    pub size: u64,
    /// Content of the files.
    pub bytes: u64,
}

impl BuiltLayer {
    /// The digest of its tar.
    ///
    /// # Errors
    /// [`Error::Digest`] for a record that was damaged.
    pub fn diff_id(&self) -> Result<Digest, Error> {
        self.diff_id.parse()
    }
}

impl Layout {
    /// What builds keep: `steps/`, `contexts/`, `mounts/`.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root().join("cache")
    }

    fn steps(&self) -> PathBuf {
        self.cache().join("steps")
    }

    pub(crate) fn cached(&self, key: Digest) -> Option<Outcome> {
        serde_json::from_slice(&fs::read(self.steps().join(key.hex())).ok()?).ok()
    }

    pub(crate) fn write_cached(&self, key: Digest, outcome: &Outcome) -> Result<(), Error> {
        let steps = self.steps();
        DirBuilder::new().recursive(true).mode(0o700).create(&steps).doing("create", &steps)?;
        let what = || "write the cache".to_owned();
        let bytes = serde_json::to_vec(outcome).map_err(|source| Error::Json { what: what(), source })?;
        // Readers see all of it or nothing; after a power cut an empty one is as good as none.
        let (path, beside) = (steps.join(key.hex()), steps.join(format!("new-{}", std::process::id())));
        fs::write(&beside, bytes).doing("write", &beside)?;
        fs::rename(&beside, &path).doing("replace", &path)
    }

    /// Every outcome that is kept, with its file.
    pub(crate) fn all_cached(&self) -> Result<Vec<(PathBuf, Option<Outcome>)>, Error> {
        let steps = self.steps();
        let entries = match fs::read_dir(&steps) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.doing("read", &steps)?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.doing("read", &steps)?.path();
            let outcome = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            all.push((path, outcome));
        }
        Ok(all)
    }
}
