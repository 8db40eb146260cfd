//! What can go wrong with an image: what failed, on what, why; [`Error::help`] says what to do.

use crate::digest::Digest;
use crate::registry;
use crate::unpack::Refusal;
use nix::errno::Errno;
use std::io;
use std::path::PathBuf;

/// Every error of this crate. Its text says what failed, on what and why; [`Error::help`] what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message beside each field says what it holds")]
pub enum Error {
    /// A text that is not a reference by docker's grammar.
    #[error("`{text}` is not an image reference: {why}")]
    Reference { text: String, why: &'static str },
    /// A digest that is not `sha256:` and 64 digits.
    #[error("`{text}` is not a digest: `sha256:` and 64 hexadecimal digits in lower case are wanted")]
    Digest { text: String },
    /// Nothing in the store has this name or id.
    #[error("no such image: `{reference}`")]
    NoSuchImage { reference: String },
    /// An id prefix that several images share.
    #[error("`{prefix}` is the beginning of {count} image ids")]
    Ambiguous { prefix: String, count: usize },
    /// A system call or a file operation.
    #[error("{doing} `{}`: {}", path.display(), describe(source))]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// A JSON document that is not what it should be.
    #[error("{what}: {source}")]
    Json { what: String, source: serde_json::Error },
    /// A document that is JSON but makes no sense.
    #[error("{what}: {why}")]
    Malformed { what: String, why: String },
    /// Neither of the two formats that `load` reads.
    #[error("`{archive}` is neither a docker archive (no `manifest.json`) nor an OCI layout (no `index.json`)")]
    NotAnImage { archive: String },
    /// A file that the archive's own manifest names is not in it.
    #[error("`{archive}` has no `{member}`, which its manifest names")]
    MissingMember { archive: String, member: String },
    /// An index without this machine's platform.
    #[error("no matching manifest for {wanted} in the index of `{image}`: it has {found}")]
    NoMatchingManifest { wanted: String, image: String, found: String },
    /// Bytes that do not have the digest they were named by.
    #[error("{what}: the digest is {actual}, the manifest says {expected}")]
    WrongDigest { what: String, expected: Digest, actual: Digest },
    /// More or fewer bytes than promised.
    #[error("{what}: {actual} bytes, the manifest says {expected}")]
    WrongSize { what: String, expected: u64, actual: String },
    /// A layer whose uncompressed tar is not the one that the image's configuration names.
    #[error("{what}: the uncompressed layer is {actual}, the image's configuration says {expected}")]
    WrongDiffId { what: String, expected: Digest, actual: Digest },
    /// A layer whose bytes are not of the kind that its media type says.
    #[error("{what}: the media type is `{media_type}`, the content is {found}")]
    MediaType { what: String, media_type: String, found: &'static str },
    /// A compression that is not supported.
    #[error("{what}: {found} is not supported")]
    Compression { what: String, found: &'static str },
    /// An entry of a layer that is refused, or that cannot be made here.
    #[error("{layer}: entry `{entry}`: {refusal}")]
    Entry { layer: String, entry: String, refusal: Refusal },
    /// `remove` of an image that has several names, by its id.
    #[error("image {id} has several names: {names}")]
    SeveralNames { id: String, names: String },
    /// `remove` of an image that containers use.
    #[error("image `{image}` is used by {users}")]
    InUse { image: String, users: String },
    /// A registry that cannot be had, or does not keep to the rules.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// No material for the demo image.
    #[error("cannot make the image `demo`: this machine has no {missing}")]
    Demo { missing: &'static str },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.into(), source: source.into() }
    }

    /// An error of reading `what`: one that a stream of ours has sent up through the decoder comes out as it was.
    pub(crate) fn of_stream(doing: &'static str, what: &str, error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|error| Self::io(doing, what, error))
    }

    /// The same for what went wrong while an entry of `layer` was read.
    pub(crate) fn of_entry(layer: &str, entry: String, refusal: Refusal) -> Self {
        let refusal = match refusal {
            Refusal::Stream { error } => match error.downcast::<Self>() {
                Ok(error) => return error,
                Err(error) => Refusal::Stream { error },
            },
            refusal => refusal,
        };
        Self::Entry { layer: layer.to_owned(), entry, refusal }
    }

    pub(crate) fn malformed(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), why: why.into() }
    }

    /// What the user can do about it; `None` when there is nothing but to read the message.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Reference { .. } => {
                "write `name`, `name:tag`, `host:port/name:tag` or `name@sha256:…`, names in lower case"
            }
            Self::NoSuchImage { .. } => {
                "`tara images` lists what is there; `tara pull`, `tara load` and `tara import` bring more"
            }
            Self::Ambiguous { .. } => "write more digits of the id",
            Self::Io { source, .. } => return help_for(source),
            Self::NotAnImage { .. } => {
                "write one with `docker save` or `skopeo copy`; a plain file system is for `tara import`"
            }
            Self::NoMatchingManifest { .. } => "get the image for this platform",
            Self::WrongDigest { .. } | Self::WrongSize { .. } | Self::WrongDiffId { .. } => {
                "the image is damaged or forged: get it again, from somewhere you trust"
            }
            Self::Compression { .. } => "decompress it first, or compress it with gzip or zstd",
            Self::Entry { refusal, .. } => return refusal.help(),
            Self::SeveralNames { .. } => "remove the names one by one, or all with `--force`",
            Self::InUse { .. } => "remove these containers first",
            Self::Registry(error) => return error.help(),
            Self::Demo { .. } => "install `busybox-static`",
            _ => return None,
        })
    }
}

/// What to do about an error of the kernel.
pub(crate) fn help_for(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error().map(Errno::from_raw)? {
        Errno::ENOSPC | Errno::EDQUOT => {
            Some("free some space, or put the state directory on a larger file system with `--root DIR`")
        }
        Errno::EPERM | Errno::EACCES => Some("the store needs root, or a user namespace of its own"),
        Errno::EROFS => Some("choose a writable state directory with `--root DIR`"),
        _ => None,
    }
}

/// An I/O error as the project prints it: the kernel's errno by name, or the decoder's own words.
pub(crate) fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => sys::failure::describe(Errno::from_raw(errno)),
        None => error.to_string(),
    }
}

/// Says what a file operation was for, so that `?` carries it up.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|error| Error::io(doing, path, error))
    }
}
