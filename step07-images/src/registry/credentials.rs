//! Users and passwords, where docker keeps them: `$DOCKER_CONFIG/config.json` (`~/.docker/config.json`), or a credential helper
//! that it names. What docker has logged into, `tara` is logged into, and the other way round.
//!
//! Source: docker's `config.json` ("auths", "credHelpers", "credsStore") and docker-credential-helpers, `README.md`, "Usage".

use super::Error;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Docker Hub's name in `config.json`.
const HUB: &str = "https://index.docker.io/v1/";

/// What a user proves with that it is him.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name; empty with an identity token.
    pub user: String,
    /// The password, or a token in its place.
    pub secret: String,
    /// Whether the secret is an OAuth2 refresh token.
    pub is_token: bool,
}

/// Never the secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// docker's `config.json`.
#[derive(Debug, Clone)]
pub struct Keyring {
    path: PathBuf,
}

impl Keyring {
    /// The keyring of this user.
    #[must_use]
    pub fn of_user() -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")));
        Self { path: folder.unwrap_or_else(|| "/root/.docker".into()).join("config.json") }
    }

    /// The keyring in another file.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What there is for `host`.
    ///
    /// # Errors
    /// A file that is no JSON, a helper that fails.
    pub fn find(&self, host: &str) -> Result<Option<Credentials>, Error> {
        let config = self.read()?;
        if let Some(helper) = helper(&config, host) {
            return ask(&helper, host);
        }
        let auths = config.get("auths").and_then(Value::as_object);
        let entry = auths.and_then(|auths| keys(host).iter().find_map(|key| auths.get(key)));
        entry.map_or(Ok(None), |entry| self.decode(entry))
    }

    /// Keeps `credentials`; gives the place where they are now.
    ///
    /// # Errors
    /// As [`Keyring::find`]; a file that cannot be written.
    pub fn keep(&self, host: &str, credentials: &Credentials) -> Result<Option<String>, Error> {
        let mut config = self.read()?;
        if let Some(helper) = helper(&config, host) {
            let user = if credentials.is_token { "<token>" } else { &credentials.user };
            let task = json!({ "ServerURL": key(host), "Username": user, "Secret": credentials.secret });
            call(&helper, "store", &task.to_string())?;
            return Ok(Some(helper));
        }
        let entry = match credentials.is_token {
            true => json!({ "identitytoken": credentials.secret }),
            false => json!({ "auth": BASE64_STANDARD.encode(format!("{}:{}", credentials.user, credentials.secret)) }),
        };
        let auths = config.entry("auths").or_insert_with(|| json!({}));
        let auths = auths.as_object_mut().ok_or_else(|| self.broken("`auths` is no object"))?;
        auths.insert(key(host), entry);
        self.write(&config).map(|()| None)
    }

    /// Forgets what there is for `host`; whether there was something.
    ///
    /// # Errors
    /// As [`Keyring::keep`].
    pub fn forget(&self, host: &str) -> Result<bool, Error> {
        let mut config = self.read()?;
        if let Some(helper) = helper(&config, host) {
            return match ask(&helper, host)? {
                Some(_) => call(&helper, "erase", &key(host)).map(|_| true),
                None => Ok(false),
            };
        }
        let Some(auths) = config.get_mut("auths").and_then(Value::as_object_mut) else {
            return Ok(false);
        };
        let before = auths.len();
        keys(host).iter().for_each(|key| drop(auths.remove(key)));
        if auths.len() == before {
            return Ok(false);
        }
        self.write(&config).map(|()| true)
    }

    fn read(&self) -> Result<Map<String, Value>, Error> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Map::new()),
            result => result.map_err(|error| self.broken(error.to_string()))?,
        };
        serde_json::from_slice(&bytes).map_err(|error| self.broken(error.to_string()))
    }

    /// Written beside and renamed: whoever reads sees the old one or the new one. For this user's eyes only.
    fn write(&self, config: &Map<String, Value>) -> Result<(), Error> {
        let broken = |error: std::io::Error| self.broken(error.to_string());
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(broken)?;
        // A link, as people who keep their settings elsewhere have it, stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let beside = path.with_extension(format!("json.{}", std::process::id()));
        let text = serde_json::to_string_pretty(config).map_err(|error| self.broken(error.to_string()))?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside).map_err(broken)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&beside, &path));
        written.inspect_err(|_| drop(fs::remove_file(&beside))).map_err(broken)
    }

    fn decode(&self, entry: &Value) -> Result<Option<Credentials>, Error> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credentials { user: String::new(), secret: token.to_owned(), is_token: true }));
        }
        let plain = match text("auth") {
            Some(auth) => {
                let bytes = BASE64_STANDARD.decode(auth).ok();
                let plain = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                plain.ok_or_else(|| self.broken("an `auth` is no base64 of `user:password`"))?
            }
            None => match (text("username"), text("password")) {
                (Some(user), Some(password)) => format!("{user}:{password}"),
                _ => return Ok(None),
            },
        };
        let (user, secret) = plain.split_once(':').ok_or_else(|| self.broken("an `auth` has no colon"))?;
        let secret = secret.trim_end_matches('\0').to_owned();
        Ok(Some(Credentials { user: user.to_owned(), secret, is_token: false }))
    }

    fn broken(&self, why: impl Into<String>) -> Error {
        Error::Settings { path: self.path.clone(), why: why.into() }
    }
}

fn key(host: &str) -> String {
    if host == "docker.io" { HUB.to_owned() } else { host.to_owned() }
}

/// Under these names a registry may be there: older clients wrote whole addresses.
fn keys(host: &str) -> Vec<String> {
    let address = [format!("https://{host}"), format!("http://{host}"), format!("https://{host}/v1/")];
    let hub = (host == "docker.io").then(|| ["index.docker.io".to_owned(), "docker.io".to_owned()]);
    [key(host)].into_iter().chain(hub.into_iter().flatten()).chain(address).collect()
}

fn helper(config: &Map<String, Value>, host: &str) -> Option<String> {
    let of_host = config.get("credHelpers").and_then(|helpers| helpers.get(host).or_else(|| helpers.get(key(host))));
    let name = of_host.or_else(|| config.get("credsStore"))?.as_str()?;
    // A name and no path: what is called is `docker-credential-NAME` from PATH.
    (!name.is_empty() && !name.contains('/')).then(|| format!("docker-credential-{name}"))
}

fn ask(helper: &str, host: &str) -> Result<Option<Credentials>, Error> {
    let answer = match call(helper, "get", &key(host)) {
        Err(Error::Helper { why, .. }) if why.contains("credentials not found") => return Ok(None),
        answer => answer?,
    };
    let broken = || Error::Helper { helper: helper.to_owned(), why: "its answer is not what it should be".into() };
    let answer: Value = serde_json::from_slice(&answer).map_err(|_| broken())?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(broken);
    let (user, secret) = (text("Username")?, text("Secret")?);
    Ok(Some(Credentials { is_token: user == "<token>", user, secret }))
}

/// The helper's standard input is `input`, its standard output the answer. On failure it says why on standard output.
fn call(helper: &str, action: &str, input: &str) -> Result<Vec<u8>, Error> {
    let failed = |why: String| Error::Helper { helper: helper.to_owned(), why };
    let child = Command::new(helper).arg(action).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input.as_bytes()) {
            // It has made up its mind without reading: its answer says what.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.map_err(|error| failed(error.to_string()))?,
        }
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failed(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_does_not_listen_is_heard() {
        // More than a pipe takes: it is still being told when it ends.
        let secret = "x".repeat(100_000);
        let refused = call("/bin/false", "store", &secret).unwrap_err().to_string();
        assert!(!refused.contains("pipe"), "{refused}");
        assert_eq!(call("/bin/true", "store", &secret).unwrap(), b"");
    }
}
