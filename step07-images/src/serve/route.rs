//! Addresses of the distribution API: `/v2/<name>/…`, where a name has slashes of its own.

use crate::digest::Digest;
use crate::reference::Reference;

/// What an address means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`: does anybody speak this protocol here?
    Base,
    Catalogue,
    Tags(String),
    Manifest(String, Name),
    Blob(String, Digest),
    /// Where uploads begin.
    Uploads(String),
    Upload(String, String),
    Referrers(String, Digest),
}

/// How a manifest is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Tag(String),
    Digest(Digest),
}

impl Route {
    /// `None` for everything that is not exactly of one of the forms: a name is checked before anything is looked up by it.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v2")?;
        match rest {
            "" | "/" => return Some(Self::Base),
            "/_catalog" => return Some(Self::Catalogue),
            _ => {}
        }
        let rest = rest.strip_prefix('/')?;
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return checked(name).map(Self::Tags);
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return checked(name).map(Self::Uploads);
        }
        let (before, last) = rest.rsplit_once('/')?;
        if let Some(name) = before.strip_suffix("/blobs/uploads") {
            let is_id = last.len() == 32 && last.bytes().all(|byte| byte.is_ascii_hexdigit());
            return is_id.then_some(()).and_then(|()| Some(Self::Upload(checked(name)?, last.to_owned())));
        }
        let (name, kind) = before.rsplit_once('/')?;
        let name = checked(name)?;
        match kind {
            "manifests" => Some(Self::Manifest(name.clone(), called(&name, last)?)),
            "blobs" => Some(Self::Blob(name, last.parse().ok()?)),
            "referrers" => Some(Self::Referrers(name, last.parse().ok()?)),
            _ => None,
        }
    }
}

/// The name of a repository, by the grammar of references.
pub(super) fn checked(name: &str) -> Option<String> {
    let reference: Reference = format!("localhost/{name}").parse().ok()?;
    (reference.path() == name && reference.digest().is_none()).then(|| name.to_owned())
}

fn called(name: &str, text: &str) -> Option<Name> {
    if let Ok(digest) = text.parse() {
        return Some(Name::Digest(digest));
    }
    let reference: Reference = format!("localhost/{name}:{text}").parse().ok()?;
    (reference.tag() == Some(text)).then(|| Name::Tag(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let digest = Digest::of(b"x");
        let good = [
            ("/v2/".to_owned(), Route::Base),
            ("/v2/_catalog".into(), Route::Catalogue),
            ("/v2/a/b/tags/list".into(), Route::Tags("a/b".into())),
            ("/v2/a/manifests/1".into(), Route::Manifest("a".into(), Name::Tag("1".into()))),
            (format!("/v2/a/manifests/{digest}"), Route::Manifest("a".into(), Name::Digest(digest))),
            (format!("/v2/manifests/blobs/{digest}"), Route::Blob("manifests".into(), digest)),
            ("/v2/a/blobs/uploads/".into(), Route::Uploads("a".into())),
            (format!("/v2/a/blobs/uploads/{}", "0".repeat(32)), Route::Upload("a".into(), "0".repeat(32))),
        ];
        for (path, route) in good {
            assert_eq!(Route::parse(&path), Some(route), "{path}");
        }
        for wrong in [
            "/",
            "/v1/",
            "/v2/../tags/list",
            "/v2/A/tags/list",
            "/v2//tags/list",
            "/v2/a/manifests/..",
            "/v2/a/manifests/",
            "/v2/a/blobs/sha256:00",
            "/v2/a/blobs/../../etc/passwd",
            "/v2/a/blobs/uploads/..",
            "/v2/a@b/tags/list",
            "/v2/a:b/tags/list",
        ] {
            assert_eq!(Route::parse(wrong), None, "{wrong}");
        }
    }
}
