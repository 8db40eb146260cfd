//! The pair of links that joins a container to the bridge: what goes in at one end comes out at the other. Source: veth(4).

use crate::bridge::{Bridge, without_link_local};
use crate::netlink::rt::{self, DELLINK, NEWLINK, link};
use crate::netlink::{Batch, CREATE, EXCLUSIVE, Refusal, Socket, find};
use crate::{Error, Lease, Mac, Netns, sysctl};
use nix::errno::Errno;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

/// The name of the host's end: which of the container's links it is (one digit or letter), and the beginning of the container's id.
#[must_use]
pub fn host_end(id: &str, interface: u8) -> String {
    let number = char::from_digit(u32::from(interface) % 36, 36).unwrap_or('0');
    let short: String = id.chars().filter(char::is_ascii_alphanumeric).take(9).collect();
    format!("tarav{number}{short}")
}

/// The group number of the host's end: the container's address, so that rules can compare the two byte by byte.
pub(crate) fn group(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

/// Makes both ends, one a port of the bridge and up, the other in the container's namespace, by one message.
///
/// It is never removed: it goes with the container's namespace. (Removing it costs 12 to 28 ms, in which one waits.)
// ANCHOR: pair
pub(crate) fn make(bridge: &Bridge, lease: &Lease, netns: &Netns) -> Result<(), Error> {
    let name = host_end(&lease.id, lease.interface);
    let fd = netns.as_fd().as_raw_fd().cast_unsigned();
    let mut batch = Batch::new();
    batch.message(NEWLINK, CREATE | EXCLUSIVE, &rt::link_header(0, true), |host_end| {
        host_end.string(link::NAME, &name).number(link::MASTER, bridge.index);
        host_end.number(link::GROUP, group(lease.address));
        one_queue(host_end).nest(link::INFO, |info| {
            info.put(link::INFO_KIND, b"veth").nest(link::INFO_DATA, |data| {
                data.nest(link::PEER, |peer| {
                    // Not up yet: an end whose partner is not registered cannot be (ENOTCONN).
                    peer.raw(&rt::link_header(0, false)).string(link::NAME, &container_end(lease.interface));
                    one_queue(peer).put(link::ADDRESS, &lease.mac.0).number(link::NETNS_FD, fd);
                });
            });
        });
    });
    if sysctl::bridges_ask_ip_rules() {
        // Then a container's packet to its own published port is turned around on the bridge, and leaves where it came in.
        hairpin(&mut batch, &name);
    }
    match bridge.route.request(batch.acknowledge()) {
        // The container was restarted, and the kernel is still taking its last namespace apart.
        Err(Refusal { errno: Errno::EEXIST, .. }) => {
            // By the bridge's connection: this thread may be in the container's namespace already.
            remove_by(&bridge.route, &name)?;
            bridge.route.request(&batch)
        }
        result => result,
    }
    .map_err(Error::kernel("make the veth pair", name))
}
// ANCHOR_END: pair

/// A queue a processor is the default, and costs memory and time at each start.
fn one_queue(batch: &mut Batch) -> &mut Batch {
    batch.number(link::TX_QUEUES, 1).number(link::RX_QUEUES, 1)
}

fn hairpin(batch: &mut Batch, name: &str) {
    batch.message(NEWLINK, 0, &rt::link_header(0, false), |message| {
        message.string(link::NAME, name).nest(link::INFO, |info| {
            info.put(link::INFO_PORT_KIND, b"bridge").nest(link::INFO_PORT_DATA, |port| {
                port.put(link::PORT_HAIRPIN, &[1]);
            });
        });
    });
}

/// `eth0`, `eth1`, …
fn container_end(interface: u8) -> String {
    format!("eth{interface}")
}

/// In the container's namespace: loopback and the container's end up, its addresses, the way out. One send, one answer.
// ANCHOR: inside
pub(crate) fn configure(bridge: &Bridge, lease: &Lease) -> Result<(), Error> {
    let name = container_end(lease.interface);
    let route = Socket::route().map_err(Error::errno("open a socket in the namespace of", &lease.id))?;
    let index = nix::net::if_::if_nametoindex(name.as_str()).map_err(Error::errno("find the link", &name))?;
    let (network, mut batch) = (&bridge.network, Batch::new());
    batch.message(NEWLINK, 0, &rt::link_header(LOOPBACK, true), |_| {});
    if sysctl::has_ipv6() {
        without_link_local(&mut batch, index);
    }
    batch.message(NEWLINK, 0, &rt::link_header(index, true), |_| {});
    let broadcast = network.subnet.broadcast().into();
    rt::add_address(&mut batch, index, lease.address.into(), network.subnet.prefix(), Some(broadcast));
    if let Some(subnet) = network.subnet6 {
        rt::add_address(&mut batch, index, subnet.of_v4(lease.address).into(), subnet.prefix(), None);
    }
    // One way out is enough: that of the first network.
    if !network.internal && lease.interface == 0 {
        rt::add_default_route(&mut batch, index, network.gateway.into());
        if let Some(gateway) = network.gateway6() {
            rt::add_default_route(&mut batch, index, gateway.into());
        }
    }
    route.request(batch.acknowledge()).map_err(Error::kernel("configure the container's link", &name))
}
// ANCHOR_END: inside

/// Waits until packets pass.
///
/// That the container's end is up reaches the host's end, and then the bridge, by a worker of the kernel (linkwatch), so a moment
/// later: until then they drop what they are to send. What is lost is asked for again only after a second. Without news
/// the container starts all the same.
// ANCHOR: operational
pub(crate) fn wait_until_operational(bridge: &Bridge, lease: &Lease) -> Result<(), Error> {
    const AT_MOST: Duration = Duration::from_secs(2);
    let begin = Instant::now();
    for name in [&host_end(&lease.id, lease.interface), &bridge.network.bridge] {
        let mut pause = Duration::from_micros(20);
        while !is_operational(bridge, name)? && begin.elapsed() < AT_MOST {
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }
    Ok(())
}
// ANCHOR_END: operational

/// Source: Documentation/networking/operstates.rst, `IF_OPER_UP`.
fn is_operational(bridge: &Bridge, name: &str) -> Result<bool, Error> {
    const UP: &[u8] = &[6];
    let mut up = false;
    let state = |body: &[u8]| find(body.get(16..)?, link::OPERATIONAL_STATE).map(|state| state == UP);
    let asked = bridge.route.dump(&rt::ask_for_link(name), |_, body| up = state(body).unwrap_or(true));
    asked.map(|()| up).map_err(Error::kernel("ask for the state of the link", name))
}

/// Removes the pair by the host's end, for a container that lives on or whose end nobody saw. None there is as good.
pub(crate) fn remove(id: &str, interface: u8) -> Result<(), Error> {
    let route = Socket::route().map_err(Error::errno("open a socket to", "rtnetlink"))?;
    remove_by(&route, &host_end(id, interface))
}

fn remove_by(route: &Socket, name: &str) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.message(DELLINK, 0, &rt::link_header(0, false), |message| {
        message.string(link::NAME, name);
    });
    match route.request(batch.acknowledge()) {
        Err(Refusal { errno: Errno::ENODEV, .. }) => Ok(()),
        result => result.map_err(Error::kernel("remove the veth pair", name)),
    }
}

/// The number of `lo` in every namespace.
const LOOPBACK: u32 = 1;

/// The container's hardware address: the derived one, if no other was chosen.
pub(crate) fn mac(chosen: Option<Mac>, address: Ipv4Addr) -> Mac {
    chosen.unwrap_or_else(|| Mac::of_v4(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_end_is_named_after_the_container() {
        assert_eq!(host_end("0123456789abcdef", 0), "tarav0012345678");
        assert_eq!(host_end("0123456789abcdef", 11), "taravb012345678");
        assert!(host_end(&"f".repeat(64), 255).len() <= 15);
    }

    #[test]
    fn the_group_is_the_address_as_it_is_in_a_packet() {
        assert_eq!(group(Ipv4Addr::new(172, 20, 0, 2)).to_ne_bytes(), [172, 20, 0, 2]);
    }
}
