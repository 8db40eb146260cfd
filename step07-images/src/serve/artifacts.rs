//! What is pushed and is no image: charts, signatures, modules of any kind. It lies in a layout of its own, `ROOT/artifacts`, which other
//! tools read too; among the images it would be something that cannot be run.
//!
//! Source: OCI image specification, manifest.md, "Guidelines for Artifact Usage"; distribution specification, "Listing Referrers".

use super::Server;
use super::answer::Answer;
use super::read::is_called;
use super::route::Name;
use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::image::{name_of, renamed};
use crate::layout::Layout;
use crate::reference::Reference;
use crate::store::enter;
use nix::fcntl::FlockArg;
use oci_spec::image::{Descriptor, DescriptorBuilder, ImageManifest, MediaType};
use serde_json::json;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

/// Whether nothing of it can be run: its configuration is not an image's, or its layers are no tars.
pub(super) fn is_artifact(manifest: &ImageManifest) -> bool {
    let of_image = |kind: &MediaType| {
        let kind = kind.to_string();
        matches!(
            kind.as_str(),
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json"
        )
    };
    let tar = |layer: &Descriptor| layer.media_type().to_string().contains(".tar");
    !of_image(manifest.config().media_type()) || !manifest.layers().iter().all(tar)
}

fn parts(manifest: &ImageManifest) -> Result<Vec<Digest>, Error> {
    manifest.layers().iter().chain([manifest.config()]).map(|part| Digest::try_from(part.digest())).collect()
}

impl Server {
    fn artifacts_root(&self) -> PathBuf {
        self.store.layout.root().join("artifacts")
    }

    /// The layout, if anything was ever pushed into it.
    fn artifacts(&self) -> Result<Option<Layout>, Error> {
        let root = self.artifacts_root();
        if root.is_dir() { Layout::open(&root).map(Some) } else { Ok(None) }
    }

    /// A blob of an artifact.
    pub(super) fn artifact_blob(&self, digest: Digest) -> Option<PathBuf> {
        let path = self.artifacts().ok()??.blob(digest);
        path.is_file().then_some(path)
    }

    /// All of them with their names.
    pub(super) fn named_artifacts(&self) -> Result<Vec<(Reference, Descriptor)>, Error> {
        let Some(layout) = self.artifacts()? else { return Ok(Vec::new()) };
        let index = layout.read_index()?;
        let named = index.manifests().iter().filter_map(|entry| Some((name_of(entry)?.parse().ok()?, entry.clone())));
        Ok(named.collect())
    }

    /// Keeps the manifest and all that it names.
    pub(super) fn enter_artifact(
        &self,
        name: &Reference,
        manifest: &ImageManifest,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Answer, Error> {
        let layout = Layout::open(&self.artifacts_root())?;
        let _lock = layout.lock(FlockArg::LockExclusive)?;
        for digest in parts(manifest)? {
            let Some(from) = self.blob(digest) else {
                let why = format!("blob {digest} is not here");
                return Ok(Answer::not_found("MANIFEST_BLOB_UNKNOWN", &why));
            };
            let to = layout.blob(digest);
            match fs::hard_link(&from, &to) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                result => result.doing("link", &to)?,
            }
        }
        let digest = Digest::of(bytes);
        let path = layout.blob(digest);
        fs::write(&path, bytes).doing("write", &path)?;
        let folder = layout.blobs();
        let folder = File::open(&folder).doing("open", &folder)?;
        nix::unistd::syncfs(folder).doing("flush the file system of", layout.root())?;
        let entry = Descriptor::new(MediaType::from(media_type), bytes.len() as u64, digest);
        layout.change_index(|index| enter(index, renamed(&entry, Some(name))))?;
        let location = format!("/v2/{}/manifests/{digest}", name.path());
        let answer = Answer::empty(201).with("Location", location).with_digest(digest);
        // The client need not keep a list by itself.
        Ok(match manifest.subject() {
            Some(subject) => answer.with("OCI-Subject", subject.digest().to_string()),
            None => answer,
        })
    }

    /// The manifest of an artifact.
    pub(super) fn artifact(&self, repository: &str, called: &Name) -> Result<Option<Answer>, Error> {
        let Some((_, entry)) = self.found_artifacts(repository, called)?.into_iter().next() else { return Ok(None) };
        let digest = Digest::try_from(entry.digest())?;
        let Some(path) = self.artifact_blob(digest) else { return Ok(None) };
        let bytes = fs::read(&path).doing("read", &path)?;
        Ok(Some(Answer::document(bytes, entry.media_type().as_ref()).with_digest(digest)))
    }

    fn found_artifacts(&self, repository: &str, called: &Name) -> Result<Vec<(Reference, Descriptor)>, Error> {
        let mut named = self.named_artifacts()?;
        named.retain(|(name, entry)| {
            let same = match called {
                Name::Tag(tag) => name.tag() == Some(tag),
                Name::Digest(digest) => is_called(entry, *digest),
            };
            same && name.path() == repository
        });
        Ok(named)
    }

    /// Removes names, and what no name leads to any more; whether there was any.
    pub(super) fn delete_artifacts(&self, repository: &str, called: &Name) -> Result<bool, Error> {
        let Some(layout) = self.artifacts()? else { return Ok(false) };
        let _lock = layout.lock(FlockArg::LockExclusive)?;
        let goes = self.found_artifacts(repository, called)?;
        if goes.is_empty() {
            return Ok(false);
        }
        let stays = |entry: &Descriptor| !goes.iter().any(|(_, gone)| gone == entry);
        layout.change_index(|entries| entries.retain(stays))?;
        let mut reached = HashSet::new();
        for entry in layout.read_index()?.manifests() {
            reached.insert(Digest::try_from(entry.digest())?);
            reached.extend(parts(&layout.manifest(entry)?)?);
        }
        let blobs = layout.blobs();
        for blob in fs::read_dir(&blobs).doing("read", &blobs)?.flatten() {
            let digest = blob.file_name().to_str().and_then(Digest::from_hex);
            if !digest.is_some_and(|digest| reached.contains(&digest)) {
                fs::remove_file(blob.path()).or_else(crate::remove::gone).doing("remove", blob.path())?;
            }
        }
        Ok(true)
    }

    /// What was pushed about `subject`: signatures of an image, say.
    pub(super) fn referrers(&self, repository: &str, subject: Digest, wanted: Option<&str>) -> Result<Answer, Error> {
        let mut found: Vec<Descriptor> = Vec::new();
        if let Some(layout) = self.artifacts()? {
            for (_, entry) in self.named_artifacts()?.into_iter().filter(|(name, _)| name.path() == repository) {
                let manifest = layout.manifest(&entry)?;
                let of_it = |it: &Descriptor| it.digest().as_ref() == subject.to_string();
                let kind = manifest.artifact_type().as_ref().unwrap_or(manifest.config().media_type()).clone();
                let is_wanted = wanted.is_none_or(|wanted| kind.to_string() == wanted);
                let is_new = !found.iter().any(|known| known.digest() == entry.digest());
                if manifest.subject().as_ref().is_some_and(of_it) && is_wanted && is_new {
                    found.push(described(&entry, kind, &manifest)?);
                }
            }
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": found });
        let answer = Answer::document(index.to_string().into_bytes(), media_type);
        Ok(if wanted.is_some() { answer.with("OCI-Filters-Applied", "artifactType") } else { answer })
    }
}

/// As the list of referrers has it: with the manifest's kind and annotations.
fn described(entry: &Descriptor, kind: MediaType, manifest: &ImageManifest) -> Result<Descriptor, Error> {
    let builder = DescriptorBuilder::default()
        .media_type(entry.media_type().clone())
        .digest(entry.digest().clone())
        .size(entry.size())
        .artifact_type(kind)
        .annotations(manifest.annotations().clone().unwrap_or_default());
    builder.build().map_err(|error| Error::malformed("the list of referrers", error.to_string()))
}
