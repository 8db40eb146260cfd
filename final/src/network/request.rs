//! What the command line says about the network.

use crate::report::Refusal;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use step04_net_bridge::{PortSpec, Settings, resolv::Chosen};

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
    /// One of its own, which other containers may share (`--ipc shareable`).
    Shareable,
    /// The host's.
    Host,
    /// That of another container, by its id.
    Container(String),
}

impl Other {
    /// Whether it is one of its own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own | Self::Shareable)
    }

    /// docker's word for it, in `inspect`; `own` is that for its own.
    #[must_use]
    pub fn word(&self, own: &str) -> String {
        match self {
            Self::Own => own.to_owned(),
            Self::Shareable => "shareable".to_owned(),
            Self::Host => "host".to_owned(),
            Self::Container(id) => format!("container:{id}"),
        }
    }
}

/// A network that a container is connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name.
    pub network: String,
    /// The address that was asked for.
    pub address: Option<Ipv4Addr>,
    /// The IPv6 address that was asked for.
    #[serde(default)]
    pub address6: Option<Ipv6Addr>,
    /// The hardware address that was asked for.
    pub mac: Option<String>,
    /// Names besides the container's.
    pub aliases: Vec<String>,
}

impl Attachment {
    /// The IPv4 address to ask for. An IPv6 address is derived from it here (its last 32 bits are the IPv4 address), which keeps
    /// containers from sending under each other's; so whoever asks for one asks for the other.
    ///
    /// # Errors
    /// [`Refusal`] for an IPv6 address that the network does not have, or that goes with another IPv4 address.
    pub(crate) fn v4(&self, settings: &Settings) -> Result<Option<Ipv4Addr>> {
        let Some(address6) = self.address6 else { return Ok(self.address) };
        let Some(subnet6) = settings.subnet6 else {
            let refusal = Refusal::new(format!("the network `{}` has no IPv6, so not `{address6}`", self.network));
            bail!(refusal.help("make one with `tara network create --ipv6 --subnet fd00:1::/64`"));
        };
        let [.., a, b, c, d] = address6.octets();
        let address = Ipv4Addr::new(a, b, c, d);
        if subnet6.of_v4(address) != address6 {
            let refusal =
                Refusal::new(format!("`{address6}` is not an address that a container may have in {subnet6}"));
            bail!(refusal.help("an IPv6 address ends with the container's IPv4 address: fd00:1::172.20.0.5"));
        }
        if self.address.is_some_and(|other| other != address) {
            let refusal = Refusal::new(format!("`--ip6 {address6}` goes with `--ip {address}`"));
            bail!(refusal.help("an IPv6 address ends with the container's IPv4 address"));
        }
        Ok(Some(address))
    }
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
