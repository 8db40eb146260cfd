//! Published ports, in docker's words.

use crate::{Error, Published};
use nix::errno::Errno;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Connections.
    Tcp = 6,
    /// Datagrams.
    Udp = 17,
}

impl Protocol {
    pub(crate) fn of_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp].into_iter().find(|protocol| *protocol as u8 == number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Tcp { "tcp" } else { "udp" })
    }
}

/// A port of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The address; unspecified stands for all.
    pub address: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub number: u16,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", SocketAddr::new(self.address, self.number), self.protocol)
    }
}

/// What `-p` asks for: ports of the container, and where on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    /// The host's address; all when nobody says.
    pub address: Option<IpAddr>,
    /// The host's ports; any free ones when nobody says.
    pub host: Option<RangeInclusive<u16>>,
    /// The container's ports.
    pub container: RangeInclusive<u16>,
    /// The protocol.
    pub protocol: Protocol,
}

impl FromStr for PortSpec {
    type Err = Error;

    /// `[ADDRESS:][HOST:]CONTAINER[/tcp|/udp]`, an IPv6 address in brackets; HOST may be empty, and both may be ranges.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |why| Error::PortWords { text: text.to_owned(), why };
        let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(refused("the protocol is neither tcp nor udp")),
        };
        let (rest, container) = ports.rsplit_once(':').map_or((None, ports), |(rest, last)| (Some(rest), last));
        let (address, host) = rest.map_or((None, ""), split_address);
        let container = range(container).ok_or_else(|| refused("the container's port is not 1 to 65535"))?;
        let host = Some(host).filter(|host| !host.is_empty());
        let host =
            host.map(|host| range(host).ok_or_else(|| refused("the host's port is not 1 to 65535"))).transpose()?;
        let address = address.map(|address| address.parse().map_err(|_| refused("the address is none"))).transpose()?;
        if host.as_ref().is_some_and(|host| host.len() != container.len() && container.len() != 1) {
            return Err(refused("the two ranges have different lengths"));
        }
        Ok(Self { address, host, container, protocol })
    }
}

/// The address, if there is one, and the host's port.
fn split_address(text: &str) -> (Option<&str>, &str) {
    if let Some((address, host)) = text.strip_prefix('[').and_then(|text| text.split_once("]:")) {
        return (Some(address), host);
    }
    text.rsplit_once(':').map_or((None, text), |(address, host)| (Some(address), host))
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    // `u16::from_str` takes a sign; docker does not.
    let number =
        |text: &str| text.parse().ok().filter(|number| *number != 0 && text.bytes().all(|b| b.is_ascii_digit()));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

/// The container's addresses, to which ports lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Option<Ipv6Addr>,
}

/// Chooses ports of the host for what was asked: none that is among `taken`, and none that a program of the host has.
pub(crate) fn choose(specs: &[PortSpec], target: Target, taken: &[Port]) -> Result<Vec<Published>, Error> {
    let mut all: Vec<Published> = Vec::new();
    for spec in specs {
        let hosts = hosts(spec, target)?;
        let single = spec.container.len() == 1;
        for (index, container_port) in spec.container.clone().enumerate() {
            let candidates = match &spec.host {
                // 0: the kernel chooses, each time another.
                None => vec![0; 16],
                Some(range) if single => range.clone().collect(),
                Some(range) => range.clone().skip(index).take(1).collect(),
            };
            let is_taken = |port: &Port| taken.contains(port) || all.iter().any(|published| published.port == *port);
            let (number, protocol) = (first_free(&candidates, spec.protocol, &hosts, is_taken)?, spec.protocol);
            all.extend(hosts.iter().map(|(host, address)| Published {
                port: Port { address: *host, protocol, number },
                address: *address,
                container_port,
            }));
        }
    }
    Ok(all)
}

/// The first of `candidates` that is free on every address asked for, or why the first was not.
fn first_free(
    candidates: &[u16],
    protocol: Protocol,
    hosts: &[(IpAddr, IpAddr)],
    is_taken: impl Fn(&Port) -> bool,
) -> Result<u16, Error> {
    let attempt = |candidate: u16| {
        let mut number = candidate;
        for (address, _) in hosts {
            number = probe(Port { address: *address, protocol, number })?;
            let port = Port { address: *address, protocol, number };
            if is_taken(&port) {
                return Err(Error::PortPublished { port, owner: None });
            }
        }
        Ok(number)
    };
    let mut attempts = candidates.iter().map(|candidate| attempt(*candidate));
    let first = attempts.next().expect("a range is not empty");
    first.or_else(|error| attempts.find_map(Result::ok).ok_or(error))
}

/// Addresses of the host, and the container's address each leads to: all of both families when nobody says.
fn hosts(spec: &PortSpec, target: Target) -> Result<Vec<(IpAddr, IpAddr)>, Error> {
    let v4 = |host: Ipv4Addr| (host.into(), target.v4.into());
    match (spec.address, target.v6) {
        (None, None) => Ok(vec![v4(Ipv4Addr::UNSPECIFIED)]),
        (None, Some(v6)) => Ok(vec![v4(Ipv4Addr::UNSPECIFIED), (Ipv6Addr::UNSPECIFIED.into(), v6.into())]),
        (Some(IpAddr::V4(host)), _) => Ok(vec![v4(host)]),
        (Some(IpAddr::V6(host)), Some(v6)) => Ok(vec![(host.into(), v6.into())]),
        (Some(IpAddr::V6(host)), None) => {
            let why = "an IPv6 address needs a network with an IPv6 subnet";
            Err(Error::PortWords { text: host.to_string(), why })
        }
    }
}

/// The number, chosen by the kernel for 0, if a program could listen there now. Our rules would take its connections from
/// a program that already does.
fn probe(port: Port) -> Result<u16, Error> {
    let address = SocketAddr::new(port.address, port.number);
    let bound = match port.protocol {
        Protocol::Tcp => TcpListener::bind(address).and_then(|socket| socket.local_addr()),
        Protocol::Udp => UdpSocket::bind(address).and_then(|socket| socket.local_addr()),
    };
    match bound {
        Ok(address) => Ok(address.port()),
        Err(error) if error.raw_os_error() == Some(Errno::EADDRINUSE as i32) => Err(Error::PortInUse { port }),
        Err(error) => {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32));
            Err(Error::errno("publish the port", port)(errno))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> PortSpec {
        text.parse().unwrap()
    }

    #[test]
    fn ports_are_read_in_dockers_words() {
        let tcp = |address: Option<&str>, host: Option<RangeInclusive<u16>>, container| PortSpec {
            address: address.map(|address| address.parse().unwrap()),
            host,
            container,
            protocol: Protocol::Tcp,
        };
        assert_eq!(spec("80"), tcp(None, None, 80..=80));
        assert_eq!(spec("8080:80"), tcp(None, Some(8080..=8080), 80..=80));
        assert_eq!(spec("8080:80/udp").protocol, Protocol::Udp);
        assert_eq!(spec("127.0.0.1:8080:80"), tcp(Some("127.0.0.1"), Some(8080..=8080), 80..=80));
        assert_eq!(spec("127.0.0.1::80"), tcp(Some("127.0.0.1"), None, 80..=80));
        assert_eq!(spec("[::1]:8080:80"), tcp(Some("::1"), Some(8080..=8080), 80..=80));
        assert_eq!(spec("8000-8010:80"), tcp(None, Some(8000..=8010), 80..=80));
        assert_eq!(spec("8000-8001:80-81"), tcp(None, Some(8000..=8001), 80..=81));
    }

    #[test]
    fn wrong_words_say_why() {
        for (text, why) in [
            ("", "the container's port"),
            ("0", "the container's port"),
            ("65536", "the container's port"),
            ("+80", "the container's port"),
            ("81-80", "the container's port"),
            ("x:80", "the host's port"),
            ("localhost:8080:80", "the address"),
            ("80/icmp", "the protocol"),
            ("8000-8001:80-82", "the two ranges"),
        ] {
            let error = text.parse::<PortSpec>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_free_port_is_chosen_and_one_in_use_is_refused() {
        let target = Target { v4: Ipv4Addr::new(172, 20, 0, 2), v6: None };
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let busy = busy.local_addr().unwrap().port();
        let holder = TcpListener::bind(("127.0.0.1", busy));
        let taken = spec(&format!("127.0.0.1:{busy}:80"));
        assert_eq!(choose(&[taken], target, &[]).is_err(), holder.is_err());
        let free = choose(&[spec("127.0.0.1::80"), spec("127.0.0.1::80")], target, &[]).unwrap();
        assert!(free.iter().all(|published| published.port.number != 0 && published.container_port == 80));
    }
}
