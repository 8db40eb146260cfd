//! The rules, in a table of our own: masquerading, published ports, networks apart, nobody under a false address.
//!
//! The rules never change. What changes are the elements of sets and maps: one a network, one a published port. Nothing of anybody
//! else's is read, let alone edited, but for the policies of forward chains ([`Blocker`]). The table can be looked at by
//! `nft list table inet tara` and `nft list table bridge tara`.

mod blocker;
mod elements;
mod guard;
mod ports;
mod rule;
mod ruleset;

pub use blocker::{Blocker, forward_blocker};
pub(crate) use elements::{add_network, chosen_mac, no_networks, remove_network};
pub use ports::Published;
pub use ports::published;
pub(crate) use ports::{add_ports, remove_ports};

use crate::Error;
use crate::netlink::nf::{DELTABLE, Family, GETTABLE, header};
use crate::netlink::{Batch, Refusal, Socket};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// The name of our tables.
pub(crate) const TABLE: &str = "tara";

impl AsFd for Rules {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A connection to nf_tables in the network namespace of whoever opened it.
#[derive(Debug)]
pub(crate) struct Rules {
    socket: Socket,
}

impl Rules {
    pub(crate) fn open() -> Result<Self, Error> {
        let socket = Socket::netfilter().map_err(Error::errno("open a socket to", "nf_tables"))?;
        Ok(Self { socket })
    }

    pub(crate) fn request(&self, batch: &Batch) -> Result<(), Refusal> {
        self.socket.request(batch)
    }

    /// Makes the tables if they are not there: whole, or not at all.
    // ANCHOR: ensure
    pub(crate) fn ensure(&self) -> Result<(), Error> {
        if self.are_there()? {
            return Ok(());
        }
        match self.request(&ruleset::batch()) {
            // Somebody else was faster; half a table cannot be there.
            Err(Refusal { errno: Errno::EEXIST, .. }) => Ok(()),
            result => result.map_err(Error::kernel("make the nf_tables table", TABLE)),
        }
    }
    // ANCHOR_END: ensure

    pub(crate) fn are_there(&self) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch.message(GETTABLE, 0, &header(Family::Inet), |table| {
            table.string(1, TABLE);
        });
        batch.acknowledge();
        match self.request(&batch) {
            Err(Refusal { errno: Errno::ENOENT, .. }) => Ok(false),
            result => result.map(|()| true).map_err(Error::kernel("look for the nf_tables table", TABLE)),
        }
    }

    /// Removes the tables. None there is as good.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        for family in [Family::Inet, Family::Bridge] {
            let batch = crate::netlink::nf::transaction(|batch| {
                batch.message(DELTABLE, 0, &header(family), |table| {
                    table.string(1, TABLE);
                });
            });
            match self.request(&batch) {
                Err(Refusal { errno: Errno::ENOENT, .. }) => {}
                result => result.map_err(Error::kernel("remove the nf_tables table", TABLE))?,
            }
        }
        Ok(())
    }

    pub(crate) fn dump(&self, batch: &Batch, each: impl FnMut(u16, &[u8])) -> Result<(), Refusal> {
        self.socket.dump(batch, each)
    }
}
