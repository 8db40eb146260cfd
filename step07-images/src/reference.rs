//! Names of images, by docker's grammar: `busybox`, `library/busybox:latest`, `localhost:5000/team/app@sha256:…`.
//!
//! Source: distribution/reference, `reference.go` (the grammar) and `normalize.go` (familiar names).

use crate::digest::Digest;
use crate::error::Error;
use std::fmt;
use std::str::FromStr;

const DEFAULT_REGISTRY: &str = "docker.io";
const OLD_DEFAULT_REGISTRY: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";

/// A parsed image name. It displays in docker's familiar form: `busybox:latest`, not `docker.io/library/busybox:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host, with its port when it has one (`docker.io`, `localhost:5000`).
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path on the registry (`library/busybox`).
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag: `latest` when the text had neither a tag nor a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's digest, when the text had one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The familiar name without tag and digest (`busybox`, `localhost:5000/team/app`): docker's REPOSITORY column.
    #[must_use]
    pub fn repository(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.path);
        }
        let path = self.path.strip_prefix(OFFICIAL);
        path.filter(|rest| !rest.contains('/')).unwrap_or(&self.path).to_owned()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|why| Error::Reference { text: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if Digest::from_hex(text).is_some() {
        return Err("64 hexadecimal digits are an id, not a name");
    }
    let (text, digest) = split_digest(text)?;
    let (name, tag) = split_tag(text)?;
    let (registry, path) = split_registry(name);
    check_registry(registry)?;
    check_path(&path)?;
    if registry.len() + 1 + path.len() > 255 {
        return Err("the name is longer than 255 bytes");
    }
    let tag = match (tag, digest) {
        (None, None) => Some(DEFAULT_TAG.to_owned()),
        (tag, _) => tag.map(str::to_owned),
    };
    let registry = registry.to_owned();
    Ok(Reference { registry, path, tag, digest })
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), &'static str> {
    let Some((rest, digest)) = text.split_once('@') else {
        return Ok((text, None));
    };
    let digest = digest.strip_prefix("sha256:").and_then(Digest::from_hex);
    digest.map(|digest| (rest, Some(digest))).ok_or("after `@` comes `sha256:` and 64 hexadecimal digits in lower case")
}

/// A colon after the last slash begins the tag; one before it belongs to the registry's port.
fn split_tag(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    let after_slash = text.rfind('/').map_or(0, |slash| slash + 1);
    let Some(colon) = text[after_slash..].find(':').map(|colon| after_slash + colon) else {
        return Ok((text, None));
    };
    let tag = &text[colon + 1..];
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let good =
        tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-') && tag.bytes().next().is_some_and(word);
    if !good || tag.len() > 128 {
        return Err("a tag is up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two");
    }
    Ok((&text[..colon], Some(tag)))
}

/// The first component is a registry when it could not be a folder of the default one: a dot, a port, `localhost`, or capitals.
fn split_registry(name: &str) -> (&str, String) {
    let is_registry = |host: &str| host.contains(['.', ':']) || host == "localhost" || host.to_lowercase() != host;
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if is_registry(host) => (host, path),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == OLD_DEFAULT_REGISTRY { DEFAULT_REGISTRY } else { registry };
    if registry == DEFAULT_REGISTRY && !path.contains('/') {
        return (registry, format!("{OFFICIAL}{path}"));
    }
    (registry, path.to_owned())
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    const WRONG: &str = "the registry is no host name with an optional port";
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(WRONG);
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().map(drop).map_err(|_| WRONG);
    }
    let label = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.split('.').all(label) { Ok(()) } else { Err(WRONG) }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.split('/').all(is_component) {
        return Ok(());
    }
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("a name is in lower case");
    }
    Err("a name is made of lower case letters and digits, joined by `.`, `_`, `__`, `-` and `/`")
}

/// Letters and digits, joined by one dot, one or two underscores, or any number of dashes.
fn is_component(component: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = component.split(word).filter(|separator| !separator.is_empty());
    component.starts_with(word)
        && component.ends_with(word)
        && separators
            .into_iter()
            .all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// The text, and its familiar form; `Err` for what docker refuses too.
    #[test]
    fn references_are_dockers() {
        let with_digest = format!("busybox@{DIGEST}");
        let with_both = format!("localhost:5000/a/b:1@{DIGEST}");
        let good = [
            ("busybox", "busybox:latest"),
            ("busybox:1.36", "busybox:1.36"),
            ("library/busybox", "busybox:latest"),
            ("docker.io/busybox", "busybox:latest"),
            ("index.docker.io/library/busybox:latest", "busybox:latest"),
            ("docker.io/library/a/b", "library/a/b:latest"),
            ("user/app", "user/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("ghcr.io/a/b/c", "ghcr.io/a/b/c:latest"),
            ("Host/app", "Host/app:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("[2001:db8::1]/app", "[2001:db8::1]/app:latest"),
            ("x/a.b__c---d/e_f", "x/a.b__c---d/e_f:latest"),
            ("app:_x.Y-z", "app:_x.Y-z"),
            (&with_digest, &with_digest),
            (&with_both, &with_both),
        ];
        for (text, familiar) in good {
            match text.parse::<Reference>() {
                Ok(reference) => assert_eq!(reference.to_string(), familiar, "{text}"),
                Err(error) => panic!("{error}"),
            }
        }
        let long_tag = format!("app:{}", "x".repeat(129));
        let long_name = "a/".repeat(128) + "a";
        let no_digest = format!("busybox@{}", &DIGEST[..70]);
        let id = &DIGEST[7..];
        #[rustfmt::skip]
        let wrong = [
            "", "Busybox", "a//b", "/a", "a/", ":tag", "app:", "app:.x", "app:-x", "a:b:c", "-a", "a-", "a..b", "a___b", "a b",
            "a.b__c/d", "../a", "a/../b", "a._b", "host:port/app", "host:/app", "-host.x/app", "[zz]/app", "aa/asdf$$^/aa", "a@b",
            "a@sha256:xyz", &long_tag, &long_name, &no_digest, id,
        ];
        for text in wrong {
            assert!(text.parse::<Reference>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn parts_of_a_reference() {
        let reference: Reference = "localhost:5000/a/b:1".parse().unwrap();
        assert_eq!((reference.registry(), reference.path(), reference.tag()), ("localhost:5000", "a/b", Some("1")));
        let reference: Reference = "busybox".parse().unwrap();
        assert_eq!((reference.registry(), reference.path()), ("docker.io", "library/busybox"));
        assert_eq!(reference.repository(), "busybox");
    }
}
