//! Published ports: one element of a map a port.

use super::elements::{self, NEW, comment, put};
use super::rule::{IPV4, IPV6};
use super::ruleset::maps;
use super::{Rules, TABLE};
use crate::netlink::nf::{DELSETELEM, Family, GETSETELEM, NEWSETELEM, header, transaction};
use crate::netlink::{Attributes, Batch, DUMP, Refusal, find, rt};
use crate::{Error, Port, Protocol};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A port of the host that leads to a port of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The host's side; an unspecified address (`0.0.0.0`, `::`) stands for all.
    pub port: Port,
    /// The container's address.
    pub address: IpAddr,
    /// The container's port.
    pub container_port: u16,
}

/// So many elements fit into one message with room to spare: an attribute is below 64 KiB.
const A_MESSAGE: usize = 300;

/// Publishes all of `ports` for the container `id`, or none.
///
/// # Errors
/// [`Error::PortPublished`], when one of them is.
pub(crate) fn add_ports(rules: &Rules, id: &str, ports: &[Published]) -> Result<(), Error> {
    if ports.is_empty() {
        return Ok(());
    }
    match rules.request(&batch(ports, NEWSETELEM, NEW, Some(id))) {
        Err(Refusal { errno: Errno::EEXIST, .. }) => Err(already_published(rules, ports)),
        result => result.map_err(Error::kernel("publish ports of", id)),
    }
}

/// Publishes them no longer. Those that are not published are no error, so each is its own transaction if need be.
pub(crate) fn remove_ports(rules: &Rules, ports: &[Published]) -> Result<(), Error> {
    if ports.is_empty() {
        return Ok(());
    }
    let gone = |refusal: &Refusal| refusal.errno == Errno::ENOENT;
    match rules.request(&batch(ports, DELSETELEM, 0, None)) {
        Err(refusal) if gone(&refusal) && ports.len() > 1 => {
            ports.iter().try_for_each(|port| remove_ports(rules, std::slice::from_ref(port)))
        }
        Err(refusal) if gone(&refusal) => Ok(()),
        result => result.map_err(Error::kernel("publish no longer the port", ports[0].port)),
    }
}

fn batch(ports: &[Published], kind: u16, flags: u16, id: Option<&str>) -> Batch {
    transaction(|batch| {
        for nfproto in [IPV4, IPV6] {
            for (on_all, map) in [false, true].into_iter().zip(maps(nfproto)) {
                let of_map = |port: &&Published| {
                    port.address.is_ipv4() == (nfproto == IPV4) && port.port.address.is_unspecified() == on_all
                };
                let ports: Vec<_> = ports.iter().filter(of_map).collect();
                for some in ports.chunks(A_MESSAGE) {
                    elements::message(batch, Family::Inet, kind, flags, map, |list| {
                        some.iter().for_each(|port| put_port(list, port, kind == NEWSETELEM, id));
                    });
                }
            }
        }
    })
}

/// Fields of keys and values begin at multiples of four bytes.
fn put_port(list: &mut Batch, published: &Published, with_value: bool, id: Option<&str>) {
    let Port { address, protocol, number } = published.port;
    let mut key = if address.is_unspecified() { Vec::new() } else { rt::octets(address) };
    let [high, low] = number.to_be_bytes();
    key.extend([protocol as u8, 0, 0, 0, high, low, 0, 0]);
    let [high, low] = published.container_port.to_be_bytes();
    let mut value = rt::octets(published.address);
    value.extend([high, low, 0, 0]);
    put(list, &key, with_value.then_some(&value[..]), id, false);
}

/// Which of them is, and by whom: asked only when it is too late.
fn already_published(rules: &Rules, wanted: &[Published]) -> Error {
    let all = published_in(rules).unwrap_or_default();
    let taken = |port: &Port| all.iter().find(|(published, _)| published.port == *port);
    let found = wanted.iter().find_map(|wanted| taken(&wanted.port).map(|(_, id)| (wanted.port, id.clone())));
    let (port, id) = found.unwrap_or((wanted[0].port, String::new()));
    Error::PortPublished { port, owner: Some(id).filter(|id| !id.is_empty()) }
}

/// All published ports, and the container each belongs to. For checks, and to reclaim what a crash left behind.
///
/// # Errors
/// When nf_tables cannot be asked. No table means no ports, and so does a kernel without nf_tables.
pub fn published() -> Result<Vec<(Published, String)>, Error> {
    let rules = match Rules::open() {
        Err(Error::Kernel { errno: Errno::EPROTONOSUPPORT, .. }) => return Ok(Vec::new()),
        rules => rules?,
    };
    published_in(&rules).or_else(|refusal| match refusal.errno {
        Errno::ENOENT => Ok(Vec::new()),
        _ => Err(Error::kernel("list the published ports of", TABLE)(refusal)),
    })
}

pub(crate) fn published_in(rules: &Rules) -> Result<Vec<(Published, String)>, Refusal> {
    let mut all = Vec::new();
    for map in [IPV4, IPV6].into_iter().flat_map(maps) {
        let mut batch = Batch::new();
        batch.message(GETSETELEM, DUMP, &header(Family::Inet), |message| {
            message.string(1, TABLE).string(2, map);
        });
        rules.dump(&batch, |_, body| {
            let list = body.get(4..).and_then(|attributes| find(attributes, 3)).unwrap_or_default();
            all.extend(Attributes(list).filter_map(|(_, element)| read(element)));
        })?;
    }
    Ok(all)
}

fn read(element: &[u8]) -> Option<(Published, String)> {
    let key = find(find(element, 1)?, 1)?;
    let value = find(find(element, 2)?, 1)?;
    let (container, target) = value.split_at_checked(value.len().checked_sub(4)?)?;
    let (host, rest) = key.split_at_checked(key.len().checked_sub(8)?)?;
    let container = address(container)?;
    let any: IpAddr = if container.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let number = |bytes: &[u8]| bytes.first_chunk().map(|two| u16::from_be_bytes(*two));
    let port = Port {
        address: if host.is_empty() { any } else { address(host)? },
        protocol: Protocol::of_number(*rest.first()?)?,
        number: number(&rest[4..])?,
    };
    let id = find(element, 6).and_then(comment).unwrap_or_default();
    Some((Published { port, address: container, container_port: number(target)? }, id))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::from(Ipv6Addr::from(octets)))).ok()
}
