//! One registry: requests to it, with whatever proof it wants, over whatever redirects it may send.
//!
//! | module | what it holds |
//! |---|---|
//! | `redirect` | addresses that the registry gives |
//! | `proof` | passwords and tokens |
//! | `answer` | bodies, statuses, broken connections |

mod answer;
mod proof;
mod redirect;

use super::auth::Challenge;
use super::credentials::Keyring;
use super::error::Error;
use super::settings::Settings;
use super::tls::agent;
use redirect::{authority, authority_of};
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE};
use ureq::http::{Method, Request as HttpRequest, Response as HttpResponse, Uri};
use ureq::{Agent, Body, SendBody};

/// The default registry's name, and the host that answers for it.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

pub(super) type Response = HttpResponse<Body>;

/// Makes the body of a request, each time that it is sent.
pub(super) type MakeBody<'r> = &'r (dyn Fn() -> std::io::Result<(Box<dyn Read + 'r>, u64)> + 'r);

/// A request.
pub(super) struct Request<'r> {
    pub(super) method: Method,
    /// A path of the registry (`/v2/…`), or a whole address that it gave.
    pub(super) url: String,
    /// What it is about, in messages.
    pub(super) what: String,
    /// What the user wants to be allowed: `repository:NAME:pull`.
    pub(super) scope: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<MakeBody<'r>>,
}

/// The connection to one registry.
#[derive(Debug)]
pub(super) struct Client<'a> {
    settings: &'a Settings,
    keyring: &'a Keyring,
    /// As in a reference.
    pub(super) host: String,
    /// `https://host:port`, and for a mirror perhaps a path.
    base: String,
    insecure: bool,
    agent: Agent,
    elsewhere: OnceLock<Agent>,
    /// What proves who we are, for each scope.
    proofs: Mutex<HashMap<String, String>>,
}

impl<'a> Client<'a> {
    /// Finds out how `host` speaks. An insecure one may not know TLS.
    pub(super) fn connect(settings: &'a Settings, keyring: &'a Keyring, host: &str) -> Result<Self, Error> {
        let address = if host == HUB.0 { HUB.1 } else { host };
        let insecure = settings.is_insecure(host);
        let secure = Self::at(settings, keyring, host, format!("https://{address}"), insecure)?;
        if !insecure {
            return Ok(secure);
        }
        match secure.agent.get(secure.address("/v2/")).call() {
            Ok(_) => Ok(secure),
            Err(error) if answer::is_certificate(&error) => Err(secure.failed("its certificate", error)),
            Err(_) => Self::at(settings, keyring, host, format!("http://{address}"), insecure),
        }
    }

    /// A registry, or a mirror of one, at an address that is known.
    pub(super) fn at(
        settings: &'a Settings,
        keyring: &'a Keyring,
        host: &str,
        base: String,
        insecure: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            settings,
            keyring,
            host: host.to_owned(),
            agent: agent(settings, host, insecure)?,
            base,
            insecure,
            elsewhere: OnceLock::new(),
            proofs: Mutex::default(),
        })
    }

    pub(super) fn settings(&self) -> &'a Settings {
        self.settings
    }

    fn address(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.base) } else { url.to_owned() }
    }

    /// Sends `request`, again after a pause when it is lost on the way or the registry is too busy, and with a proof when the
    /// registry wants one. Any other status is the caller's.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        self.patiently(request, || self.send_with_proof(request))
    }

    /// The same without any proof, also where one is asked for.
    pub(super) fn send_anonymously(&self, request: &Request<'_>) -> Result<Response, Error> {
        self.patiently(request, || self.follow(request, None))
    }

    fn patiently(&self, request: &Request<'_>, once: impl Fn() -> Result<Response, Error>) -> Result<Response, Error> {
        let patience = self.settings.patience;
        let mut pause = patience.pause;
        for left in (0..=patience.retries).rev() {
            match once() {
                Ok(response) if is_busy(response.status().as_u16()) && left > 0 => {
                    std::thread::sleep(retry_after(&response).unwrap_or(pause));
                }
                Err(Error::Lost { .. } | Error::Silent { .. }) if left > 0 && !is_refused(request) => {
                    std::thread::sleep(pause);
                }
                result => return result,
            }
            pause *= 2;
        }
        unreachable!("the last round returns")
    }

    /// One request with this proof and no other.
    pub(super) fn send_plain(&self, path: &str, proof: Option<&str>) -> Result<Response, Error> {
        let (method, url, what) = (Method::GET, path.to_owned(), format!("the registry `{}`", self.host));
        let request = Request { method, url, what, scope: String::new(), headers: Vec::new(), body: None };
        self.follow(&request, proof)
    }

    fn send_with_proof(&self, request: &Request<'_>) -> Result<Response, Error> {
        let known = self.proof(&request.scope);
        let response = self.follow(request, known.as_deref())?;
        if response.status() != 401 {
            return Ok(response);
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|header| header.to_str().ok());
        let challenges: Vec<_> = headers.map(Challenge::parse).collect();
        let Some(challenge) = challenges.iter().find_map(|challenge| challenge.as_ref().ok()) else {
            let scheme = challenges.into_iter().find_map(Result::err).unwrap_or_default();
            return Err(Error::Scheme { host: self.host.clone(), scheme });
        };
        let credentials = self.keyring.find(&self.host)?;
        let Some(proof) = self.prove(challenge, credentials.as_ref(), &request.scope)? else {
            return Ok(response);
        };
        if known.as_ref() == Some(&proof) {
            return Ok(response);
        }
        let response = self.follow(request, Some(&proof))?;
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner).insert(request.scope.clone(), proof);
        Ok(response)
    }

    fn proof(&self, scope: &str) -> Option<String> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned()
    }

    fn once(&self, request: &Request<'_>, address: &Uri, proof: Option<&str>) -> Result<Response, Error> {
        let mut builder = HttpRequest::builder().method(request.method.clone()).uri(address);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        builder = proof.into_iter().fold(builder, |builder, proof| builder.header(AUTHORIZATION, proof));
        let nonsense = |_| self.nonsense(&request.what, "it gives an address that is none");
        let agent = self.agent_for(address)?;
        let answer = match request.body {
            None => agent.run(builder.body(()).map_err(nonsense)?),
            Some(make) => {
                let (mut reader, size) = make().map_err(|error| self.nonsense(&request.what, &error.to_string()))?;
                let builder = builder.header(CONTENT_LENGTH, size);
                agent.run(builder.body(SendBody::from_reader(&mut reader)).map_err(nonsense)?)
            }
        };
        answer.map_err(|error| self.failed(&request.what, error))
    }

    /// Unknown certificates are excused on the registry's own host only.
    fn agent_for(&self, address: &Uri) -> Result<&Agent, Error> {
        if authority_of(address) == authority(&self.base) {
            return Ok(&self.agent);
        }
        if let Some(agent) = self.elsewhere.get() {
            return Ok(agent);
        }
        let other = agent(self.settings, &authority_of(address).unwrap_or_default(), false)?;
        Ok(self.elsewhere.get_or_init(|| other))
    }
}

fn is_busy(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// What was sent in part cannot be sent again by itself.
fn is_refused(request: &Request<'_>) -> bool {
    request.method == Method::PATCH
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds.min(30)))
}
