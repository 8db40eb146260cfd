//! Which image a name means: a manifest, or an index of manifests for several platforms.

use super::client::{Client, Request, Response};
use super::error::Error as RegistryError;
use crate::digest::Digest;
use crate::error::Error;
use crate::layout::{DOCUMENT, parse};
use crate::reference::Reference;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use sys::arch::{OCI_ARCHITECTURE, oci_architecture};
use ureq::http::Method;
use ureq::http::header::{ACCEPT, CONTENT_TYPE};

const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Indexes in indexes: the specification allows any depth, nobody needs more than two.
const DEEPEST: usize = 4;

/// An operating system and a processor (`linux/arm64/v8`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Default for Platform {
    /// This machine's.
    fn default() -> Self {
        Self { os: "linux".into(), architecture: OCI_ARCHITECTURE.into(), variant: None }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = &'static str;

    /// `OS/ARCHITECTURE[/VARIANT]`, or the architecture alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<String> = text.split('/').map(str::to_lowercase).collect();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if parts.iter().any(|part| part.is_empty() || !part.bytes().all(word)) {
            return Err("a platform is `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`");
        }
        let architecture = |name: &str| oci_architecture(name).to_owned();
        match &parts[..] {
            [one] if one == "linux" => Ok(Self::default()),
            [one] => Ok(Self { os: "linux".into(), architecture: architecture(one), variant: None }),
            [os, one] => Ok(Self { os: os.clone(), architecture: architecture(one), variant: None }),
            [os, one, variant] => {
                Ok(Self { os: os.clone(), architecture: architecture(one), variant: Some(variant.clone()) })
            }
            _ => Err("a platform has at most three parts"),
        }
    }
}

impl Platform {
    pub(crate) fn is_of(&self, entry: &Descriptor) -> bool {
        let Some(found) = entry.platform() else { return false };
        let variant = self.variant.as_deref();
        self.is(&found.os().to_string(), &found.architecture().to_string())
            && variant.is_none_or(|variant| found.variant().as_deref() == Some(variant))
    }

    pub(super) fn is(&self, os: &str, architecture: &str) -> bool {
        os == self.os && architecture == self.architecture
    }
}

/// A manifest or an index, its bytes as the registry has them.
#[derive(Debug)]
pub(crate) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
    pub(crate) media_type: String,
}

impl Document {
    /// A document that came without any promise.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let media_type = agreed("the manifest", bytes, None)?;
        Ok(Self { bytes: bytes.to_vec(), digest: Digest::of(bytes), media_type })
    }

    pub(super) fn is_index(&self) -> bool {
        is_index(&self.media_type)
    }

    /// The entry of an index for `platform`.
    fn entry(&self, reference: &Reference, platform: &Platform) -> Result<Descriptor, Error> {
        let index: ImageIndex = parse(&self.bytes, || format!("the index of `{reference}`"))?;
        let entry = pick(index.manifests(), platform).cloned();
        entry.ok_or_else(|| Error::NoMatchingManifest {
            wanted: platform.to_string(),
            image: reference.to_string(),
            found: platforms(index.manifests()),
        })
    }

    pub(crate) fn entry_for_this_machine(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.entry(reference, &Platform::default())
    }

    /// The manifest of an image.
    pub(crate) fn image(&self, reference: &Reference) -> Result<ImageManifest, Error> {
        read(self, reference)
    }
}

pub(crate) fn is_index(media_type: &str) -> bool {
    media_type.ends_with(".image.index.v1+json") || media_type.ends_with(".manifest.list.v2+json")
}

/// What a pull is allowed to do, in the words of token servers.
pub(super) fn pull_scope(reference: &Reference) -> String {
    format!("repository:{}:pull", reference.path())
}

/// The manifest or index that `reference` means at the registry.
pub(super) fn of(client: &Client<'_>, reference: &Reference) -> Result<Document, Error> {
    let digest = reference.digest();
    let name = match digest {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or("latest").to_owned(),
    };
    by_name(client, reference, &name, digest)
}

fn by_name(
    client: &Client<'_>,
    reference: &Reference,
    name: &str,
    expected: Option<Digest>,
) -> Result<Document, Error> {
    let what = format!("the manifest of `{reference}`");
    let response = client.send(&Request {
        method: Method::GET,
        url: format!("/v2/{}/manifests/{name}", reference.path()),
        what: what.clone(),
        scope: pull_scope(reference),
        headers: vec![(ACCEPT.as_str(), ACCEPTED.to_owned())],
        body: None,
    })?;
    match response.status().as_u16() {
        200 => {}
        404 => return Err(RegistryError::NoManifest { reference: reference.to_string() }.into()),
        401 | 403 => return Err(denied(client, reference, "pull").into()),
        _ => return Err(client.unexpected(&what, response).into()),
    }
    let (media_type, promised) = promises(&response);
    let bytes = client.read(&what, response, DOCUMENT)?;
    let actual = Digest::of(&bytes);
    // The digest of the request is what counts; the registry's own promise only where there is none.
    if let Some(expected) = expected.or(promised)
        && actual != expected
    {
        return Err(Error::WrongDigest { what, expected, actual });
    }
    let media_type = agreed(&what, &bytes, media_type)?;
    Ok(Document { bytes, digest: actual, media_type })
}

pub(super) fn denied(client: &Client<'_>, reference: &Reference, action: &'static str) -> RegistryError {
    RegistryError::Denied { action, repository: reference.repository(), host: client.host.clone() }
}

/// The header's media type and digest.
fn promises(response: &Response) -> (Option<String>, Option<Digest>) {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let media_type = header(CONTENT_TYPE.as_str()).map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
    (media_type, header("docker-content-digest").and_then(|text| text.parse().ok()))
}

/// The media type, which header and document have to agree on: two clients that look at different places would see two images.
fn agreed(what: &str, bytes: &[u8], header: Option<String>) -> Result<String, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        media_type: Option<String>,
        schema_version: Option<u32>,
    }
    let kind: Kind = parse(bytes, || what.to_owned())?;
    if kind.schema_version == Some(1) {
        return Err(Error::malformed(what, "it has docker's first schema, which is no longer in use"));
    }
    let header = header.filter(|header| header.starts_with("application/vnd."));
    match (kind.media_type, header) {
        (Some(inside), Some(header)) if inside != header => {
            Err(Error::malformed(what, format!("the registry says `{header}`, the document itself `{inside}`")))
        }
        (inside, header) => inside.or(header).ok_or_else(|| Error::malformed(what, "it has no media type")),
    }
}

/// From an index to the manifest of `platform`.
pub(super) fn choose(
    client: &Client<'_>,
    reference: &Reference,
    platform: &Platform,
    document: Document,
) -> Result<Document, Error> {
    let mut document = document;
    for _ in 0..DEEPEST {
        if !document.is_index() {
            return Ok(document);
        }
        let what = || format!("the index of `{reference}`");
        let entry = document.entry(reference, platform)?;
        let digest = Digest::try_from(entry.digest())?;
        let (size, media_type) = (entry.size(), entry.media_type().to_string());
        document = by_name(client, reference, &digest.to_string(), Some(digest))?;
        let actual = document.bytes.len() as u64;
        if actual != size {
            let what = format!("the manifest of `{reference}`");
            return Err(Error::WrongSize { what, expected: size, actual: actual.to_string() });
        }
        if document.media_type != media_type {
            let why = format!("it calls `{media_type}` what is `{}`", document.media_type);
            return Err(Error::malformed(what(), why));
        }
    }
    Err(Error::malformed(format!("the index of `{reference}`"), "it leads to ever more indexes"))
}

/// The entry of the platform; one that names none is taken when it is the only one.
fn pick<'a>(entries: &'a [Descriptor], platform: &Platform) -> Option<&'a Descriptor> {
    let exact = entries.iter().find(|entry| platform.is_of(entry));
    exact.or_else(|| entries.first().filter(|entry| entries.len() == 1 && entry.platform().is_none()))
}

fn platforms(entries: &[Descriptor]) -> String {
    let known = entries.iter().filter_map(|entry| entry.platform().as_ref());
    let names: Vec<_> = known.map(|it| format!("{}/{}", it.os(), it.architecture())).collect();
    // `unknown/unknown` are signatures and the like.
    let names: Vec<_> = names.into_iter().filter(|name| !name.starts_with("unknown")).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

pub(super) fn read(document: &Document, reference: &Reference) -> Result<ImageManifest, Error> {
    let what = || format!("the manifest of `{reference}`");
    let known = document.media_type.ends_with(".image.manifest.v1+json")
        || document.media_type.ends_with(".distribution.manifest.v2+json");
    if !known {
        return Err(Error::malformed(what(), format!("`{}` is no media type of an image", document.media_type)));
    }
    parse(&document.bytes, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_in_every_form() {
        for (text, expected) in [
            ("linux/arm64", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/ARM/v7", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected);
        }
        for wrong in ["", "/", "linux/", "a/b/c/d", "linux/a b"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn media_types_have_to_agree() {
        let index = "application/vnd.oci.image.index.v1+json";
        let bytes = format!(r#"{{"schemaVersion":2,"mediaType":"{index}"}}"#);
        assert_eq!(agreed("x", bytes.as_bytes(), Some(index.into())).unwrap(), index);
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        assert!(agreed("x", bytes.as_bytes(), Some(manifest.into())).is_err());
        assert_eq!(agreed("x", b"{}", Some(manifest.into())).unwrap(), manifest);
        assert!(agreed("x", b"{}", Some("text/html".into())).is_err());
    }
}
