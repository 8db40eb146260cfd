//! What a network is, before the kernel knows of it.

use crate::{Error, Subnet, Subnet6};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What the names of our bridges begin with: rules know them by it.
pub(crate) const OURS: &[u8] = b"tara";
/// What the names of the host's ends of our veth pairs begin with. No bridge is called so: after `tara` it has only digits of base 16.
pub(crate) const PORTS: &[u8] = b"tarav";
/// The network of containers that ask for none in particular.
pub const DEFAULT: &str = "bridge";

/// What a network is asked to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Its name; [`DEFAULT`] has the bridge `tara0`.
    pub name: String,
    /// Its addresses; the first free of the usual ones when nobody says.
    pub subnet: Option<Subnet>,
    /// The host's address in it; the first when nobody says.
    pub gateway: Option<Ipv4Addr>,
    /// The part of it whose addresses are given to those who ask for none in particular; all of it when nobody says.
    pub range: Option<Subnet>,
    /// Its IPv6 addresses; without it there is no IPv6.
    pub subnet6: Option<Subnet6>,
    /// Whether it has no way out.
    pub internal: bool,
}

/// A network with all that was left open decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The name of its bridge.
    pub bridge: String,
    /// Its addresses.
    pub subnet: Subnet,
    /// The host's address in it.
    pub gateway: Ipv4Addr,
    /// The part of it whose addresses are given to those who ask for none in particular.
    pub range: Option<Subnet>,
    /// Its IPv6 addresses.
    pub subnet6: Option<Subnet6>,
    /// Whether it has no way out.
    pub internal: bool,
}

impl Settings {
    /// The default network.
    #[must_use]
    pub fn default_network() -> Self {
        Self { name: DEFAULT.to_owned(), ..Self::default() }
    }

    /// The network with these addresses.
    ///
    /// # Errors
    /// [`Error::NetworkName`]; [`Error::Gateway`] for one that is not a host's address of `subnet`.
    pub fn on(&self, subnet: Subnet) -> Result<Network, Error> {
        check_name(&self.name)?;
        let gateway = self.gateway.unwrap_or_else(|| Ipv4Addr::from_bits(subnet.base().to_bits() + 1));
        if !subnet.contains(gateway) || gateway == subnet.base() || gateway == subnet.broadcast() {
            return Err(Error::Gateway { gateway: gateway.into(), subnet: subnet.to_string() });
        }
        if let Some(range) =
            self.range.filter(|range| !subnet.contains(range.base()) || !subnet.contains(range.broadcast()))
        {
            return Err(Error::Range { range, subnet });
        }
        Ok(Network {
            name: self.name.clone(),
            bridge: bridge_name(&self.name),
            subnet,
            gateway,
            range: self.range,
            subnet6: self.subnet6,
            internal: self.internal,
        })
    }
}

impl Network {
    /// The addresses for containers that ask for none in particular.
    pub fn hosts(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let (subnet, range) = (self.subnet, self.range.unwrap_or(self.subnet));
        // The ends of a part are addresses like others, the ends of the whole are not.
        let all = range.base().to_bits()..=range.broadcast().to_bits();
        let is_host = move |address: &Ipv4Addr| ![subnet.base(), subnet.broadcast()].contains(address);
        all.map(Ipv4Addr::from_bits).filter(is_host)
    }

    /// The host's IPv6 address in it.
    #[must_use]
    pub fn gateway6(&self) -> Option<Ipv6Addr> {
        self.subnet6.map(|subnet| subnet.of_v4(self.gateway))
    }

    /// Reads what [`fmt::Display`] wrote.
    pub(crate) fn parse(name: &str, text: &str) -> Option<Self> {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        Some(Self {
            name: name.to_owned(),
            bridge: bridge_name(name),
            subnet: value("subnet")?.parse().ok()?,
            gateway: value("gateway")?.parse().ok()?,
            range: value("range").map(str::parse).transpose().ok()?,
            subnet6: value("subnet6").map(str::parse).transpose().ok()?,
            internal: value("internal")? == "true",
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "subnet {}\ngateway {}\ninternal {}", self.subnet, self.gateway, self.internal)?;
        self.range.map_or(Ok(()), |range| writeln!(f, "range {range}"))?;
        self.subnet6.map_or(Ok(()), |subnet| writeln!(f, "subnet6 {subnet}"))
    }
}

/// A link's name has 15 bytes: `tara` and eleven digits of the name's hash (FNV-1a).
pub(crate) fn bridge_name(name: &str) -> String {
    if name == DEFAULT {
        return "tara0".to_owned();
    }
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("tara{:011x}", hash & 0xfff_ffff_ffff)
}

/// Names become directories: docker's rule for them.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let well =
        name.len() <= 64 && name.bytes().all(allowed) && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if well { Ok(()) } else { Err(Error::NetworkName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_as_it_was_written() {
        let settings = Settings {
            name: "db".into(),
            subnet6: Some("fd00::/64".parse().unwrap()),
            range: Some("172.21.8.0/30".parse().unwrap()),
            ..Settings::default()
        };
        let network = settings.on("172.21.0.0/16".parse().unwrap()).unwrap();
        assert_eq!(network.gateway.to_string(), "172.21.0.1");
        assert_eq!(network.gateway6().unwrap().to_string(), "fd00::ac15:1");
        assert_eq!(Network::parse("db", &network.to_string()), Some(network));
        assert_eq!(Network::parse("db", "subnet x"), None);
    }

    #[test]
    fn a_part_of_the_subnet_has_all_its_addresses() {
        let on = |range: &str| {
            let settings = Settings { range: range.parse().ok(), ..Settings::default_network() };
            settings.on("172.21.0.0/24".parse().unwrap())
        };
        let hosts = |range: &str| on(range).unwrap().hosts().map(|host| host.octets()[3]).collect::<Vec<_>>();
        assert_eq!(hosts("172.21.0.8/30"), [8, 9, 10, 11]);
        assert_eq!(hosts("172.21.0.252/30"), [252, 253, 254]);
        assert!(matches!(on("172.21.1.0/30"), Err(Error::Range { .. })));
        assert!(matches!(on("172.21.0.0/16"), Err(Error::Range { .. })));
    }

    #[test]
    fn the_gateway_is_in_the_subnet() {
        let subnet: Subnet = "172.21.0.0/24".parse().unwrap();
        for gateway in ["172.21.1.1", "172.21.0.0", "172.21.0.255"] {
            let settings = Settings { gateway: gateway.parse().ok(), ..Settings::default_network() };
            assert!(matches!(settings.on(subnet), Err(Error::Gateway { .. })), "{gateway}");
        }
    }

    #[test]
    fn a_bridge_is_named_after_its_network() {
        assert_eq!(bridge_name(DEFAULT), "tara0");
        assert_eq!(bridge_name("db").len(), 15);
        assert_ne!(bridge_name("db"), bridge_name("web"));
        for bad in ["", "-a", "a/b", "..", "a b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
