//! The network: which, under what address and name, what is published.

use crate::container::find_id;
use crate::engine::Engine;
use crate::network::user_mode::Tool;
use crate::network::{Attachment, Mode, Networking, Other, is_address};
use crate::report::Refusal;
use anyhow::{Result, bail};
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use step04_net_bridge::{DEFAULT, Mac, PortSpec};

/// What the container can reach, and who can reach it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkOptions {
    /// The network: bridge, none, host, container:NAME, or one that you made [default: bridge; without root: pasta or slirp4netns where they work, else none].
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Publish a port: `[ADDRESS:][HOST_PORT:]PORT[/udp]`; ports may be ranges.
    #[arg(short, long, value_name = "PORTS")]
    publish: Vec<String>,
    /// Publish every port that the image exposes, on free ports of the host.
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Expose a port, for `-P`.
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// The address.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// The IPv6 address; it ends with the IPv4 address: fd00:1::172.20.0.5.
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// More addresses, which a container cannot have here: it sends under those of its network alone.
    #[arg(long, value_name = "ADDRESS", hide = true)]
    link_local_ip: Vec<IpAddr>,
    /// The hardware address.
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<Mac>,
    /// Another name for others of the network.
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// The host name inside.
    #[arg(short = 'h', long)]
    pub(crate) hostname: Option<String>,
    /// The domain of the host name.
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Add a line to `/etc/hosts`; `host-gateway` is this host's address.
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Ask this server for names, not the host's.
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// Append this domain to short names; `.` for none.
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option of `/etc/resolv.conf`.
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Whose host name: `host`, or the container's own.
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// Whose processes: `host`, container:NAME, or the container's own.
    #[arg(long, value_name = "MODE")]
    pid: Option<String>,
    /// Whose shared memory and queues: `host`, container:NAME, or the container's own (private, or shareable with others).
    #[arg(long, value_name = "MODE")]
    ipc: Option<String>,
}

/// The network of what is not `run` itself: the default one, or the one that is named.
pub(crate) fn default_networking(engine: &Engine, word: Option<&str>) -> Result<Networking> {
    let default = if engine.privilege().caller.is_root() { DEFAULT } else { "none" };
    let word = word.filter(|word| *word != "default").unwrap_or(default);
    let mode = mode(&[word])?;
    let attachment = || Attachment { network: network_name(word).to_owned(), ..Attachment::default() };
    let attachments = if mode == Mode::Bridge { vec![attachment()] } else { Vec::new() };
    Ok(Networking { mode, attachments, ..Networking::default() })
}

impl NetworkOptions {
    /// What they come to.
    pub(crate) fn networking(&self, engine: &Engine) -> Result<Networking> {
        let words: Vec<&str> = self.network.iter().map(String::as_str).collect();
        let default = if engine.privilege().caller.is_root() {
            DEFAULT
        } else if words.is_empty() {
            Tool::of_this_host().map_or("none", Tool::name)
        } else {
            "none"
        };
        let words = if words.is_empty() { vec![default] } else { words };
        let mode = match mode(&words)? {
            Mode::Container(other) => Mode::Container(find_id(engine.dirs(), &other)?),
            mode => mode,
        };
        let networking = Networking {
            attachments: if mode == Mode::Bridge { self.attachments(&words) } else { Vec::new() },
            mode,
            publish: words_of(&self.publish)?,
            publish_all: self.publish_all,
            expose: words_of(&self.expose)?,
            dns: self.dns.clone(),
            dns_search: self.dns_search.clone(),
            dns_option: self.dns_option.clone(),
            add_host: self.add_host.iter().map(|text| added_host(text)).collect::<Result<_>>()?,
            domainname: self.domainname.clone(),
            named: self.hostname.is_some(),
            uts: whose("--uts", self.uts.as_deref(), &[], None)?,
            pid: whose("--pid", self.pid.as_deref(), &[], Some(engine))?,
            ipc: match self.ipc.as_deref() {
                Some("shareable") => Other::Shareable,
                word => whose("--ipc", word, &["private"], Some(engine))?,
            },
        };
        self.check(engine, networking)
    }

    /// `--ip`, `--mac-address` and aliases are for the first.
    fn attachments(&self, words: &[&str]) -> Vec<Attachment> {
        let mut all: Vec<Attachment> = words
            .iter()
            .map(|word| Attachment { network: network_name(word).to_owned(), ..Attachment::default() })
            .collect();
        if let Some(first) = all.first_mut() {
            (first.address, first.address6) = (self.ip, self.ip6);
            first.mac = self.mac_address.map(|mac| mac.to_string());
            first.aliases.clone_from(&self.network_alias);
        }
        all
    }

    fn check(&self, engine: &Engine, networking: Networking) -> Result<Networking> {
        let has_address = networking.mode == Mode::Bridge;
        if let Some(address) = self.link_local_ip.first() {
            let what =
                format!("`--link-local-ip {address}`: a container sends under the addresses of its network alone");
            bail!(Refusal::new(what).help("choose one of these with `--ip`, so that nobody takes another's"));
        }
        if !has_address && (self.ip.is_some() || self.ip6.is_some() || self.mac_address.is_some()) {
            let what = format!("`--ip` and `--mac-address` need a network, and `{}` is none", networking.name());
            bail!(Refusal::new(what).help("choose one with `--network`"));
        }
        if !self.network_alias.is_empty() && !networking.has_names() {
            let what = "network-scoped aliases are only supported for user-defined networks";
            bail!(Refusal::new(what).help("make a network with `tara network create`, and choose it with `--network`"));
        }
        if has_address && !engine.privilege().caller.is_root() {
            let what = format!("the network `{}` cannot be made without root", networking.name());
            bail!(
                Refusal::new(what).help("without root there are `--network pasta`, `slirp4netns`, `host` and `none`")
            );
        }
        if matches!(networking.mode, Mode::Pasta | Mode::Slirp4netns) && engine.privilege().caller.is_root() {
            let what = format!("`--network {}` is for ordinary users", networking.name());
            bail!(Refusal::new(what).help("root has bridges: leave it out"));
        }
        let publishes = !networking.publish.is_empty() || networking.publish_all;
        match networking.mode {
            Mode::Container(_) if publishes => {
                bail!(
                    Refusal::new("conflicting options: port publishing and the container type network mode")
                        .help("publish the ports of the container whose network it is")
                )
            }
            Mode::Container(_) if networking.named || !networking.add_host.is_empty() || !networking.dns.is_empty() => {
                bail!(
                    Refusal::new(
                        "conflicting options: host name, `--dns` or `--add-host` and the network of another container"
                    )
                    .help("give them to that container")
                )
            }
            Mode::Host | Mode::None if publishes => {
                eprintln!("warning: published ports are discarded when using {} network mode", networking.name());
                Ok(Networking { publish: Vec::new(), publish_all: false, ..networking })
            }
            _ => Ok(networking),
        }
    }
}

fn mode(words: &[&str]) -> Result<Mode> {
    let modes = |word: &&str| ["none", "host", "pasta", "slirp4netns"].contains(word) || word.starts_with("container:");
    if words.len() > 1 && words.iter().any(modes) {
        bail!(Refusal::new("`none`, `host` and `container:…` do not go with another network"));
    }
    Ok(match words.first().copied().unwrap_or_default() {
        "none" => Mode::None,
        "host" => Mode::Host,
        "pasta" => Mode::Pasta,
        "slirp4netns" => Mode::Slirp4netns,
        word => match word.strip_prefix("container:") {
            Some(container) => Mode::Container(container.to_owned()),
            None => Mode::Bridge,
        },
    })
}

/// `host`, container:NAME where `engine` knows containers, or one of `own`.
fn whose(option: &str, word: Option<&str>, own: &[&str], engine: Option<&Engine>) -> Result<Other> {
    let Some(word) = word.filter(|word| !word.is_empty() && !own.contains(word)) else { return Ok(Other::Own) };
    match (word, word.strip_prefix("container:"), engine) {
        ("host", ..) => Ok(Other::Host),
        (_, Some(container), Some(engine)) => Ok(Other::Container(find_id(engine.dirs(), container)?)),
        _ => bail!(Refusal::new(format!("invalid mode `{word}` for `{option}`")).help("`host` is one")),
    }
}

fn network_name(word: &str) -> &str {
    if word == "default" { DEFAULT } else { word }
}

fn words_of(ports: &[String]) -> Result<Vec<String>> {
    for port in ports {
        port.parse::<PortSpec>()?;
    }
    Ok(ports.to_vec())
}

/// `name:address` or `name=address`.
fn added_host(text: &str) -> Result<(String, String)> {
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    match parts.map(|(name, address)| (name, address.trim_start_matches('[').trim_end_matches(']'))) {
        Some((name, address)) if !name.is_empty() && is_address(address) => Ok((name.to_owned(), address.to_owned())),
        _ => {
            let refusal = Refusal::new(format!("bad format for add-host: \"{text}\""));
            bail!(refusal.help("write NAME:ADDRESS, for example db:192.0.2.7"))
        }
    }
}
