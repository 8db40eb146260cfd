//! Addresses that come from the registry, which may be hostile. They are followed here, by hand: http and https only, never from https
//! down to http, never in circles, and the proof goes to the registry's own host alone.

use super::super::error::Error;
use super::{Client, Request, Response};
use std::collections::HashSet;
use ureq::http::header::LOCATION;
use ureq::http::{Method, Uri};

const MOST_REDIRECTS: usize = 10;

impl Client<'_> {
    /// Sends one request, over redirects.
    pub(super) fn follow(&self, request: &Request<'_>, proof: Option<&str>) -> Result<Response, Error> {
        let may_redirect = request.method == Method::GET || request.method == Method::HEAD;
        let mut address = self.parse(&request.what, &self.address(&request.url))?;
        let mut seen = HashSet::new();
        loop {
            let proof = proof.filter(|_| authority_of(&address) == authority(&self.base));
            let response = self.once(request, &address, proof)?;
            if !may_redirect || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
            let next = self.redirected(&request.what, &address, to)?;
            let (what, host, to) = (request.what.clone(), self.host.clone(), next.to_string());
            seen.insert(address.to_string());
            if seen.contains(&to) {
                return Err(Error::RedirectLoop { what, host, to });
            }
            if seen.len() > MOST_REDIRECTS {
                return Err(Error::RedirectMost { what, host, limit: MOST_REDIRECTS });
            }
            address = next;
        }
    }

    /// The address that a `Location` means, if it may be gone to.
    pub(in super::super) fn redirected(&self, what: &str, from: &Uri, to: &str) -> Result<Uri, Error> {
        let shown: String = to.chars().filter(|c| !c.is_control()).take(200).collect();
        let (what, host) = (what.to_owned(), self.host.clone());
        let whole = match to {
            _ if to.starts_with("//") => format!("{}:{to}", from.scheme_str().unwrap_or("https")),
            _ if to.starts_with('/') => {
                format!("{}://{}{to}", from.scheme_str().unwrap_or("https"), authority_of(from).unwrap_or_default())
            }
            _ => to.to_owned(),
        };
        let Ok(address) = whole.parse::<Uri>() else {
            return Err(Error::RedirectScheme { what, host, to: shown });
        };
        match (address.scheme_str(), from.scheme_str()) {
            (Some("https"), _) | (Some("http"), Some("http")) => Ok(address),
            (Some("http"), _) => Err(Error::RedirectDown { what, host, to: shown }),
            _ => Err(Error::RedirectScheme { what, host, to: shown }),
        }
    }

    /// The address of a path of this registry, or of a whole address of its own.
    pub(in super::super) fn parse(&self, what: &str, address: &str) -> Result<Uri, Error> {
        address.parse().map_err(|_| self.nonsense(what, "it gives an address that is none"))
    }

    /// Where a path of this registry is.
    pub(in super::super) fn resolve(&self, what: &str, path: &str) -> Result<Uri, Error> {
        self.parse(what, &self.address(path))
    }
}

/// Of the address `base`.
pub(super) fn authority(base: &str) -> Option<String> {
    authority_of(&base.parse().ok()?)
}

/// Host and port of an address, the port always said.
pub(super) fn authority_of(address: &Uri) -> Option<String> {
    let port = address.port_u16().unwrap_or(if address.scheme_str() == Some("http") { 80 } else { 443 });
    Some(format!("{}:{port}", address.host()?.to_ascii_lowercase()))
}
