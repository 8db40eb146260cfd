//! The bridge: a switch in the kernel, with the host's address on it.

use crate::netlink::rt::{self, DELLINK, NEWLINK, link};
use crate::netlink::{Batch, CREATE, EXCLUSIVE, Refusal, Socket, find, text};
use crate::nft::{self, Rules};
use crate::{Error, Mac, Network, sysctl};
use nix::errno::Errno;
use std::net::IpAddr;

/// A network's bridge, up, with the rules that belong to it.
#[derive(Debug)]
pub struct Bridge {
    pub(crate) index: u32,
    pub(crate) network: Network,
    pub(crate) route: Socket,
    pub(crate) rules: Rules,
}

impl Bridge {
    /// The network that it is the bridge of.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The bridge of `network` if it is there whole: it is set up last, so up means whole.
    pub(crate) fn find(network: &Network) -> Result<Option<Self>, Error> {
        let route = Socket::route().map_err(Error::errno("open a socket to", "rtnetlink"))?;
        let rules = Rules::open()?;
        let Some(index) = index_if_up(&route, &network.bridge)? else { return Ok(None) };
        let whole = rules.are_there()?;
        Ok(whole.then(|| Self { index, network: network.clone(), route, rules }))
    }

    /// Makes it, or what is missing of it. Under the lock of all networks.
    // ANCHOR: make
    pub(crate) fn make(network: &Network) -> Result<Self, Error> {
        let route = Socket::route().map_err(Error::errno("open a socket to", "rtnetlink"))?;
        let rules = Rules::open()?;
        let index = create(&route, network)?;
        configure(&route, network, index)?;
        rules.ensure()?;
        nft::add_network(&rules, network)?;
        sysctl::forward(network)?;
        set_up(&route, network, index)?;
        Ok(Self { index, network: network.clone(), route, rules })
    }
    // ANCHOR_END: make

    /// Removes it and what the rules know of it; the rules too when it was the last. Under the lock of all networks.
    pub(crate) fn remove(network: &Network) -> Result<(), Error> {
        let route = Socket::route().map_err(Error::errno("open a socket to", "rtnetlink"))?;
        let rules = Rules::open()?;
        let mut batch = Batch::new();
        batch.message(DELLINK, 0, &rt::link_header(0, false), |message| {
            message.string(link::NAME, &network.bridge);
        });
        match route.request(batch.acknowledge()) {
            Err(Refusal { errno: Errno::ENODEV, .. }) => {}
            result => result.map_err(Error::kernel("remove the bridge", &network.bridge))?,
        }
        nft::remove_network(&rules, network)?;
        if nft::no_networks(&rules)? { rules.remove() } else { Ok(()) }
    }
}

/// The number of the bridge that is made or already there.
fn create(route: &Socket, network: &Network) -> Result<u32, Error> {
    let mut batch = Batch::new();
    batch.message(NEWLINK, CREATE | EXCLUSIVE, &rt::link_header(0, false), |message| {
        message.string(link::NAME, &network.bridge);
        // Its own hardware address: else it would take the lowest of its ports', and change it when they come and go.
        message.put(link::ADDRESS, &Mac::of_v4(network.gateway).0);
        message.nest(link::INFO, |info| {
            info.put(link::INFO_KIND, b"bridge").nest(link::INFO_DATA, |data| {
                // Groups are few and small here: tell all ports, and keep no table.
                data.put(link::MULTICAST_SNOOPING, &[0]);
            });
        });
    });
    match route.request(batch.acknowledge()) {
        Err(Refusal { errno: Errno::EEXIST, .. }) => {}
        result => result.map_err(Error::kernel("make the bridge", &network.bridge))?,
    }
    let index = nix::net::if_::if_nametoindex(network.bridge.as_str());
    index.map_err(Error::errno("find the bridge", &network.bridge))
}

fn configure(route: &Socket, network: &Network, index: u32) -> Result<(), Error> {
    if sysctl::has_ipv6() {
        let mut batch = Batch::new();
        without_link_local(&mut batch, index);
        route.request(batch.acknowledge()).map_err(Error::kernel("configure the bridge", &network.bridge))?;
    }
    let v4 = (IpAddr::V4(network.gateway), network.subnet.prefix(), Some(network.subnet.broadcast().into()));
    let v6 = network.subnet6.zip(network.gateway6()).map(|(subnet, gateway)| (gateway.into(), subnet.prefix(), None));
    for (address, prefix, broadcast) in [Some(v4), v6].into_iter().flatten() {
        let mut batch = Batch::new();
        rt::add_address(&mut batch, index, address, prefix, broadcast);
        match route.request(batch.acknowledge()) {
            Err(Refusal { errno: Errno::EEXIST, .. }) => {}
            result => result.map_err(Error::kernel("give the bridge the address", address))?,
        }
    }
    Ok(())
}

/// No address that the kernel makes up for IPv6, and nothing said to the link about it.
pub(crate) fn without_link_local(batch: &mut Batch, index: u32) {
    batch.message(NEWLINK, 0, &rt::link_header(index, false), |message| {
        message.nest(link::AF_SPEC, |families| {
            families.nest(rt::AF_INET6.into(), |v6| {
                v6.put(link::ADDR_GEN_MODE, &[link::ADDR_GEN_NONE]);
            });
        });
    });
}

fn set_up(route: &Socket, network: &Network, index: u32) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.message(NEWLINK, 0, &rt::link_header(index, true), |_| {});
    route.request(batch.acknowledge()).map_err(Error::kernel("set up the bridge", &network.bridge))
}

/// The number of the link `name` if it is there and up.
fn index_if_up(route: &Socket, name: &str) -> Result<Option<u32>, Error> {
    const UP: u32 = 1;
    let mut found = None;
    let asked = route.dump(&rt::ask_for_link(name), |_, body| {
        let number = |at: usize| body.get(at..).map_or(0, crate::netlink::word);
        let its_name = body.get(16..).and_then(|attributes| find(attributes, link::NAME)).map(text);
        if its_name.as_deref() == Some(name) && number(8) & UP != 0 {
            found = Some(number(4));
        }
    });
    match asked {
        Err(Refusal { errno: Errno::ENODEV, .. }) => Ok(None),
        result => result.map(|()| found).map_err(Error::kernel("look for the bridge", name)),
    }
}
