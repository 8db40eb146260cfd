//! Whom to believe: the system's authorities and the registry's own. Nothing of it is set up before the first connection.

use super::Error;
use super::settings::{Patience, Settings};
use std::sync::Arc;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The answer to a blob's upload comes after the registry has hashed it.
const LONGEST_ANSWER: u32 = 10;

/// What makes requests to `host`: no redirects are followed and no status is an error, the caller looks at both.
pub(super) fn agent(settings: &Settings, host: &str, insecure: bool) -> Result<Agent, Error> {
    let Patience { silence, .. } = settings.patience;
    let config = Agent::config_builder()
        .tls_config(tls(settings, host, insecure)?)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(silence))
        .timeout_connect(Some(silence))
        .timeout_per_read(Some(silence))
        .timeout_per_write(Some(silence))
        .timeout_recv_response(Some(silence * LONGEST_ANSWER))
        .user_agent(concat!("tara/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(config.new_agent())
}

fn tls(settings: &Settings, host: &str, insecure: bool) -> Result<TlsConfig, Error> {
    let own = authorities(settings, host)?;
    let unverified = insecure && own.is_empty();
    let system = if unverified { Vec::new() } else { rustls_native_certs::load_native_certs().certs };
    let system = system.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    let roots: Vec<_> = own.into_iter().chain(system).collect();
    let config = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(client(settings, host)?)
        .disable_verification(unverified);
    Ok(config.build())
}

/// `certs.d/HOST/*.crt`.
fn authorities(settings: &Settings, host: &str) -> Result<Vec<Certificate<'static>>, Error> {
    let mut found = Vec::new();
    for (path, pem) in settings.certificates(host, "crt") {
        for item in parse_pem(&pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => found.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(Error::Settings { path, why: error.to_string() }),
            }
        }
    }
    Ok(found)
}

/// `certs.d/HOST/*.cert` and `*.key`: what this user shows.
fn client(settings: &Settings, host: &str) -> Result<Option<ClientCert>, Error> {
    let first = |ending| settings.certificates(host, ending).into_iter().next();
    let (Some((path, certificate)), Some((_, key))) = (first("cert"), first("key")) else {
        return Ok(None);
    };
    let broken = |error: ureq::Error| Error::Settings { path: path.clone(), why: error.to_string() };
    let key = PrivateKey::from_pem(&key).map_err(broken)?;
    let certificate = Certificate::from_pem(&certificate).map_err(broken)?;
    Ok(Some(ClientCert::new_with_certs(&[certificate], key)))
}
