//! One blob as a stream: kept in a file while it is read, and asked for again from where the connection was cut.

use super::client::{Client, Request};
use super::error::Error as RegistryError;
use super::manifest::{denied, pull_scope};
use super::pace::Pace;
use crate::behind::WriteBehind;
use crate::digest::Digest;
use crate::error::Error;
use crate::layout::DOCUMENT;
use crate::reference::Reference;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use ureq::BodyReader;
use ureq::http::Method;
use ureq::http::header::{CONTENT_RANGE, RANGE};

/// A blob that is still at the registry, or the part of it that is.
pub(super) struct Blob<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) reference: &'a Reference,
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// What an earlier attempt has kept, to be read before the rest.
    pub(super) kept: io::Take<File>,
    /// Where the rest is added.
    pub(super) file: WriteBehind,
    pub(super) path: PathBuf,
    /// Another layer has failed: this one is not needed either.
    pub(super) cancelled: &'a AtomicBool,
    /// Gets the count of bytes so far.
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
    pub(super) at: u64,
    pub(super) cuts: u32,
    pub(super) pace: Pace,
    pub(super) body: Option<BodyReader<'static>>,
}

impl Blob<'_> {
    fn what(&self) -> String {
        format!("layer {}", self.digest)
    }

    /// Asks for the blob from [`Blob::at`] on.
    fn open(&self) -> Result<BodyReader<'static>, Error> {
        let from = (self.at > 0).then(|| (RANGE.as_str(), format!("bytes={}-", self.at)));
        let request = get(self.reference, self.digest, self.what(), from.into_iter().collect());
        let response = self.client.send(&request)?;
        let length = response.body().content_length();
        let (begin, whole) = match response.status().as_u16() {
            200 => (0, length),
            206 => {
                let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
                let begin = range.and_then(first_of_range).unwrap_or(self.at);
                (begin, length.map(|length| length.saturating_add(begin)))
            }
            401 | 403 => return Err(denied(self.client, self.reference, "pull").into()),
            _ => return Err(self.client.unexpected(&self.what(), response).into()),
        };
        if whole.is_some_and(|whole| whole != self.size) {
            let actual = whole.unwrap_or_default().to_string();
            return Err(Error::WrongSize { what: self.what(), expected: self.size, actual });
        }
        if begin > self.at {
            return Err(self.client.nonsense(&self.what(), "it leaves out the beginning").into());
        }
        let mut body = response.into_body().into_reader();
        // A registry that knows no ranges begins anew.
        io::copy(&mut (&mut body).take(self.at - begin), &mut io::sink())
            .map_err(|error| self.client.broke(&self.what(), error))?;
        Ok(body)
    }

    /// The connection was cut: is it worth another attempt?
    fn cut(&mut self) -> Result<(), Error> {
        self.body = None;
        self.cuts += 1;
        let patience = self.client.settings().patience;
        if self.cuts > patience.retries {
            let (what, got, size, tries) = (self.what(), self.at, self.size, self.cuts);
            return Err(RegistryError::Cut { what, got, size, tries }.into());
        }
        tracing::debug!(layer = %self.digest, at = self.at, "the connection was cut");
        std::thread::sleep(patience.pause * (1 << (self.cuts - 1).min(6)));
        Ok(())
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(cancelled());
            }
            if self.at == self.size || buffer.is_empty() {
                return Ok(0);
            }
            if self.body.is_none() {
                self.body = Some(self.open()?);
            }
            let most = usize::try_from(self.size - self.at).unwrap_or(usize::MAX).min(buffer.len());
            let body = self.body.as_mut().expect("opened above");
            match self.pace.read(body, &mut buffer[..most]) {
                Ok(0) => self.cut()?,
                Ok(count) => {
                    self.pace.check().map_err(|slowest| RegistryError::TooSlow { what: self.what(), slowest })?;
                    self.file.write_all(&buffer[..count]).map_err(|error| Error::io("write", &self.path, error))?;
                    self.at += count as u64;
                    self.cuts = 0;
                    (self.progress)(self.at);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(layer = %self.digest, %error, "the connection broke");
                    self.cut()?;
                }
            }
        }
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.kept.read(buffer)? {
            0 => self.next(buffer).map_err(io::Error::other),
            count => Ok(count),
        }
    }
}

/// The end of a layer whose image has failed elsewhere; nobody sees it.
pub(super) fn cancelled() -> Error {
    Error::malformed("the image", "another layer has failed")
}

/// `bytes 10-99/100`: 10.
fn first_of_range(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

fn get(reference: &Reference, digest: Digest, what: String, headers: Vec<(&'static str, String)>) -> Request<'static> {
    let url = format!("/v2/{}/blobs/{digest}", reference.path());
    Request { method: Method::GET, url, what, scope: pull_scope(reference), headers, body: None }
}

/// A small blob (a configuration), checked.
pub(super) fn document(
    client: &Client<'_>,
    reference: &Reference,
    digest: Digest,
    size: u64,
) -> Result<Vec<u8>, Error> {
    let what = format!("the configuration of `{reference}`");
    let response = client.send(&get(reference, digest, what.clone(), Vec::new()))?;
    match response.status().as_u16() {
        200 => {}
        401 | 403 => return Err(denied(client, reference, "pull").into()),
        _ => return Err(client.unexpected(&what, response).into()),
    }
    let bytes = client.read(&what, response, DOCUMENT)?;
    if bytes.len() as u64 != size {
        return Err(Error::WrongSize { what, expected: size, actual: bytes.len().to_string() });
    }
    match Digest::of(&bytes) {
        actual if actual == digest => Ok(bytes),
        actual => Err(Error::WrongDigest { what, expected: digest, actual }),
    }
}
