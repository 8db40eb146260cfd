//! One registry: requests to it, with whatever proof it wants, over whatever redirects it may send.
//!
//! Redirects and token addresses come from the registry, which may be hostile. So they are followed here, by hand: http and
//! https only, never from https down to http, never in circles, and the proof goes to the registry's own host alone.

use super::auth::{Challenge, may_have_passwords};
use super::credentials::{Credentials, Keyring};
use super::error::Error;
use super::pace::Pace;
use super::settings::Settings;
use super::tls::agent;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use ureq::http::{Method, Request as HttpRequest, Response as HttpResponse, Uri};
use ureq::{Agent, Body, SendBody};

/// The default registry's name, and the host that answers for it.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");
const MOST_REDIRECTS: usize = 10;
/// A token, or a registry's words about an error.
const SMALL: u64 = 1 << 20;

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
            Err(error) if is_certificate(&error) => Err(secure.failed("its certificate", error)),
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

    /// The `Authorization` that answers `challenge`; `None` where there is nothing to prove with.
    pub(super) fn prove(
        &self,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
        scope: &str,
    ) -> Result<Option<String>, Error> {
        match challenge {
            Challenge::Basic => Ok(credentials.filter(|it| !it.is_token).map(basic)),
            Challenge::Bearer { realm, service } => {
                self.token(realm, service.as_deref(), credentials, scope).map(|token| Some(format!("Bearer {token}")))
            }
        }
    }

    /// Changes credentials, or nothing, for a token.
    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        credentials: Option<&Credentials>,
        scope: &str,
    ) -> Result<String, Error> {
        let shown = || realm.chars().take(200).collect::<String>();
        let scheme = || Error::RealmScheme { host: self.host.clone(), realm: shown() };
        let address: Uri = realm.parse().map_err(|_| scheme())?;
        let plain_will_do = self.insecure || self.base.starts_with("http:");
        match address.scheme_str() {
            Some("https") => {}
            Some("http") if plain_will_do => {}
            _ => return Err(scheme()),
        }
        let host = address.authority().map(|authority| authority.host_and_port()).ok_or_else(scheme)?;
        let named = self.settings.host(&self.host).auth_hosts.contains(&host);
        if credentials.is_some() && !named && !may_have_passwords(&self.host, &host) {
            return Err(Error::RealmElsewhere { host: self.host.clone(), realm: shown() });
        }
        let agent = self.agent_for(&address)?;
        let scopes = scope.split(' ').filter(|scope| !scope.is_empty());
        let answer = match credentials {
            Some(credentials) if credentials.is_token => {
                let form = [("grant_type", "refresh_token"), ("client_id", "tara"), ("scope", scope)];
                let secret = [("refresh_token", credentials.secret.as_str()), ("service", service.unwrap_or_default())];
                agent.post(address.clone()).send_form(form.into_iter().chain(secret))
            }
            _ => {
                let mut get = agent.get(address.clone());
                get = service.into_iter().fold(get, |get, service| get.query("service", service));
                get = scopes.fold(get, |get, scope| get.query("scope", scope));
                if let Some(credentials) = credentials {
                    get = get.query("account", &credentials.user).header(AUTHORIZATION, basic(credentials));
                }
                get.call()
            }
        };
        let what = format!("the token of `{host}`");
        let answer = answer.map_err(|error| self.failed(&what, error))?;
        match answer.status().as_u16() {
            200 => self.read_token(&what, answer),
            401 | 403 => {
                let why = self.words(answer);
                Err(Error::WrongPassword { host: self.host.clone(), why })
            }
            _ => Err(self.unexpected(&what, answer)),
        }
    }

    fn read_token(&self, what: &str, answer: Response) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bytes = self.read(what, answer, SMALL)?;
        let token: Result<Token, _> = serde_json::from_slice(&bytes);
        let token = token.ok().and_then(|token| token.token.or(token.access_token));
        let visible = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        token.filter(visible).ok_or_else(|| self.nonsense(what, "it is no token"))
    }

    /// Sends one request, over redirects.
    fn follow(&self, request: &Request<'_>, proof: Option<&str>) -> Result<Response, Error> {
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
    pub(super) fn redirected(&self, what: &str, from: &Uri, to: &str) -> Result<Uri, Error> {
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
    pub(super) fn parse(&self, what: &str, address: &str) -> Result<Uri, Error> {
        address.parse().map_err(|_| self.nonsense(what, "it gives an address that is none"))
    }

    /// Where a path of this registry is.
    pub(super) fn resolve(&self, what: &str, path: &str) -> Result<Uri, Error> {
        self.parse(what, &self.address(path))
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

    /// A whole body of at most `limit` bytes.
    pub(super) fn read(&self, what: &str, response: Response, limit: u64) -> Result<Vec<u8>, Error> {
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
    fn words(&self, response: Response) -> String {
        let bytes = self.read("an error", response, SMALL).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let error = &json["errors"][0];
        let said = error["message"].as_str().or_else(|| error["code"].as_str()).or_else(|| json["details"].as_str());
        said.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
    }

    /// An answer that the request cannot have.
    pub(super) fn unexpected(&self, what: &str, response: Response) -> Error {
        let status = response.status().as_u16();
        let (what, host) = (what.to_owned(), self.host.clone());
        match status {
            404 => Error::NotFound { what, host },
            _ => Error::Status { what, host, status, message: self.words(response) },
        }
    }

    pub(super) fn nonsense(&self, what: &str, why: &str) -> Error {
        Error::Nonsense { what: what.to_owned(), host: self.host.clone(), why: why.to_owned() }
    }

    /// An error of a body that is being read.
    pub(super) fn broke(&self, what: &str, error: std::io::Error) -> Error {
        match error.downcast::<ureq::Error>() {
            Ok(error) => self.failed(what, error),
            Err(error) => Error::Lost { host: self.host.clone(), why: format!("{what}: {error}") },
        }
    }

    fn failed(&self, what: &str, error: ureq::Error) -> Error {
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

fn basic(credentials: &Credentials) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", credentials.user, credentials.secret)))
}

fn rustls(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn is_certificate(error: &ureq::Error) -> bool {
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

fn authority(base: &str) -> Option<String> {
    authority_of(&base.parse().ok()?)
}

/// Host and port of an address, the port always said.
fn authority_of(address: &Uri) -> Option<String> {
    let port = address.port_u16().unwrap_or(if address.scheme_str() == Some("http") { 80 } else { 443 });
    Some(format!("{}:{port}", address.host()?.to_ascii_lowercase()))
}

trait HostAndPort {
    fn host_and_port(&self) -> String;
}

impl HostAndPort for ureq::http::uri::Authority {
    /// Without the `user@` that it may have.
    fn host_and_port(&self) -> String {
        let port = self.port_u16().map(|port| format!(":{port}"));
        format!("{}{}", self.host(), port.unwrap_or_default())
    }
}
