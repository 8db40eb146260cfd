//! What is known about registries before the first word to one: mirrors, plain HTTP, certificates, how long to wait.
//!
//! `/etc/tara/registries.toml`, and over it `$XDG_CONFIG_HOME/tara/registries.toml` (`~/.config/…`):
//!
//! ```toml
//! ["docker.io"]
//! mirrors = ["http://mirror.school:5000"]   # asked first, for pulls only
//!
//! ["registry.school:5000"]
//! insecure = true                           # certificates are not checked, plain HTTP will do
//! auth-hosts = ["login.school"]             # may get the registry's passwords, too
//! ```
//!
//! Certificates lie where docker has them: `certs.d/HOST[:PORT]/*.crt` below `/etc/tara` and `/etc/docker`.

use super::Error;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is said about one registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Host {
    /// Addresses (`https://host:port`) that are asked before it.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Whether certificates are not checked, and plain HTTP will do. Registries on this machine need not say so.
    #[serde(default)]
    pub insecure: Option<bool>,
    /// Other hosts that may get this registry's passwords in exchange for tokens.
    #[serde(default)]
    pub auth_hosts: Vec<String>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection, and for each next byte.
    pub silence: Duration,
    /// How often a request that failed is made again.
    pub retries: u32,
    /// Before the first of them; twice as long before each next one.
    pub pause: Duration,
    /// Fewer bytes a second than this, over [`Patience::window`], are too few.
    pub slowest: u64,
    /// Over how much time that is measured.
    pub window: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            retries: 5,
            pause: Duration::from_millis(400),
            slowest: 1024,
            window: Duration::from_secs(30),
        }
    }
}

/// All that is said about registries on this machine, by its administrator and by this user.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    hosts: BTreeMap<String, Host>,
    certificates: Vec<PathBuf>,
    pub(crate) patience: Patience,
}

impl Settings {
    /// Reads the two files; neither has to be there.
    ///
    /// # Errors
    /// [`Error::Settings`] for a file that cannot be read or is not of this form.
    pub fn read() -> Result<Self, Error> {
        let etc = [PathBuf::from("/etc/tara")];
        let user = config_home().map(|home| home.join("tara"));
        let mut settings = Self::default();
        for folder in etc.into_iter().chain(user) {
            settings.add(&folder.join("registries.toml"))?;
            settings.certificates.push(folder.join("certs.d"));
        }
        settings.certificates.push("/etc/docker/certs.d".into());
        Ok(settings)
    }

    /// The same with other times to wait.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    fn add(&mut self, path: &Path) -> Result<(), Error> {
        let broken = |why: String| Error::Settings { path: path.to_owned(), why };
        let text = match fs::read_to_string(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => return Ok(()),
            result => result.map_err(|error| broken(error.to_string()))?,
        };
        let hosts: BTreeMap<String, Host> = toml::from_str(&text).map_err(|error| broken(error.to_string()))?;
        self.hosts.extend(hosts);
        Ok(())
    }

    pub(crate) fn host(&self, host: &str) -> Host {
        self.hosts.get(host).cloned().unwrap_or_default()
    }

    /// Whether plain HTTP and unknown certificates will do: where it says so, and on this machine, as in docker.
    pub(crate) fn is_insecure(&self, host: &str) -> bool {
        self.host(host).insecure.unwrap_or_else(|| is_loopback(host))
    }

    /// The authorities' certificates for `host`, PEM; for a client's own, `NAME.cert` and `NAME.key`.
    pub(crate) fn certificates(&self, host: &str, ending: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folders = self.certificates.iter().map(|folder| folder.join(host));
        let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten().map(|file| file.path());
        let mut paths: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == ending)).collect();
        paths.sort();
        paths.into_iter().filter_map(|path| Some((path.clone(), fs::read(path).ok()?))).collect()
    }
}

/// Whether `host[:port]` is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = bare(host);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A host without its port and brackets.
pub(crate) fn bare(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn config_home() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_insecure_by_itself() {
        let settings = Settings::default();
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.0.1", "[::1]:5000"] {
            assert!(settings.is_insecure(host), "{host}");
        }
        for host in ["docker.io", "192.168.0.1:5000", "localhost.evil.example", "[2001:db8::1]:5000"] {
            assert!(!settings.is_insecure(host), "{host}");
        }
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let parse = toml::from_str::<BTreeMap<String, Host>>;
        assert!(parse("[\"docker.io\"]\nmirrors = [\"http://m:5000\"]").is_ok());
        assert!(parse("[\"docker.io\"]\nmirror = [\"http://m:5000\"]").is_err());
    }
}
