//! Pull and discovery.

use super::Server;
use super::answer::Answer;
use super::http::Request;
use super::route::{Name, Route};
use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::image::{REPO_DIGEST, annotation, name_of};
use crate::reference::Reference;
use crate::registry::Document;
use oci_spec::image::Descriptor;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::Range;

/// Entries of a list that are sent at once.
const PAGE: usize = 1000;

impl Server {
    pub(super) fn read(&self, route: &Route, request: &Request<'_>) -> Result<Answer, Error> {
        match route {
            Route::Base => Ok(Answer::json(b"{}".to_vec())),
            Route::Catalogue => {
                let named = self.named()?.into_iter().chain(self.named_artifacts()?);
                let names = named.map(|(name, _)| path(&name)).collect();
                Ok(page(request, "/v2/_catalog", &names, |names| json!({ "repositories": names })))
            }
            Route::Tags(name) => self.tags(name, request),
            Route::Manifest(name, called) => self.manifest(name, called),
            Route::Blob(_, digest) => self.send_blob(*digest, request),
            Route::Upload(_, id) => Ok(self.upload_so_far(id)),
            Route::Referrers(name, subject) => self.referrers(name, *subject, request.query("artifactType")),
            Route::Uploads(_) => Ok(Answer::error(405, "UNSUPPORTED", "an upload begins with POST")),
        }
    }

    /// The images that have a name, pushed ones first.
    pub(super) fn named(&self) -> Result<Vec<(Reference, Descriptor)>, Error> {
        let index = self.store.layout.read_index()?;
        let named = index.manifests().iter().filter_map(|entry| Some((name_of(entry)?.parse().ok()?, entry.clone())));
        let mut named: Vec<(Reference, Descriptor)> = named.collect();
        named.sort_by_key(|(name, _)| (name.registry() != self.own, name.registry() != "docker.io", name.to_string()));
        Ok(named)
    }

    fn of_repository(&self, wanted: &str) -> Result<Vec<(Reference, Descriptor)>, Error> {
        let mut named = self.named()?;
        named.retain(|(name, _)| path(name) == wanted || name.path() == wanted);
        Ok(named)
    }

    fn tags(&self, name: &str, request: &Request<'_>) -> Result<Answer, Error> {
        let mut images = self.of_repository(name)?;
        images.extend(self.named_artifacts()?.into_iter().filter(|(known, _)| known.path() == name));
        if images.is_empty() {
            return Ok(Answer::not_found("NAME_UNKNOWN", "no image has this name"));
        }
        let tags = images.iter().filter_map(|(name, _)| name.tag().map(str::to_owned)).collect();
        let address = format!("/v2/{name}/tags/list");
        Ok(page(request, &address, &tags, |tags| json!({ "name": name, "tags": tags })))
    }

    fn manifest(&self, name: &str, called: &Name) -> Result<Answer, Error> {
        let images = self.of_repository(name)?;
        let found = images.iter().find(|(name, entry)| match called {
            Name::Tag(tag) => name.tag() == Some(tag),
            Name::Digest(digest) => is_called(entry, *digest),
        });
        let Some((_, entry)) = found else {
            if let Some(answer) = self.artifact(name, called)? {
                return Ok(answer);
            }
            return Ok(Answer::not_found("MANIFEST_UNKNOWN", "no image has this name"));
        };
        let is_wanted = |digest: &Digest| matches!(called, Name::Tag(_)) || *called == Name::Digest(*digest);
        if let Some((digest, bytes)) = self.index_of(entry).filter(|(digest, _)| is_wanted(digest)) {
            let media_type = Document::of_bytes(&bytes)?.media_type;
            return Ok(Answer::document(bytes, &media_type).with_digest(digest));
        }
        let digest = Digest::try_from(entry.digest())?;
        let path = self.store.layout.blob(digest);
        let bytes = fs::read(&path).doing("read", &path)?;
        Ok(Answer::document(bytes, entry.media_type().as_ref()).with_digest(digest))
    }

    /// The index that an image was pushed with.
    fn index_of(&self, entry: &Descriptor) -> Option<(Digest, Vec<u8>)> {
        let digest = annotation(entry, REPO_DIGEST)?.parse::<Digest>().ok()?;
        let is_its_own = entry.digest().as_ref() == digest.to_string();
        Some((digest, fs::read(self.store.layout.blob(digest)).ok().filter(|_| !is_its_own)?))
    }

    fn send_blob(&self, digest: Digest, request: &Request<'_>) -> Result<Answer, Error> {
        let Some(path) = self.blob(digest) else {
            return Ok(Answer::not_found("BLOB_UNKNOWN", "no image has this blob"));
        };
        let file = File::open(&path).doing("open", &path)?;
        let size = file.metadata().doing("look at", &path)?.len();
        match request.header("Range").map(|range| span(range, size)) {
            Some(None) => Ok(Answer::error(416, "RANGE_INVALID", "the blob has no such bytes")),
            range => Ok(Answer::file(file, size, range.flatten()).with_digest(digest)),
        }
    }
}

/// Whether `digest` means this image: its manifest, or the index that it came with.
pub(super) fn is_called(entry: &Descriptor, digest: Digest) -> bool {
    let names = [Some(entry.digest().as_ref()), annotation(entry, REPO_DIGEST)];
    names.contains(&Some(digest.to_string().as_str()))
}

/// What an image is called here: images of other registries and of Docker Hub by their familiar path.
fn path(name: &Reference) -> String {
    if name.registry() == "docker.io" { name.repository() } else { name.path().to_owned() }
}

/// `bytes=10-`, `bytes=10-19`, `bytes=-5`; of several ranges, which nobody asks for, none.
fn span(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", last) => size.saturating_sub(last.parse().ok()?)..size,
        (first, "") => first.parse().ok()?..size,
        (first, last) => first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?.min(size),
    };
    (range.start < range.end).then_some(range)
}

/// One page of a list: `?n=` entries after `?last=`, and a link to the next.
fn page(
    request: &Request<'_>,
    address: &str,
    all: &BTreeSet<String>,
    document: impl Fn(&[&String]) -> serde_json::Value,
) -> Answer {
    let most = request.query("n").and_then(|n| n.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let last = request.query("last").unwrap_or_default();
    let after: Vec<&String> = all.iter().filter(|entry| entry.as_str() > last).collect();
    let shown = &after[..after.len().min(most)];
    let answer = Answer::json(document(shown).to_string().into_bytes());
    match shown.last() {
        Some(last) if shown.len() < after.len() => {
            answer.with("Link", format!("<{address}?n={most}&last={last}>; rel=\"next\""))
        }
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(span("bytes=2-", 10), Some(2..10));
        assert_eq!(span("bytes=2-3", 10), Some(2..4));
        assert_eq!(span("bytes=2-99", 10), Some(2..10));
        assert_eq!(span("bytes=-3", 10), Some(7..10));
        for wrong in ["bytes=10-", "bytes=5-4", "bytes=a-", "2-3", "bytes=-", "bytes=0-18446744073709551615x"] {
            assert_eq!(span(wrong, 10), None, "{wrong}");
        }
    }
}
