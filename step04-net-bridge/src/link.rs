//! A link of the host, given away: it becomes another namespace's.

use crate::netlink::rt::{self, NEWLINK, link};
use crate::netlink::{Batch, Socket};
use crate::{Error, Netns};
use std::os::fd::{AsFd, AsRawFd};

/// Moves the link `name` into `netns`, where it is called `inside` and is up. Its addresses stay behind, as the kernel does it.
///
/// # Errors
/// ENODEV for a link that is not there, EEXIST when the name is taken in there. Source: rtnetlink(7), `IFLA_NET_NS_FD`.
pub fn give_link(name: &str, netns: &Netns, inside: &str) -> Result<(), Error> {
    let route = Socket::route().map_err(Error::errno("open a socket for", name))?;
    let index = nix::net::if_::if_nametoindex(name).map_err(Error::errno("find the link", name))?;
    let mut batch = Batch::new();
    batch.message(NEWLINK, 0, &rt::link_header(index, false), |message| {
        message.number(link::NETNS_FD, netns.as_fd().as_raw_fd().cast_unsigned()).string(link::NAME, inside);
    });
    route.request(batch.acknowledge()).map_err(Error::kernel("give the link away:", name))?;
    netns.within(|| {
        let route = Socket::route().map_err(Error::errno("open a socket for", inside))?;
        let index = nix::net::if_::if_nametoindex(inside).map_err(Error::errno("find the link", inside))?;
        let mut batch = Batch::new();
        batch.message(NEWLINK, 0, &rt::link_header(index, true), |_| {});
        route.request(batch.acknowledge()).map_err(Error::kernel("set up the link", inside))
    })
}
