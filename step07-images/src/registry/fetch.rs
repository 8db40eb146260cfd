//! A file by its address: `ADD https://…` of a Dockerfile. No proof goes along, whatever is asked for; redirects are followed with the
//! same care as a registry's.

use super::Registries;
use super::client::{Client, Request};
use super::error::Error;
use super::pace::Pace;
use crate::digest::{Digest, Hashing};
use std::fs::File;
use std::io::Write;
use ureq::http::header::{CONTENT_DISPOSITION, HeaderName, LAST_MODIFIED};
use ureq::http::{Method, Uri};

/// What came from an address.
#[derive(Debug)]
pub struct Fetched {
    /// Of the content.
    pub digest: Digest,
    /// The name that the server gives it, without any folder.
    pub name: Option<String>,
    /// `Last-Modified`, as it was sent (RFC 9110, 5.6.7).
    pub modified: Option<String>,
}

impl Registries {
    /// Writes what is at `url` into `file`, at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Fetch`] for an address that is none, a server that cannot be reached or has nothing there, and what is too large;
    /// [`Error::Write`] for a full disk.
    pub fn fetch(&self, url: &str, file: &mut File, limit: u64) -> Result<Fetched, Error> {
        self.fetch_from(url, file, limit).map_err(|error| match error {
            Error::Write { .. } => error,
            // What is said of a registry is meant of any server here.
            error => Error::Fetch { url: url.to_owned(), why: error.to_string().replace("the registry", "the server") },
        })
    }

    fn fetch_from(&self, url: &str, file: &mut File, limit: u64) -> Result<Fetched, Error> {
        let what = "the file".to_owned();
        let host = url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_default();
        let scheme = if url.starts_with("http://") { "http" } else { "https" };
        let insecure = self.settings.host(&host).insecure.unwrap_or(false);
        let client = Client::at(&self.settings, &self.keyring, &host, format!("{scheme}://{host}"), insecure)?;
        let request = Request {
            method: Method::GET,
            url: url.to_owned(),
            what: what.clone(),
            scope: String::new(),
            headers: Vec::new(),
            body: None,
        };
        let response = client.send_anonymously(&request)?;
        if response.status() != 200 {
            return Err(client.unexpected(&what, response));
        }
        let header = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (modified, named) = (header(LAST_MODIFIED), header(CONTENT_DISPOSITION));
        let length = response.body().content_length();
        let (mut reader, mut pace) = (response.into_body().into_reader(), Pace::new(self.settings.patience));
        let mut hashing = Hashing::new(file);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = pace.read(&mut reader, &mut buffer).map_err(|error| client.broke(&what, error))?;
            if count == 0 {
                break;
            }
            pace.check().map_err(|slowest| Error::TooSlow { what: what.clone(), slowest })?;
            if hashing.count() + count as u64 > limit {
                return Err(Error::TooLarge { what, limit });
            }
            hashing.write_all(&buffer[..count]).map_err(|error| Error::Write { url: url.to_owned(), error })?;
        }
        let (digest, got, _) = hashing.finish();
        match length {
            Some(size) if size != got => Err(Error::Cut { what, got, size, tries: 1 }),
            _ => {
                Ok(Fetched { digest: digest.expect("it hashes"), name: named.as_deref().and_then(file_name), modified })
            }
        }
    }
}

/// `attachment; filename="x.tar"`: what is after the last slash, if that can be a name. Source: RFC 6266.
fn file_name(disposition: &str) -> Option<String> {
    let value = disposition.split(';').find_map(|part| part.trim().strip_prefix("filename="))?;
    let name = value.trim_matches('"').rsplit('/').next().unwrap_or_default();
    let visible = !name.chars().any(char::is_control);
    (visible && !["", ".", ".."].contains(&name)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_name_for_a_file_has_no_folder() {
        let name = |text| file_name(text);
        assert_eq!(name("attachment; filename=\"x.tar\"").as_deref(), Some("x.tar"));
        assert_eq!(name("attachment;filename=../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(name("attachment; filename=\"a/..\""), None);
        assert_eq!(name("inline"), None);
    }
}
