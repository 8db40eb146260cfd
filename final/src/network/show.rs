//! What `inspect`, `ps` and `port` say of a container's network: asked of the kernel and the leases, not remembered.

use super::commands::leases_of;
use super::{Attachment, Definition, Mode, alive_if_any, user_mode};
use crate::container::{Record, State, ids};
use crate::dirs::Dirs;
use crate::document::NEVER;
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use step04_net_bridge::{PortSpec, Published, published};

/// The published ports of all containers, by container.
pub type Ports = BTreeMap<String, Vec<Published>>;

/// Asks for all published ports at once. Where they cannot be asked for, there are none.
#[must_use]
pub fn all_ports(dirs: &Dirs) -> Ports {
    let mut ports = Ports::new();
    if alive_if_any(dirs).is_none() {
        // Without root there are no rules to ask.
        for id in ids(&dirs.lives()).unwrap_or_default() {
            let of_container = user_mode::ports(&dirs.live(&id));
            ports.insert(id, of_container);
        }
    } else {
        for (port, owner) in published().unwrap_or_default() {
            ports.entry(owner).or_default().push(port);
        }
    }
    ports.values_mut().for_each(|ports| ports.sort_by_key(|port| (port.container_port, port.port)));
    ports
}

/// The column PORTS of `ps`: `0.0.0.0:8080->80/tcp, 443/tcp`; neighbours as a range.
#[must_use]
pub fn in_words(record: &Record, ports: &[Published]) -> String {
    let mut ranges: Vec<(Published, u16)> = Vec::new();
    for port in ports {
        let follows = |(first, more): &&mut (Published, u16)| {
            let (own, other) = (&port.port, &first.port);
            (own.address, own.protocol) == (other.address, other.protocol)
                && (own.number, port.container_port) == (other.number + *more + 1, first.container_port + *more + 1)
        };
        match ranges.iter_mut().find(follows) {
            Some((_, more)) => *more += 1,
            None => ranges.push((port.clone(), 0)),
        }
    }
    let range = |from: u16, more: u16| if more == 0 { from.to_string() } else { format!("{from}-{}", from + more) };
    let published = ranges.iter().map(|(first, more)| {
        let (host, inside) = (range(first.port.number, *more), range(first.container_port, *more));
        format!("{}:{host}->{inside}/{}", first.port.address, first.port.protocol)
    });
    let open: BTreeSet<String> = ports.iter().map(inside).collect();
    let exposed =
        record.networking.expose.iter().filter_map(|words| exposed(words)).filter(|words| !open.contains(words));
    published.chain(exposed).collect::<Vec<_>>().join(", ")
}

/// `80/tcp`.
#[must_use]
pub fn inside(port: &Published) -> String {
    format!("{}/{}", port.container_port, port.port.protocol)
}

fn exposed(words: &str) -> Option<String> {
    let spec: PortSpec = words.parse().ok()?;
    let (first, last) = (spec.container.start(), spec.container.end());
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    Some(format!("{range}/{}", spec.protocol))
}

/// docker's `NetworkSettings`.
#[must_use]
pub fn settings(dirs: &Dirs, record: &Record) -> Value {
    let networks = networks(dirs, record);
    let first = record.networking.attachments.first().and_then(|first| networks.get(&first.network));
    let of_first = |key: &str| first.map_or(json!(""), |network| network[key].clone());
    let on_default = first.filter(|_| record.networking.name() == step04_net_bridge::DEFAULT);
    json!({
        "IPAddress": on_default.map_or(json!(""), |_| of_first("IPAddress")),
        "IPPrefixLen": on_default.map_or(json!(0), |_| of_first("IPPrefixLen")),
        "Gateway": on_default.map_or(json!(""), |_| of_first("Gateway")),
        "MacAddress": on_default.map_or(json!(""), |_| of_first("MacAddress")),
        "EndpointID": on_default.map_or(json!(""), |_| of_first("EndpointID")),
        "Bridge": "", "SandboxID": sandbox(dirs, record), "SandboxKey": namespace(dirs, record), "HairpinMode": false,
        "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0, "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null, "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPv6Gateway": "",
        "Ports": ports(dirs, record),
        "Networks": networks,
    })
}

/// `HostConfig.PortBindings`: what was asked for.
#[must_use]
pub fn bindings(record: &Record) -> Value {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for spec in record.networking.ports() {
        for (index, port) in spec.container.clone().enumerate() {
            let host = spec.host.as_ref().map(|range| match spec.container.len() {
                1 if range.len() > 1 => format!("{}-{}", range.start(), range.end()),
                _ => range.clone().nth(index).map(|port| port.to_string()).unwrap_or_default(),
            });
            let address = spec.address.map(|address| address.to_string());
            let binding = json!({ "HostIp": address.unwrap_or_default(), "HostPort": host.unwrap_or_default() });
            all.entry(format!("{port}/{}", spec.protocol)).or_default().push(binding);
        }
    }
    json!(all)
}

fn ports(dirs: &Dirs, record: &Record) -> Value {
    let mut all: BTreeMap<String, Option<Vec<Value>>> =
        record.networking.expose.iter().filter_map(|words| Some((exposed(words)?, None))).collect();
    for port in all_ports(dirs).remove(&record.id).unwrap_or_default() {
        let binding = json!({ "HostIp": port.port.address.to_string(), "HostPort": port.port.number.to_string() });
        all.entry(inside(&port)).or_default().get_or_insert_default().push(binding);
    }
    json!(all)
}

/// By name: where it is now, and where it will be when it starts.
fn networks(dirs: &Dirs, record: &Record) -> Map<String, Value> {
    let mut all = Map::new();
    for attachment in &record.networking.attachments {
        all.insert(attachment.network.clone(), at_rest(dirs, &attachment.network, Some(attachment)));
    }
    if matches!(record.networking.mode, Mode::None | Mode::Host) {
        let name = record.networking.name();
        all.insert(name.clone(), at_rest(dirs, &name, None));
    }
    let leases = alive_if_any(dirs).and_then(|networks| leases_of(&networks, &record.id).ok()).unwrap_or_default();
    for (network, lease) in leases {
        let asked = record.networking.attachments.iter().find(|attachment| attachment.network == network.name);
        let mut entry = at_rest(dirs, &network.name, asked);
        let v6 = network.subnet6.map(|subnet| subnet.of_v4(lease.address).to_string());
        let now = json!({
                "EndpointID": endpoint(&record.id, &network.name),
                "IPAddress": lease.address.to_string(),
                "IPPrefixLen": network.subnet.prefix(),
                "Gateway": network.gateway.to_string(),
                "MacAddress": lease.mac.to_string(),
                "GlobalIPv6Address": v6.unwrap_or_default(),
                "GlobalIPv6PrefixLen": network.subnet6.map_or(0, |subnet| subnet.prefix()),
                "IPv6Gateway": network.gateway6().map(|gateway| gateway.to_string()).unwrap_or_default(),
                "Aliases": lease.names,
                "DNSNames": lease.names,
        });
        if let (Value::Object(entry), Value::Object(now)) = (&mut entry, now) {
            entry.extend(now);
        }
        all.insert(network.name.clone(), entry);
    }
    all
}

/// All the fields that docker has, of a network that the container is not connected to at this moment.
fn at_rest(dirs: &Dirs, network: &str, asked: Option<&Attachment>) -> Value {
    let id = builtin_id(network).or_else(|| Some(Definition::find(dirs, network).ok()?.id));
    let mut config = Map::new();
    if let Some(address) = asked.and_then(|asked| asked.address) {
        config.insert("IPv4Address".to_owned(), json!(address.to_string()));
    }
    if let Some(address) = asked.and_then(|asked| asked.address6) {
        config.insert("IPv6Address".to_owned(), json!(address.to_string()));
    }
    let address = (!config.is_empty()).then_some(config);
    json!({
        "IPAMConfig": address, "Links": null, "DriverOpts": null,
        "Aliases": asked.map(|asked| asked.aliases.clone()), "DNSNames": null,
        "NetworkID": id.unwrap_or_default(), "EndpointID": "", "MacAddress": "", "IPAddress": "", "IPPrefixLen": 0,
        "Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPv6Gateway": "",
    })
}

/// docker's endpoints have ids of their own; here the pair is the endpoint.
fn endpoint(id: &str, network: &str) -> String {
    let of_network = network
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{of_network:016x}{}", id.get(16..).unwrap_or_default())
}

/// The container's network namespace, while it runs: a path for `nsenter --net=`.
fn namespace(dirs: &Dirs, record: &Record) -> String {
    State::read(dirs, &record.id).map(|state| format!("/proc/{}/ns/net", state.host_pid)).unwrap_or_default()
}

fn sandbox(dirs: &Dirs, record: &Record) -> String {
    if namespace(dirs, record).is_empty() { String::new() } else { record.id.clone() }
}

/// All networks as `network inspect` shows them: the three that are always there, then the user's.
///
/// # Errors
/// readdir(3).
pub fn all_networks(dirs: &Dirs) -> Result<Vec<Value>> {
    let user = Definition::all(dirs)?;
    let mut names: Vec<String> = ["bridge", "host", "none"].map(str::to_owned).to_vec();
    names.extend(user.into_iter().map(|definition| definition.name));
    names.sort();
    names.iter().map(|name| network(dirs, name)).collect()
}

/// A network as `network inspect` shows it.
///
/// # Errors
/// [`crate::report::Refusal`] when there is none.
pub fn network(dirs: &Dirs, reference: &str) -> Result<Value> {
    if let Some(id) = builtin_id(reference) {
        let driver = if reference == "none" { "null" } else { reference };
        let live = alive_if_any(dirs).and_then(|networks| networks.network(reference));
        let config = live
            .map(|network| json!([{ "Subnet": network.subnet.to_string(), "Gateway": network.gateway.to_string() }]));
        return Ok(json!({
            "Name": reference, "Id": id, "Scope": "local", "Driver": driver, "Internal": false, "EnableIPv6": false,
            "IPAM": { "Driver": "default", "Options": {}, "Config": config.unwrap_or(json!([])) },
            "Containers": containers(dirs, reference), "Labels": {}, "Created": NEVER, "Options": {}, "Attachable": false,
            "Ingress": false, "ConfigOnly": false, "ConfigFrom": { "Network": "" },
        }));
    }
    let network = Definition::find(dirs, reference)?;
    let mut config = vec![json!({ "Subnet": network.subnet, "Gateway": network.gateway.to_string() })];
    if let (Some(range), Some(Value::Object(first))) = (&network.range, config.first_mut()) {
        first.insert("IPRange".to_owned(), json!(range));
    }
    config.extend(network.subnet6.iter().map(|subnet| json!({ "Subnet": subnet })));
    Ok(json!({
        "Name": network.name, "Id": network.id, "Created": network.created, "Scope": "local", "Driver": "bridge",
        "Internal": network.internal, "EnableIPv6": network.subnet6.is_some(),
        "IPAM": { "Driver": "default", "Options": {}, "Config": config },
        "Containers": containers(dirs, &network.name), "Labels": network.labels, "Options": {}, "Attachable": false,
        "Ingress": false, "ConfigOnly": false, "ConfigFrom": { "Network": "" },
    }))
}

/// The networks that are always there have the same ids everywhere: their names in base 16.
pub(crate) fn builtin_id(name: &str) -> Option<String> {
    let known = ["bridge", "host", "none"].contains(&name);
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    known.then(|| format!("{digits:0<64}"))
}

fn containers(dirs: &Dirs, network: &str) -> Map<String, Value> {
    let Some(networks) = alive_if_any(dirs) else { return Map::new() };
    let Some(shape) = networks.network(network) else { return Map::new() };
    let leases = networks.leases(network).and_then(|leases| leases.all()).unwrap_or_default();
    let entry = |lease: step04_net_bridge::Lease| {
        let name = Record::read(dirs, &lease.id).map(|record| record.name).unwrap_or_default();
        let address = format!("{}/{}", lease.address, shape.subnet.prefix());
        let v6 = shape.subnet6.map(|subnet| format!("{}/{}", subnet.of_v4(lease.address), subnet.prefix()));
        let entry = json!({
            "Name": name, "EndpointID": endpoint(&lease.id, network), "MacAddress": lease.mac.to_string(),
            "IPv4Address": address, "IPv6Address": v6.unwrap_or_default(),
        });
        (lease.id, entry)
    };
    leases.into_iter().map(entry).collect()
}
