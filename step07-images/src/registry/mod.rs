//! Registries: images by name from another machine, and to it.
//!
//! | module | what it holds |
//! |---|---|
//! | `client` | one registry: requests, redirects, proofs; `auth` what it asks for, `tls` whom to believe, `pace` how slow is too slow |
//! | `settings` | mirrors, insecure registries, certificates: `/etc/tara/registries.toml` |
//! | `credentials` | users and passwords, where docker keeps them |
//! | `manifest` | which image a name means, for which platform |
//! | `blob` | one blob, asked for again from where it was cut |
//! | `pull`, `push` | whole images, several layers side by side |
//! | `fetch` | a file by its address, without any proof |
//! | `ask` | questions that move no image: tags, catalogue, login |
//!
//! Source: OCI distribution specification, `spec.md`.

mod ask;
mod auth;
mod blob;
mod client;
mod credentials;
mod error;
mod fetch;
mod manifest;
mod pace;
mod pull;
mod push;
mod settings;
mod tls;

pub use credentials::{Credentials, Keyring};
pub use error::Error;
pub use fetch::Fetched;
pub use manifest::Platform;
pub(crate) use manifest::{Document, is_index};
pub use pull::Pulled;
pub use push::Pushed;
pub use settings::{Host, Patience, Settings};

use crate::digest::Digest;
use client::Client;

/// What one user knows about registries. Reading it opens no connection.
#[derive(Debug, Clone)]
pub struct Registries {
    settings: Settings,
    keyring: Keyring,
}

impl Registries {
    /// Reads the settings of this machine and user.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn read() -> Result<Self, Error> {
        Ok(Self::new(Settings::read()?, Keyring::of_user()))
    }

    /// With settings from elsewhere.
    #[must_use]
    pub fn new(settings: Settings, keyring: Keyring) -> Self {
        Self { settings, keyring }
    }

    fn connect(&self, host: &str) -> Result<Client<'_>, Error> {
        Client::connect(&self.settings, &self.keyring, host)
    }

    /// The mirrors of `host`, in their order.
    fn mirrors(&self, host: &str) -> Result<Vec<Client<'_>>, Error> {
        let mirrors = self.settings.host(host).mirrors;
        let connect = |base: &String| {
            let base = base.trim_end_matches('/');
            let name = base.split_once("://").map_or(base, |(_, rest)| rest).split('/').next().unwrap_or_default();
            let insecure = self.settings.is_insecure(name);
            let base = if base.contains("://") { base.to_owned() } else { format!("https://{base}") };
            Client::at(&self.settings, &self.keyring, name, base, insecure)
        };
        mirrors.iter().map(connect).collect()
    }
}

/// What happens to a layer while an image moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is needed, and waits for its turn.
    Waiting,
    /// It is there already, at the end it goes to.
    Exists,
    /// So many bytes of so many have moved.
    Moving {
        /// Bytes so far.
        done: u64,
        /// All of them.
        total: u64,
    },
    /// It came from another repository of the same registry without moving.
    Mounted,
    /// It is where it should be, checked.
    Done,
}

/// Who wants to see what happens; called from several threads.
pub trait Progress: Sync {
    /// `layer` is what the layer is called at the registry.
    fn layer(&self, layer: Digest, step: Step);
}

/// Nobody.
impl Progress for () {
    fn layer(&self, _: Digest, _: Step) {}
}
