//! `tara network`.

use super::inspect::{Kind, What};
use super::{each, print};
use crate::engine::Engine;
use crate::format::{self, Format, Listing, Row};
use crate::network::commands::NewNetwork;
use crate::network::{Attachment, show};
use crate::report::Refusal;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::net::{Ipv4Addr, Ipv6Addr};
use step04_net_bridge::{Subnet, Subnet6};

/// Make, list and remove networks, and connect containers to them.
#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    Create(Create),
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show all about networks.
    Inspect(What),
    #[command(visible_alias = "remove")]
    Rm(Rm),
    Connect(Connect),
    Disconnect(Disconnect),
    Prune(Prune),
}

/// Make a network, and print its id.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The kind; there is one.
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    /// Its addresses, for example 172.30.0.0/16; an IPv6 subnet beside it with `--ipv6`.
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<String>,
    /// The host's address in it.
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<Ipv4Addr>,
    /// The part of the subnet from which containers get their addresses.
    #[arg(long, value_name = "SUBNET")]
    ip_range: Option<Subnet>,
    /// No way out.
    #[arg(long)]
    internal: bool,
    /// IPv6 too.
    #[arg(long)]
    ipv6: bool,
    /// A label.
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Its name.
    name: String,
}

/// List networks.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only the ids.
    #[arg(short, long)]
    quiet: bool,
    /// Do not cut ids short.
    #[arg(long)]
    no_trunc: bool,
    /// Only those that match: name=…, id=…, driver=…, label=…, type=custom|builtin.
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Table, `table TEMPLATE`, `json`, or a Go template.
    #[arg(long)]
    format: Option<String>,
}

/// Remove networks that nobody is in.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// One that is not there is no error.
    #[arg(short, long)]
    force: bool,
    /// Names or ids.
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

/// Connect a container to a network.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The address.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// The IPv6 address.
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// Another name for others of the network.
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// The network.
    network: String,
    /// The container.
    container: String,
}

/// Take a container out of a network.
#[derive(Debug, Args)]
pub(crate) struct Disconnect {
    /// Also when its records say that it is not in it.
    #[arg(short, long)]
    force: bool,
    /// The network.
    network: String,
    /// The container.
    container: String,
}

/// Remove all networks that nobody is in; the default bridge comes back when it is needed.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Do not ask.
    #[arg(short, long)]
    force: bool,
}

const LISTING: Listing = Listing {
    fields: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    table: &["ID", "Name", "Driver", "Scope"],
};

impl Network {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        match self {
            Self::Create(create) => create.run(engine),
            Self::Ls(ls) => ls.run(engine),
            Self::Inspect(what) => what.run(engine, Some(Kind::Network)),
            Self::Rm(rm) => Ok(each(&rm.networks, |network| rm.remove(engine, network))),
            Self::Connect(connect) => connect.run(engine),
            Self::Disconnect(Disconnect { force, network, container }) => {
                engine.disconnect(network, container, *force).map(|()| 0)
            }
            Self::Prune(prune) => prune.run(engine),
        }
    }
}

impl Create {
    fn run(&self, engine: &Engine) -> Result<u8> {
        if self.driver != "bridge" {
            bail!(Refusal::new(format!("could not find plugin {}", self.driver)).help("the driver is `bridge`"));
        }
        let (v6, v4): (Vec<&str>, Vec<&str>) =
            self.subnet.iter().map(String::as_str).partition(|text| text.contains(':'));
        let subnet6: Option<Subnet6> = v6.first().map(|text| text.parse()).transpose()?;
        if self.ipv6 && subnet6.is_none() {
            let refusal = Refusal::new("an IPv6 network needs an IPv6 subnet");
            bail!(refusal.help("give one, for example `--ipv6 --subnet fd00:1::/64`"));
        }
        let id = engine.create_network(&NewNetwork {
            name: self.name.clone(),
            subnet: v4.first().map(|text| text.parse::<Subnet>()).transpose()?,
            gateway: self.gateway,
            range: self.range()?,
            subnet6,
            internal: self.internal,
            labels: self.label.iter().map(|label| key_and_value(label)).collect::<BTreeMap<_, _>>(),
        })?;
        print(&format!("{id}\n"));
        Ok(0)
    }
}

impl Create {
    fn range(&self) -> Result<Option<Subnet>> {
        if self.ip_range.is_some() && !self.subnet.iter().any(|subnet| !subnet.contains(':')) {
            let refusal = Refusal::new("`--ip-range` is a part of a subnet, and none was given");
            bail!(refusal.help("give one, for example `--subnet 172.30.0.0/16 --ip-range 172.30.5.0/24`").code(1));
        }
        Ok(self.ip_range)
    }
}

fn key_and_value(label: &str) -> (String, String) {
    let (key, value) = label.split_once('=').unwrap_or((label, ""));
    (key.to_owned(), value.to_owned())
}

impl Ls {
    fn run(&self, engine: &Engine) -> Result<u8> {
        let mut networks = show::all_networks(engine.dirs())?;
        for filter in &self.filter {
            let Some((key, value)) = filter.split_once('=') else {
                bail!(Refusal::new(format!("invalid filter `{filter}`")).help("write KEY=VALUE"));
            };
            if !["name", "id", "driver", "label", "type"].contains(&key) {
                bail!(Refusal::new(format!("invalid filter `{key}`")).help("name, id, driver, label, type").code(1));
            }
            networks.retain(|network| matches(network, key, value));
        }
        let rows: Vec<Row> = networks.iter().map(|network| self.row(network)).collect();
        if self.quiet && self.format.is_none() {
            print(&rows.iter().map(|row| format!("{}\n", row.values[0])).collect::<String>());
            return Ok(0);
        }
        print(&LISTING.write(&Format::parse(self.format.as_deref())?, &rows)?);
        Ok(0)
    }

    fn row(&self, network: &Value) -> Row {
        let text = |key: &str| network[key].as_str().unwrap_or_default().to_owned();
        let id = text("Id");
        let id = if self.no_trunc { id } else { id.chars().take(12).collect() };
        let labels: BTreeMap<String, String> = serde_json::from_value(network["Labels"].clone()).unwrap_or_default();
        let all: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let flag = |key: &str| network[key].as_bool().unwrap_or_default().to_string();
        let created = network["Created"].as_str().and_then(|time| time.parse::<Timestamp>().ok()).map(format::moment);
        let values = vec![
            id,
            text("Name"),
            text("Driver"),
            text("Scope"),
            flag("EnableIPv6"),
            flag("Internal"),
            all.join(","),
            created.unwrap_or_default(),
        ];
        Row { values, labels }
    }
}

fn matches(network: &Value, key: &str, value: &str) -> bool {
    let text = |key: &str| network[key].as_str().unwrap_or_default().to_owned();
    match key {
        "name" => text("Name").contains(value),
        "id" => text("Id").starts_with(value),
        "driver" => text("Driver") == value,
        "type" => (value == "builtin") == ["bridge", "host", "none"].contains(&text("Name").as_str()),
        _ => {
            let (key, wanted) = value.split_once('=').map_or((value, None), |(key, wanted)| (key, Some(wanted)));
            network["Labels"][key].as_str().is_some_and(|label| wanted.is_none_or(|wanted| wanted == label))
        }
    }
}

impl Rm {
    fn remove(&self, engine: &Engine, network: &str) -> Result<String> {
        if self.force && show::network(engine.dirs(), network).is_err() {
            return Ok(String::new());
        }
        engine.remove_network(network).map(|()| format!("{network}\n"))
    }
}

impl Connect {
    fn run(&self, engine: &Engine) -> Result<u8> {
        let network = self.network.clone();
        let attachment =
            Attachment { network, address: self.ip, address6: self.ip6, mac: None, aliases: self.alias.clone() };
        engine.connect(attachment, &self.container).map(|()| 0)
    }
}

impl Prune {
    fn run(&self, engine: &Engine) -> Result<u8> {
        if !self.force && !confirmed()? {
            return Ok(0);
        }
        let removed = engine.prune_networks()?;
        if !removed.is_empty() {
            print(&format!("Deleted Networks:\n{}\n", removed.join("\n")));
        }
        Ok(0)
    }
}

fn confirmed() -> Result<bool> {
    print(
        "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] ",
    );
    stdout().flush()?;
    if !stdin().is_terminal() {
        return Ok(false);
    }
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
