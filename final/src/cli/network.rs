//! `tara network`.

use super::{Format, each, print};
use crate::engine::Engine;
use crate::format::table;
use crate::network::commands::NewNetwork;
use crate::network::{Attachment, show};
use crate::report::{self, Refusal};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::net::Ipv4Addr;
use step04_net_bridge::{Subnet, Subnet6};

/// Make, list and remove networks, and connect containers to them.
#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    Create(Create),
    #[command(visible_alias = "list")]
    Ls(Ls),
    Inspect(Inspect),
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
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Show all about networks, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names or ids.
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
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

impl Network {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        match self {
            Self::Create(create) => create.run(engine),
            Self::Ls(ls) => ls.run(engine),
            Self::Inspect(inspect) => inspect.run(engine),
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
            subnet6,
            internal: self.internal,
            labels: self.label.iter().map(|label| key_and_value(label)).collect::<BTreeMap<_, _>>(),
        })?;
        print(&format!("{id}\n"));
        Ok(0)
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
        print(&self.text(&networks));
        Ok(0)
    }

    fn text(&self, networks: &[Value]) -> String {
        let rows = networks.iter().map(|network| self.row(network));
        if self.quiet {
            return rows.map(|[id, ..]| id + "\n").collect();
        }
        if self.format == Format::Json {
            let keys = ["ID", "Name", "Driver", "Scope"].map(str::to_owned);
            let line = |row: [String; 4]| serde_json::json!(keys.iter().cloned().zip(row).collect::<BTreeMap<_, _>>());
            return rows.map(|row| format!("{}\n", line(row))).collect();
        }
        let header = ["NETWORK ID", "NAME", "DRIVER", "SCOPE"].map(str::to_owned);
        table(&[header].into_iter().chain(rows).collect::<Vec<_>>())
    }

    fn row(&self, network: &Value) -> [String; 4] {
        let text = |key: &str| network[key].as_str().unwrap_or_default().to_owned();
        let id = text("Id");
        let id = if self.no_trunc { id } else { id.chars().take(12).collect() };
        [id, text("Name"), text("Driver"), text("Scope")]
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

impl Inspect {
    fn run(&self, engine: &Engine) -> Result<u8> {
        let (mut found, mut code) = (Vec::new(), 0);
        for network in &self.networks {
            match show::network(engine.dirs(), network) {
                Ok(value) => found.push(value),
                Err(error) => {
                    eprint!("{}", report::text(&error));
                    code = 1;
                }
            }
        }
        print(&format!("{}\n", serde_json::to_string_pretty(&found)?));
        Ok(code)
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
        let attachment = Attachment { network, address: self.ip, mac: None, aliases: self.alias.clone() };
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
