//! Questions to a registry that move no image.

use super::Registries;
use super::auth::Challenge;
use super::client::{Client, Request, Response};
use super::credentials::Credentials;
use super::error::Error as RegistryError;
use super::manifest::{self, Platform, pull_scope};
use crate::error::Error;
use crate::reference::Reference;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::header::{LINK, WWW_AUTHENTICATE};
use ureq::http::{Method, Uri};

/// Pages of a list: a registry that has always one more is not listened to for ever.
const MOST_PAGES: usize = 200;
const PAGE: u64 = 4 << 20;

impl Registries {
    /// All the tags of the repository of `reference`.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub fn tags(&self, reference: &Reference) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let client = self.connect(reference.registry())?;
        let path = format!("/v2/{}/tags/list?n=1000", reference.path());
        let what = format!("the tags of `{}`", reference.repository());
        let pages = pages::<Tags>(&client, &path, &what, &pull_scope(reference), |response| {
            match response.status().as_u16() {
                401 | 403 => manifest::denied(&client, reference, "pull").into(),
                _ => client.unexpected(&what, response).into(),
            }
        })?;
        let all: Vec<String> = pages.into_iter().filter_map(|page| page.tags).flatten().collect();
        // They become names here: what is none is another's lie.
        let is_tag = |tag: &String| format!("{}:{tag}", reference.repository()).parse::<Reference>().is_ok();
        Ok(all.into_iter().filter(is_tag).collect())
    }

    /// The repositories of the registry `host` whose names contain `term`.
    ///
    /// # Errors
    /// [`RegistryError::NoCatalogue`] where there is no catalogue to search; [`Error::Registry`].
    pub fn search(&self, host: &str, term: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Catalogue {
            repositories: Option<Vec<String>>,
        }
        let client = self.connect(host)?;
        let no_catalogue = |_: Response| RegistryError::NoCatalogue { host: host.to_owned() }.into();
        let what = format!("the catalogue of `{host}`");
        let pages = pages::<Catalogue>(&client, "/v2/_catalog?n=1000", &what, "registry:catalog:*", no_catalogue)?;
        let names = pages.into_iter().filter_map(|page| page.repositories).flatten();
        let clean = |name: &String| format!("{host}/{name}").parse::<Reference>().is_ok();
        let mut names: Vec<_> = names.filter(|name| name.contains(term) && clean(name)).collect();
        names.sort();
        Ok(names)
    }

    /// The manifest or index that `reference` means, as the registry has it.
    ///
    /// # Errors
    /// As [`crate::Store::pull`].
    pub fn manifest(&self, reference: &Reference, platform: Option<&Platform>) -> Result<Vec<u8>, Error> {
        let client = self.connect(reference.registry())?;
        let document = manifest::of(&client, reference)?;
        match platform {
            Some(platform) => Ok(manifest::choose(&client, reference, platform, document)?.bytes),
            None => Ok(document.bytes),
        }
    }

    /// Asks `host` whether `credentials` are good, and keeps them when they are. Gives the place where they are now.
    ///
    /// # Errors
    /// [`RegistryError::WrongPassword`]; [`Error::Registry`].
    pub fn login(&self, host: &str, credentials: &Credentials) -> Result<String, Error> {
        let client = self.connect(host)?;
        let response = client.send_plain("/v2/", None)?;
        if response.status() == 401 {
            let header = response.headers().get(WWW_AUTHENTICATE).and_then(|header| header.to_str().ok());
            let challenge = Challenge::parse(header.unwrap_or_default())
                .map_err(|scheme| RegistryError::Scheme { host: host.to_owned(), scheme })?;
            let proof = client.prove(&challenge, Some(credentials), "")?;
            let answer = client.send_plain("/v2/", proof.as_deref())?;
            if matches!(answer.status().as_u16(), 401 | 403) {
                let why = "incorrect username or password".to_owned();
                return Err(RegistryError::WrongPassword { host: host.to_owned(), why }.into());
            }
        }
        let kept = self.keyring.keep(host, credentials)?;
        Ok(kept.unwrap_or_else(|| self.keyring.path().display().to_string()))
    }

    /// Forgets the credentials of `host`; whether there were any.
    ///
    /// # Errors
    /// [`Error::Registry`] for a keyring that cannot be changed.
    pub fn logout(&self, host: &str) -> Result<bool, Error> {
        Ok(self.keyring.forget(host)?)
    }
}

/// A list over its pages; `refused` says what an answer without a page means.
fn pages<T: DeserializeOwned>(
    client: &Client<'_>,
    path: &str,
    what: &str,
    scope: &str,
    refused: impl Fn(Response) -> Error,
) -> Result<Vec<T>, Error> {
    let (mut pages, mut url) = (Vec::new(), path.to_owned());
    while pages.len() < MOST_PAGES {
        let response = client.send(&Request {
            method: Method::GET,
            url: url.clone(),
            what: what.to_owned(),
            scope: scope.to_owned(),
            headers: Vec::new(),
            body: None,
        })?;
        if response.status() != 200 {
            return Err(refused(response));
        }
        let next = response.headers().get(LINK).and_then(|link| next_page(link.to_str().ok()?));
        let bytes = client.read(what, response, PAGE)?;
        pages.push(serde_json::from_slice(&bytes).map_err(|_| client.nonsense(what, "it is no list"))?);
        let Some(next) = next else { return Ok(pages) };
        let from: Uri = client.resolve(what, path)?;
        url = client.redirected(what, &from, &next)?.to_string();
    }
    Ok(pages)
}

/// `</v2/_catalog?last=x>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let (address, rel) = link.trim().strip_prefix('<')?.split_once('>')?;
    rel.contains("next").then(|| address.to_owned())
}
