//! What comes back: bodies within their bounds, statuses, connections that break.

use super::super::error::Error;
use super::super::pace::Pace;
use super::{Client, Response};
use std::io::Read;

/// A token, or a registry's words about an error.
pub(super) const SMALL: u64 = 1 << 20;

impl Client<'_> {
    /// A whole body of at most `limit` bytes.
    pub(in super::super) fn read(&self, what: &str, response: Response, limit: u64) -> Result<Vec<u8>, Error> {
        let too_large = || Error::TooLarge { what: what.to_owned(), limit };
        if response.body().content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut reader = response.into_body().into_reader().take(limit + 1);
        let (mut bytes, mut pace) = (Vec::new(), Pace::new(self.settings.patience));
        let mut buffer = [0; 16 << 10];
        loop {
            let count = pace.read(&mut reader, &mut buffer).map_err(|error| self.broke(what, error))?;
            if count == 0 {
                return Ok(bytes);
            }
            pace.check().map_err(|slowest| Error::TooSlow { what: what.to_owned(), slowest })?;
            bytes.extend_from_slice(&buffer[..count]);
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
        }
    }

    /// The registry's own words about an error: the message of the first of its `errors`.
    pub(super) fn words(&self, response: Response) -> String {
        let bytes = self.read("an error", response, SMALL).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let error = &json["errors"][0];
        let said = error["message"].as_str().or_else(|| error["code"].as_str()).or_else(|| json["details"].as_str());
        said.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
    }

    /// An answer that the request cannot have.
    pub(in super::super) fn unexpected(&self, what: &str, response: Response) -> Error {
        let status = response.status().as_u16();
        let (what, host) = (what.to_owned(), self.host.clone());
        match status {
            404 => Error::NotFound { what, host },
            _ => Error::Status { what, host, status, message: self.words(response) },
        }
    }

    pub(in super::super) fn nonsense(&self, what: &str, why: &str) -> Error {
        Error::Nonsense { what: what.to_owned(), host: self.host.clone(), why: why.to_owned() }
    }

    /// An error of a body that is being read.
    pub(in super::super) fn broke(&self, what: &str, error: std::io::Error) -> Error {
        match error.downcast::<ureq::Error>() {
            Ok(error) => self.failed(what, error),
            Err(error) => Error::Lost { host: self.host.clone(), why: format!("{what}: {error}") },
        }
    }

    pub(super) fn failed(&self, what: &str, error: ureq::Error) -> Error {
        let host = self.host.clone();
        match error {
            ureq::Error::Timeout(_) => {
                Error::Silent { what: what.to_owned(), seconds: self.settings.patience.silence.as_secs() }
            }
            error if error.to_string().contains("CaUsedAsEndEntity") => Error::Authority { host },
            error if is_certificate(&error) => Error::Tls { host, why: error.to_string() },
            error if is_plain(&error) => Error::PlainHttp { host },
            error if error.to_string().contains("failed to lookup address") => {
                Error::Unreachable { host, why: "its name is not known to the resolver".into() }
            }
            // Nobody there is an answer; whoever was there and went may come back.
            ureq::Error::Io(error) if is_lost(&error) => Error::Lost { host, why: crate::error::describe(&error) },
            ureq::Error::Io(error) => Error::Unreachable { host, why: crate::error::describe(&error) },
            error => Error::Unreachable { host, why: error.to_string() },
        }
    }
}

fn rustls(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

pub(super) fn is_certificate(error: &ureq::Error) -> bool {
    matches!(rustls(error), Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}

/// What came was no record of TLS.
fn is_plain(error: &ureq::Error) -> bool {
    matches!(rustls(error), Some(rustls::Error::InvalidMessage(_)))
}

fn is_lost(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    let kind = error.kind();
    matches!(kind, Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof)
}
