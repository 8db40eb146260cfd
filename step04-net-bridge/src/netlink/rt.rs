//! The words of rtnetlink(7): links, addresses, routes. Numbers from `linux/rtnetlink.h`, `linux/if_link.h`, `linux/veth.h`.

use super::batch::{Batch, CREATE, DUMP, EXCLUSIVE};
use std::net::IpAddr;

pub(crate) const NEWLINK: u16 = 16;
pub(crate) const DELLINK: u16 = 17;
pub(crate) const GETLINK: u16 = 18;
pub(crate) const NEWADDR: u16 = 20;
pub(crate) const GETADDR: u16 = 22;
pub(crate) const NEWROUTE: u16 = 24;
pub(crate) const GETROUTE: u16 = 26;

/// Attributes of a link (`IFLA_*`).
pub(crate) mod link {
    pub(crate) const ADDRESS: u16 = 1;
    pub(crate) const NAME: u16 = 3;
    pub(crate) const MASTER: u16 = 10;
    pub(crate) const OPERATIONAL_STATE: u16 = 16;
    pub(crate) const INFO: u16 = 18;
    pub(crate) const AF_SPEC: u16 = 26;
    pub(crate) const GROUP: u16 = 27;
    pub(crate) const NETNS_FD: u16 = 28;
    pub(crate) const EXT_MASK: u16 = 29;
    pub(crate) const TX_QUEUES: u16 = 31;
    pub(crate) const RX_QUEUES: u16 = 32;
    /// Within [`INFO`]: the kind, and what belongs to it.
    pub(crate) const INFO_KIND: u16 = 1;
    pub(crate) const INFO_DATA: u16 = 2;
    /// Within [`INFO`]: the kind of the master, and what belongs to a port of it.
    pub(crate) const INFO_PORT_KIND: u16 = 4;
    pub(crate) const INFO_PORT_DATA: u16 = 5;
    /// Within [`INFO_DATA`] of a veth: the other end.
    pub(crate) const PEER: u16 = 1;
    /// Within [`INFO_DATA`] of a bridge.
    pub(crate) const MULTICAST_SNOOPING: u16 = 23;
    /// Within [`INFO_PORT_DATA`] of a bridge's port: what came in may go out again by the same port.
    pub(crate) const PORT_HAIRPIN: u16 = 4;
    /// Within the family IPv6 of [`AF_SPEC`].
    pub(crate) const ADDR_GEN_MODE: u16 = 8;
    pub(crate) const ADDR_GEN_NONE: u8 = 1;
}

/// Attributes of an address (`IFA_*`).
pub(crate) mod address {
    pub(crate) const ADDRESS: u16 = 1;
    pub(crate) const LOCAL: u16 = 2;
    pub(crate) const BROADCAST: u16 = 4;
    /// No duplicate address detection: it takes a second, in which the address cannot be used.
    pub(crate) const NO_DAD: u8 = 2;
}

/// Attributes of a route (`RTA_*`).
pub(crate) mod route {
    pub(crate) const DESTINATION: u16 = 1;
    pub(crate) const OUT: u16 = 4;
    pub(crate) const GATEWAY: u16 = 5;
}

pub(crate) const AF_INET6: u8 = 10;
const AF_INET: u8 = 2;
const UP: u32 = 1;

/// `struct ifinfomsg`: link `index` (0: the one that an attribute names); `up` sets the flag, else flags stay.
pub(crate) fn link_header(index: u32, up: bool) -> [u8; 16] {
    let flag = if up { UP } else { 0 };
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flag.to_ne_bytes());
    bytes[12..16].copy_from_slice(&flag.to_ne_bytes());
    bytes
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

// ANCHOR: address
/// Gives link `index` an address: `struct ifaddrmsg` and attributes. It is used at once.
pub(crate) fn add_address(batch: &mut Batch, index: u32, address: IpAddr, prefix: u8, broadcast: Option<IpAddr>) {
    let [a, b, c, d] = index.to_ne_bytes();
    let header = [family(address), prefix, address::NO_DAD, 0, a, b, c, d];
    batch.message(NEWADDR, CREATE | EXCLUSIVE, &header, |message| {
        message.put(address::LOCAL, &octets(address)).put(address::ADDRESS, &octets(address));
        if let Some(broadcast) = broadcast {
            message.put(address::BROADCAST, &octets(broadcast));
        }
    });
}

/// Sends all that has no better route by `gateway`, through link `index`: `struct rtmsg` and attributes.
pub(crate) fn add_default_route(batch: &mut Batch, index: u32, gateway: IpAddr) {
    const MAIN_TABLE: u8 = 254;
    const BY_BOOT: u8 = 3;
    const UNICAST: u8 = 1;
    let header = [family(gateway), 0, 0, 0, MAIN_TABLE, BY_BOOT, 0, UNICAST, 0, 0, 0, 0];
    batch.message(NEWROUTE, CREATE | EXCLUSIVE, &header, |message| {
        message.put(route::GATEWAY, &octets(gateway)).number(route::OUT, index);
    });
}
// ANCHOR_END: address

/// Asks for all routes or all addresses: `kind` is [`GETROUTE`] or [`GETADDR`].
pub(crate) fn ask_for_all(kind: u16) -> Batch {
    let mut batch = Batch::new();
    // `struct rtmsg` is 12 bytes, `struct ifaddrmsg` 8; zeroes mean any family.
    let header = if kind == GETROUTE { &[0; 12][..] } else { &[0; 8][..] };
    batch.message(kind, DUMP, header, |_| {});
    batch
}

/// Asks for the link `name`, without its statistics. The acknowledgement ends the answer.
pub(crate) fn ask_for_link(name: &str) -> Batch {
    const SKIP_STATISTICS: u32 = 1 << 3;
    let mut batch = Batch::new();
    batch.message(GETLINK, 0, &link_header(0, false), |message| {
        message.string(link::NAME, name).number(link::EXT_MASK, SKIP_STATISTICS);
    });
    batch.acknowledge();
    batch
}
