//! Subnets, and what follows from an address: the others of a container are derived from its IPv4 address.

use crate::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IPv4 subnet: a network address and how many of its bits are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnet {
    base: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// The subnet of `prefix` bits that `address` is in; `None` for more than 32.
    #[must_use]
    pub fn of(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self { base: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix })
    }

    /// How many bits are fixed.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The first address, which names the subnet.
    #[must_use]
    pub fn base(self) -> Ipv4Addr {
        self.base
    }

    /// The last address, which reaches all of the subnet.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() | !mask(self.prefix))
    }

    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.base.to_bits()
    }

    /// Whether an address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// The addresses that a host may have, the lowest first.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.base.to_bits() + 1..self.broadcast().to_bits()).map(Ipv4Addr::from_bits)
    }
}

const fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
}

impl FromStr for Subnet {
    type Err = Error;

    /// `172.20.0.0/16`. Room is needed for the gateway and a container: /30 and larger; and nobody has more than a /8.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Subnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(refused)?;
        let address: Ipv4Addr = address.parse().map_err(|_| refused())?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| (8..=30).contains(prefix)).ok_or_else(refused)?;
        let usable = !(address.is_loopback() || address.is_multicast() || address.is_unspecified());
        let subnet = Self::of(address, prefix).filter(|subnet| usable && subnet.base == address);
        subnet.ok_or_else(refused)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// An IPv6 subnet, at most 96 bits fixed: the last 32 of an address in it are those of the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet6 {
    base: Ipv6Addr,
    prefix: u8,
}

impl Subnet6 {
    /// How many bits are fixed.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The first address, which names the subnet.
    #[must_use]
    pub fn base(self) -> Ipv6Addr {
        self.base
    }

    /// The last address.
    pub(crate) fn last(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.base.to_bits() | u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0))
    }

    /// The address in this subnet of whoever has `address`: `fd00::/64` and `172.20.0.2` make `fd00::172.20.0.2`, which is
    /// written `fd00::ac14:2`.
    // ANCHOR: derived
    #[must_use]
    pub fn of_v4(self, address: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.base.to_bits() | u128::from(address.to_bits()))
    }
    // ANCHOR_END: derived
}

impl FromStr for Subnet6 {
    type Err = Error;

    /// `fd00:1::/64`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Subnet(text.to_owned());
        let (base, prefix) = text.split_once('/').ok_or_else(refused)?;
        let base: Ipv6Addr = base.parse().map_err(|_| refused())?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| (3..=96).contains(prefix)).ok_or_else(refused)?;
        let rest = u128::MAX >> prefix;
        (base.to_bits() & rest == 0 && !base.is_multicast()).then_some(Self { base, prefix }).ok_or_else(refused)
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// A link's hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The first two bytes of the addresses that are derived: docker's. The bit 2 of the first says "given out locally".
    pub(crate) const DERIVED: [u8; 2] = [0x02, 0x42];

    /// The hardware address of whoever has `address`. So a container that takes over an address takes over the hardware address
    /// with it, and nobody's ARP cache is wrong.
    // ANCHOR: mac
    #[must_use]
    pub fn of_v4(address: Ipv4Addr) -> Self {
        let ([x, y], [a, b, c, d]) = (Self::DERIVED, address.octets());
        Self([x, y, a, b, c, d])
    }
    // ANCHOR_END: mac
}

impl FromStr for Mac {
    type Err = Error;

    /// `02:42:ac:14:00:02`; not the address of a group.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Mac(text.to_owned());
        let byte = |pair: &str| (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok()).flatten();
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let bytes: [u8; 6] = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(refused)?;
        (bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(Self(bytes)).ok_or_else(refused)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Whether two networks, as address and prefix, have an address in common.
pub(crate) fn overlap(one: (IpAddr, u8), other: (IpAddr, u8)) -> bool {
    let prefix = one.1.min(other.1);
    match (one.0, other.0) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()) & mask(prefix.min(32)) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(128 - u32::from(prefix.min(128))).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_begins_at_its_first_address() {
        let subnet: Subnet = "172.20.0.0/16".parse().unwrap();
        assert_eq!(subnet.hosts().next(), Some(Ipv4Addr::new(172, 20, 0, 1)));
        assert_eq!(subnet.hosts().count(), 65534);
        assert_eq!(subnet.broadcast(), Ipv4Addr::new(172, 20, 255, 255));
        assert_eq!(subnet.to_string(), "172.20.0.0/16");
        for bad in ["172.20.0.1/16", "172.20.0.0", "172.20.0.0/31", "10.0.0.0/7", "127.0.0.0/8", "x/16", "224.0.0.0/8"]
        {
            assert!(matches!(bad.parse::<Subnet>(), Err(Error::Subnet(_))), "{bad}");
        }
    }

    #[test]
    fn subnets_overlap_when_one_is_within_the_other() {
        let subnet = |text: &str| text.parse::<Subnet>().unwrap();
        assert!(subnet("172.20.0.0/16").overlaps(subnet("172.20.5.0/24")));
        assert!(subnet("172.20.5.0/24").overlaps(subnet("172.16.0.0/12")));
        assert!(!subnet("172.20.0.0/16").overlaps(subnet("172.21.0.0/16")));
        let v6 = |text: &str| (text.parse::<IpAddr>().unwrap(), 64);
        assert!(overlap(v6("fd00::"), v6("fd00::5")) && !overlap(v6("fd00::"), v6("fd00:0:0:1::")));
        assert!(overlap((Ipv6Addr::UNSPECIFIED.into(), 0), v6("fd00::")));
    }

    #[test]
    fn the_other_addresses_follow_from_the_ipv4_address() {
        let address = Ipv4Addr::new(172, 20, 0, 2);
        assert_eq!(Mac::of_v4(address).to_string(), "02:42:ac:14:00:02");
        let subnet: Subnet6 = "fd00:1::/64".parse().unwrap();
        assert_eq!(subnet.of_v4(address).to_string(), "fd00:1::ac14:2");
        assert_eq!(subnet.last().to_string(), "fd00:1::ffff:ffff:ffff:ffff");
        for bad in ["fd00::1/64", "fd00::/97", "ff00::/8", "fd00::"] {
            assert!(matches!(bad.parse::<Subnet6>(), Err(Error::Subnet(_))), "{bad}");
        }
    }

    #[test]
    fn a_hardware_address_is_of_one_host() {
        assert_eq!("02:42:ac:14:00:02".parse::<Mac>().unwrap().0[5], 2);
        for bad in ["01:42:ac:14:00:02", "00:00:00:00:00:00", "02:42:ac:14:00", "2:42:ac:14:00:02", ""] {
            assert!(matches!(bad.parse::<Mac>(), Err(Error::Mac(_))), "{bad}");
        }
    }
}
