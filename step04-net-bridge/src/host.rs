//! What addresses this host already has a use for.

use crate::address::overlap;
use crate::netlink::rt::{self, GETADDR, GETROUTE, NEWADDR, NEWROUTE};
use crate::netlink::{Socket, find};
use crate::{Error, Subnet, Subnet6};
use nix::net::if_::if_indextoname;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses in use, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Use {
    network: (IpAddr, u8),
    what: &'static str,
    link: String,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.what == "route" { "through" } else { "of" };
        write!(f, "{} {}/{} {by} `{}`", self.what, self.network.0, self.network.1, self.link)
    }
}

/// The routes and addresses of this host. Not the default route: it leads to whatever is not here.
#[derive(Debug, Clone)]
pub struct HostAddresses(Vec<Use>);

impl HostAddresses {
    /// Asks the kernel. Those of the link `except` do not count: it is the bridge in question.
    ///
    /// # Errors
    /// When rtnetlink cannot be asked.
    pub fn ask(except: &str) -> Result<Self, Error> {
        let socket = Socket::route().map_err(Error::errno("open a socket to", "rtnetlink"))?;
        let mut all = Vec::new();
        for kind in [GETROUTE, GETADDR] {
            let listing = Error::kernel("list the routes and addresses of", "this host");
            socket
                .dump(&rt::ask_for_all(kind), |kind, body| match kind {
                    NEWROUTE => all.extend(route(body)),
                    NEWADDR => all.extend(address(body)),
                    _ => {}
                })
                .map_err(listing)?;
        }
        all.retain(|found| found.link != except);
        Ok(Self(all))
    }

    /// Refuses a subnet that is in use here.
    ///
    /// # Errors
    /// [`Error::SubnetTaken`], which names the route or address.
    pub fn check(&self, subnet: Subnet) -> Result<(), Error> {
        self.check_network((subnet.base().into(), subnet.prefix()), &subnet)
    }

    /// The same for IPv6.
    ///
    /// # Errors
    /// [`Error::SubnetTaken`].
    pub fn check6(&self, subnet: Subnet6) -> Result<(), Error> {
        self.check_network((subnet.base().into(), subnet.prefix()), &subnet)
    }

    fn check_network(&self, network: (IpAddr, u8), shown: &dyn fmt::Display) -> Result<(), Error> {
        let taken = self.0.iter().find(|found| overlap(found.network, network));
        taken.map_or(Ok(()), |taken| Err(Error::SubnetTaken { subnet: shown.to_string(), taken: taken.to_string() }))
    }

    /// The first of the usual subnets that is free: 172.20.0.0/16 to 172.31.0.0/16, 192.168.x.0/20, then within 10.0.0.0/8.
    ///
    /// # Errors
    /// [`Error::NoFreeSubnet`].
    pub fn free_subnet(&self, others: &[Subnet]) -> Result<Subnet, Error> {
        let candidates = (20..32).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
        let candidates = candidates.chain((0..16).map(|third| (Ipv4Addr::new(192, 168, third * 16, 0), 20)));
        let candidates = candidates.chain((0..=255).map(|second| (Ipv4Addr::new(10, second, 0, 0), 16)));
        let mut subnets = candidates.filter_map(|(base, prefix)| Subnet::of(base, prefix));
        let is_free =
            |subnet: &Subnet| self.check(*subnet).is_ok() && !others.iter().any(|other| other.overlaps(*subnet));
        subnets.find(is_free).ok_or(Error::NoFreeSubnet)
    }
}

/// `struct rtmsg`: family, bits of the destination, …, table, …, type.
fn route(body: &[u8]) -> Option<Use> {
    const LOCAL_TABLE: u8 = 255;
    let (header, attributes) = body.split_at_checked(12)?;
    let (prefix, table) = (header[1], header[4]);
    if prefix == 0 || table == LOCAL_TABLE {
        return None;
    }
    let destination = parse(find(attributes, rt::route::DESTINATION)?)?;
    let link = find(attributes, rt::route::OUT).map_or(String::new(), |index| link_name(crate::netlink::word(index)));
    usable(destination).then_some(Use { network: (destination, prefix), what: "route", link })
}

/// `struct ifaddrmsg`: family, bits, flags, scope, index.
fn address(body: &[u8]) -> Option<Use> {
    let (header, attributes) = body.split_at_checked(8)?;
    let own = find(attributes, rt::address::LOCAL).or_else(|| find(attributes, rt::address::ADDRESS));
    let own = parse(own?)?;
    let link = link_name(crate::netlink::word(&header[4..]));
    usable(own).then_some(Use { network: (own, header[1]), what: "address", link })
}

/// Every link has link-local and group addresses: they collide with nothing.
fn usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_multicast(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_multicast() && !address.is_unicast_link_local(),
    }
}

fn parse(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::from(Ipv6Addr::from(octets)))).ok()
}

fn link_name(index: u32) -> String {
    if_indextoname(index).map_or_else(|_| format!("link {index}"), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(routes: &[(&str, u8)]) -> HostAddresses {
        let route = |(base, prefix): &(&str, u8)| Use {
            network: (base.parse().unwrap(), *prefix),
            what: "route",
            link: "eth0".into(),
        };
        HostAddresses(routes.iter().map(route).collect())
    }

    #[test]
    fn the_first_free_subnet_is_chosen() {
        let first = |routes, others: &[&str]| {
            let others: Vec<Subnet> = others.iter().map(|other| other.parse().unwrap()).collect();
            host(routes).free_subnet(&others).unwrap().to_string()
        };
        assert_eq!(first(&[("10.0.0.0", 8)], &[]), "172.20.0.0/16");
        assert_eq!(first(&[("172.20.7.0", 24)], &["172.21.0.0/24"]), "172.22.0.0/16");
        assert_eq!(first(&[("172.16.0.0", 12)], &[]), "192.168.0.0/20");
        assert_eq!(first(&[("172.16.0.0", 12), ("192.168.0.0", 16)], &[]), "10.0.0.0/16");
        let nothing = host(&[("172.16.0.0", 12), ("192.168.0.0", 16), ("10.0.0.0", 8)]).free_subnet(&[]);
        assert!(matches!(nothing, Err(Error::NoFreeSubnet)));
    }

    #[test]
    fn a_collision_names_the_route() {
        let error = host(&[("10.8.0.0", 16)]).check("10.0.0.0/8".parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the subnet 10.0.0.0/8 collides with this host's route 10.8.0.0/16 through `eth0`"
        );
    }
}
