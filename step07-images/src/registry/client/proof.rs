//! Who we are: a password, or a token for one.

use super::super::auth::{Challenge, may_have_passwords};
use super::super::credentials::Credentials;
use super::super::error::Error;
use super::answer::SMALL;
use super::{Client, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use ureq::http::Uri;
use ureq::http::header::AUTHORIZATION;

impl Client<'_> {
    /// The `Authorization` that answers `challenge`; `None` where there is nothing to prove with.
    pub(in super::super) fn prove(
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
}

fn basic(credentials: &Credentials) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", credentials.user, credentials.secret)))
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
