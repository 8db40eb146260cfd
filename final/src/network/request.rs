//! What the command line says about the network.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};
use step04_net_bridge::{PortSpec, resolv::Chosen};

/// What a container's network is to be. Words that name ports and addresses were parsed once, where they came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networking {
    /// Whose network namespace.
    pub mode: Mode,
    /// The networks that it is connected to; the first is `eth0` and the way out.
    pub attachments: Vec<Attachment>,
    /// `-p`, and what `-P` comes to, in docker's words.
    pub publish: Vec<String>,
    /// `-P`: every port that the image or `--expose` names.
    pub publish_all: bool,
    /// `--expose`, and what the image exposes: `80/tcp`.
    pub expose: Vec<String>,
    /// `--dns`.
    pub dns: Vec<IpAddr>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// `--dns-option`.
    pub dns_option: Vec<String>,
    /// `--add-host`: name and address; `host-gateway` is the host.
    pub add_host: Vec<(String, String)>,
    /// `--domainname`.
    pub domainname: Option<String>,
    /// Whether a host name was asked for, rather than made from the id.
    pub named: bool,
    /// `--uts`.
    pub uts: Other,
    /// `--pid`.
    pub pid: Other,
    /// `--ipc`.
    pub ipc: Other,
}

/// Whose network namespace a container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One of its own, with the loopback link only.
    #[default]
    None,
    /// The host's.
    Host,
    /// One of its own, connected to [`Networking::attachments`].
    Bridge,
    /// One of its own, connected by pasta(1).
    Pasta,
    /// One of its own, connected by slirp4netns(1).
    Slirp4netns,
    /// That of another container, by its id.
    Container(String),
}

/// Whose namespace of another kind a container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Other {
    /// One of its own.
    #[default]
    Own,
    /// The host's.
    Host,
    /// That of another container, by its id.
    Container(String),
}

/// A network that a container is connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name.
    pub network: String,
    /// The address that was asked for.
    pub address: Option<Ipv4Addr>,
    /// The hardware address that was asked for.
    pub mac: Option<String>,
    /// Names besides the container's.
    pub aliases: Vec<String>,
}

impl Networking {
    /// docker's `NetworkMode`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.mode {
            Mode::None => "none".to_owned(),
            Mode::Host => "host".to_owned(),
            Mode::Pasta => "pasta".to_owned(),
            Mode::Slirp4netns => "slirp4netns".to_owned(),
            Mode::Container(id) => format!("container:{id}"),
            Mode::Bridge => self.attachments.first().map(|first| first.network.clone()).unwrap_or_default(),
        }
    }

    /// The networks that it is in; of one that has none to itself, docker's word for that.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match &self.mode {
            Mode::Bridge => self.attachments.iter().map(|attachment| attachment.network.clone()).collect(),
            _ => vec![self.name()],
        }
    }

    /// Whether files in `/etc` are written for it. A container without a network has nobody to name; it pays for them only when
    /// something was asked for that they say.
    #[must_use]
    pub fn has_files(&self) -> bool {
        let asked = self.named
            || !self.add_host.is_empty()
            || self.domainname.is_some()
            || !self.chosen().eq(&Chosen::default());
        self.mode != Mode::None || asked
    }

    /// What takes the place of the host's resolv.conf.
    #[must_use]
    pub fn chosen(&self) -> Chosen {
        Chosen { servers: self.dns.clone(), search: self.dns_search.clone(), options: self.dns_option.clone() }
    }

    /// The ports to publish.
    #[must_use]
    pub fn ports(&self) -> Vec<PortSpec> {
        self.publish.iter().filter_map(|words| words.parse().ok()).collect()
    }
}
