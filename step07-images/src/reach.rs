//! What is in use: everything that the index leads to, and everything that an unfinished load counts on.

use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::image::{REPO_DIGEST, annotation};
use crate::layout::{Layout, diff_ids};
use crate::work::lock_folder;
use nix::fcntl::FlockArg;
use oci_spec::image::Descriptor;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Digests that must stay: blobs and layers.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    pub(crate) blobs: HashSet<Digest>,
    pub(crate) layers: HashSet<Digest>,
}

impl Reach {
    /// What the images of `index` are made of, and the steps of builds that are kept.
    pub(crate) fn of(layout: &Layout, index: &[Descriptor]) -> Result<Self, Error> {
        let mut reach = Self::default();
        for descriptor in index {
            // An index that was pushed here is kept beside the images that it names; of one at another registry only the digest is.
            reach.blobs.extend(annotation(descriptor, REPO_DIGEST).and_then(|digest| digest.parse::<Digest>().ok()));
        }
        let mut seen = HashSet::new();
        for descriptor in index {
            let digest = Digest::try_from(descriptor.digest())?;
            reach.blobs.insert(digest);
            if !seen.insert(digest) {
                continue;
            }
            let manifest = layout.manifest(descriptor)?;
            for blob in manifest.layers().iter().chain([manifest.config()]) {
                reach.blobs.insert(Digest::try_from(blob.digest())?);
            }
            reach.layers.extend(diff_ids(&layout.config(&manifest)?)?);
        }
        for layer in layout.all_cached()?.into_iter().filter_map(|(_, outcome)| outcome?.layer) {
            reach.layers.extend(layer.diff_id());
            reach.blobs.extend(layer.blob.parse::<Digest>());
        }
        Ok(reach)
    }
}

/// In the folder of an unfinished load: a file of this name says that it counts on the layer.
pub(crate) fn pin(layer: Digest) -> String {
    format!("pin-{}", layer.hex())
}

/// In the folder of an unfinished load: the layer is in its place, and whole.
pub(crate) fn placed(layer: Digest) -> String {
    format!("placed-{}", layer.hex())
}

/// The folders of ROOT/tmp that somebody works in, without `own`; and those that nobody does.
pub(crate) fn works(layout: &Layout, own: Option<&Path>) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let tmp = layout.tmp();
    let (mut live, mut dead) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&tmp).doing("read", &tmp)? {
        let path = entry.doing("read", &tmp)?.path();
        if own == Some(&path) {
            continue;
        }
        match lock_folder(&path, FlockArg::LockSharedNonblock)? {
            Some(_unlocked_again) => dead.push(path),
            None => live.push(path),
        }
    }
    Ok((live, dead))
}

/// Whether one of the `live` folders has a file called `name`.
pub(crate) fn any_has(live: &[PathBuf], name: &str) -> bool {
    live.iter().any(|folder| folder.join(name).exists())
}
