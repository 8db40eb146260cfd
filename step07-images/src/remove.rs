//! Removing images: first the names, then what no name leads to any more.

use crate::build::BuiltLayer;
use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::image::{Image, name_of, renamed};
use crate::reach::{Reach, any_has, pin, works};
use crate::reference::Reference;
use crate::store::{Store, enter};
use nix::fcntl::FlockArg;
use oci_spec::image::Descriptor;
use std::fmt;
use std::fs;

/// What [`Store::remove`] did; it displays as docker's `Untagged:` and `Deleted:` lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The names that are gone.
    pub untagged: Vec<String>,
    /// The image's id and its layers' diff-ids that are gone, top first.
    pub deleted: Vec<Digest>,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.untagged {
            writeln!(f, "Untagged: {name}")?;
        }
        for digest in &self.deleted {
            writeln!(f, "Deleted: {digest}")?;
        }
        Ok(())
    }
}

impl Store {
    /// Removes a name, and with the last one the image: its manifest, configuration, blobs and layers, as far as no other
    /// image has them. `in_use` names the containers of an image by its [`Image::id`].
    ///
    /// With `force` an id takes all its names; an image that containers use then stays without a name, because they need its layers.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`]; [`Error::SeveralNames`] for an id with several names; [`Error::InUse`]; [`Error::Io`].
    pub fn remove(
        &self,
        reference: &str,
        force: bool,
        in_use: &dyn Fn(&Digest) -> Vec<String>,
    ) -> Result<Removed, Error> {
        let _lock = self.layout.lock(FlockArg::LockExclusive)?;
        let index = self.layout.read_index()?;
        let (found, by_name) = self.find(index.manifests(), reference)?;
        let (found, image) = (found.clone(), Image::read(&self.layout, found, index.manifests())?);
        let goes = names_to_go(&image, &found, by_name, force)?;
        let stays_named = goes.len() < image.names.len();
        let users = if stays_named { Vec::new() } else { in_use(&image.id) };
        if !users.is_empty() && !force {
            return Err(Error::InUse { image: image.display_name(), users: users.join(", ") });
        }
        let before = Reach::of(&self.layout, index.manifests())?;
        let goes_too = |entry: &Descriptor| name_of(entry).is_none_or(|name| goes.iter().any(|go| go == name));
        self.layout.change_index(|entries| {
            entries.retain(|entry| entry.digest() != found.digest() || !goes_too(entry));
            if !users.is_empty() {
                enter(entries, renamed(&found, None));
            }
        })?;
        let after = Reach::of(&self.layout, self.layout.read_index()?.manifests())?;
        let mut deleted: Vec<_> = (!after.blobs.contains(&image.id)).then_some(image.id).into_iter().collect();
        deleted.extend(self.sweep(&image, &before, &after)?);
        Ok(Removed { untagged: goes, deleted })
    }

    /// Removes those of `layers` that no image and no step of a build leads to any more.
    pub(crate) fn remove_unreached(&self, layers: &[BuiltLayer]) -> Result<(), Error> {
        if layers.is_empty() {
            return Ok(());
        }
        let _lock = self.layout.lock(FlockArg::LockExclusive)?;
        let reach = Reach::of(&self.layout, self.layout.read_index()?.manifests())?;
        let (live, _) = works(&self.layout, None)?;
        for layer in layers {
            let (diff_id, blob) = (layer.diff_id()?, layer.blob.parse()?);
            if any_has(&live, &pin(diff_id)) {
                continue;
            }
            if !reach.layers.contains(&diff_id) {
                let path = self.layout.layer(diff_id);
                fs::remove_dir_all(&path).or_else(gone).doing("remove", path)?;
            }
            if !reach.blobs.contains(&blob) {
                let path = self.layout.blob(blob);
                fs::remove_file(&path).or_else(gone).doing("remove", path)?;
            }
        }
        Ok(())
    }

    /// Removes the blobs and layers that only the removed image had. The caller holds the lock.
    fn sweep(&self, image: &Image, before: &Reach, after: &Reach) -> Result<Vec<Digest>, Error> {
        for blob in before.blobs.difference(&after.blobs) {
            let path = self.layout.blob(*blob);
            fs::remove_file(&path).or_else(gone).doing("remove", path)?;
        }
        let (live, _) = works(&self.layout, None)?;
        let mut deleted = Vec::new();
        for layer in crate::layout::diff_ids(&image.config)?.into_iter().rev() {
            if after.layers.contains(&layer) || any_has(&live, &pin(layer)) || deleted.contains(&layer) {
                continue;
            }
            let path = self.layout.layer(layer);
            fs::remove_dir_all(&path).or_else(gone).doing("remove", path)?;
            deleted.push(layer);
        }
        Ok(deleted)
    }
}

/// Already gone is as good as removed.
pub(crate) fn gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn names_to_go(image: &Image, found: &Descriptor, by_name: bool, force: bool) -> Result<Vec<String>, Error> {
    if by_name {
        return Ok(name_of(found).map(str::to_owned).into_iter().collect());
    }
    let repositories = image.names.iter().filter_map(|name| Some(name.parse::<Reference>().ok()?.repository()));
    let repositories: std::collections::BTreeSet<_> = repositories.collect();
    if repositories.len() > 1 && !force {
        return Err(Error::SeveralNames { id: image.id.short(), names: image.names.join(", ") });
    }
    Ok(image.names.clone())
}
