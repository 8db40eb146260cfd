//! What is said to a client.

use crate::digest::Digest;
use crate::error::Error;
use serde_json::json;
use std::fs::File;
use std::ops::Range;

/// An answer, ready to be written.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    File(File, Range<u64>),
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, range) => range.end - range.start,
        }
    }
}

impl Answer {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::Bytes(Vec::new()) }
    }

    pub(super) fn json(bytes: Vec<u8>) -> Self {
        Self::document(bytes, "application/json")
    }

    pub(super) fn document(bytes: Vec<u8>, media_type: &str) -> Self {
        Self { content: Content::Bytes(bytes), ..Self::empty(200) }.with("Content-Type", media_type)
    }

    pub(super) fn file(file: File, size: u64, range: Option<Range<u64>>) -> Self {
        let answer = match range {
            None => Self { content: Content::File(file, 0..size), ..Self::empty(200) },
            Some(range) => {
                let said = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
                Self { content: Content::File(file, range), ..Self::empty(206) }.with("Content-Range", said)
            }
        };
        answer.with("Content-Type", "application/octet-stream").with("Accept-Ranges", "bytes")
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub(super) fn with_digest(self, digest: Digest) -> Self {
        self.with("Docker-Content-Digest", digest.to_string())
    }

    /// An error in the protocol's words.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "errors": [{ "code": code, "message": message }] });
        Self { status, ..Self::json(body.to_string().into_bytes()) }
    }

    pub(super) fn not_found(code: &str, message: &str) -> Self {
        Self::error(404, code, message)
    }

    pub(super) fn bad_request(why: &str) -> Self {
        Self::error(400, "UNSUPPORTED", why)
    }

    /// The store's error: whose fault it is decides the status; paths of this machine are nobody else's business.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::NoSuchImage { .. } => Self::not_found("MANIFEST_UNKNOWN", &error.to_string()),
            Error::InUse { .. } | Error::SeveralNames { .. } => Self::error(403, "DENIED", &error.to_string()),
            Error::WrongDigest { .. } | Error::Digest { .. } => Self::error(400, "DIGEST_INVALID", &error.to_string()),
            Error::Io { source, .. } => Self::error(500, "UNKNOWN", &crate::error::describe(source)),
            _ => Self::error(400, "MANIFEST_INVALID", &error.to_string()),
        }
    }
}
