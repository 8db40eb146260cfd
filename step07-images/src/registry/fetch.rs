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
    /// The name that the server gives it, or its address; without any folder.
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
                let name = named.as_deref().and_then(file_name).or_else(|| name_of(url));
                Ok(Fetched { digest: digest.expect("it hashes"), name, modified })
            }
        }
    }
}

/// `attachment; filename="x.tar"`: what is after the last slash, if that can be a name. Source: RFC 6266.
fn file_name(disposition: &str) -> Option<String> {
    let value = disposition.split(';').find_map(|part| part.trim().strip_prefix("filename="))?;
    let name = value.trim_matches('"').rsplit('/').next().unwrap_or_default();
    can_be_a_name(name).then(|| name.to_owned())
}

fn can_be_a_name(text: &str) -> bool {
    !["", ".", ".."].contains(&text) && !text.contains('/') && !text.chars().any(char::is_control)
}

/// The last part of the path of an address.
fn name_of(url: &str) -> Option<String> {
    let path = url.split_once("://")?.1.split(['?', '#']).next()?;
    let (_, name) = path.rsplit_once('/')?;
    let name = decoded(name)?;
    can_be_a_name(&name).then_some(name)
}

/// `%20` and the like. Source: RFC 3986, 2.1.
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
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

    #[test]
    fn an_address_names_a_file() {
        let name = |url| name_of(url);
        assert_eq!(name("http://h/a/b.tar?x=/c").as_deref(), Some("b.tar"));
        assert_eq!(name("http://h/a%20b").as_deref(), Some("a b"));
        for nameless in ["http://h", "http://h/", "http://h/..", "http://h/a%2fb", "http://h/%00", "http://h/%zz"] {
            assert_eq!(name(nameless), None, "{nameless}");
        }
    }
}
