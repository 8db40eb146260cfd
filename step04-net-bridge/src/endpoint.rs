//! A container's end of a network: link, addresses, published ports.

use crate::networks::Joined;
use crate::nft::{self, Published, Rules};
use crate::ports::{Target, choose};
use crate::{Error, Lease, Netns, PortSpec, veth};

/// A container that is connected to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The network's name.
    pub network: String,
    /// The container's addresses in it.
    pub lease: Lease,
    /// The ports of the host that lead to it.
    pub ports: Vec<Published>,
}

impl Endpoint {
    /// Connects the namespace `netns` to the network joined, and publishes ports.
    ///
    /// # Errors
    /// What the kernel refuses; [`Error::PortInUse`], [`Error::PortPublished`]. The lease stays with the container until
    /// [`crate::Networks::leave`], and the link as long as the namespace.
    // ANCHOR: connect
    pub fn connect(joined: &Joined, netns: &Netns, ports: &[PortSpec]) -> Result<Self, Error> {
        let Joined { bridge, lease } = joined;
        veth::make(bridge, lease, netns)?;
        netns.within(|| veth::configure(bridge, lease))?;
        let endpoint = Self::publish(joined, ports)?;
        veth::wait_until_operational(bridge, lease)?;
        Ok(endpoint)
    }
    // ANCHOR_END: connect

    /// The part that is the host's alone.
    pub(crate) fn publish(joined: &Joined, specs: &[PortSpec]) -> Result<Self, Error> {
        const ATTEMPTS: usize = 16;
        let Joined { bridge, lease } = joined;
        if lease.mac != veth::mac(None, lease.address) {
            nft::chosen_mac(&bridge.rules, lease.address, lease.mac, true)?;
        }
        let v6 = bridge.network.subnet6.map(|subnet| subnet.of_v4(lease.address));
        let target = Target { v4: lease.address, v6 };
        let kernel_chooses = specs.iter().any(|spec| spec.host.as_ref().is_none_or(|host| host.len() > 1));
        let mut taken = Vec::new();
        for attempt in 1.. {
            let ports = choose(specs, target, &taken)?;
            match nft::add_ports(&bridge.rules, &lease.id, &ports) {
                // The kernel does not know which ports are published when it chooses one that is free.
                Err(Error::PortPublished { .. }) if kernel_chooses && attempt < ATTEMPTS => {
                    taken = nft::published()?.into_iter().map(|(published, _)| published.port).collect();
                }
                result => return result.map(|()| Self::new(bridge.network().name.clone(), lease.clone(), ports)),
            }
        }
        unreachable!("the last attempt returns")
    }

    fn new(network: String, lease: Lease, ports: Vec<Published>) -> Self {
        Self { network, lease, ports }
    }

    /// Publishes its ports no longer; what of it is already gone is no error.
    ///
    /// # Errors
    /// When nf_tables refuses.
    pub fn unpublish(&self) -> Result<(), Error> {
        if self.ports.is_empty() { Ok(()) } else { nft::remove_ports(&Rules::open()?, &self.ports) }
    }

    /// The same, for a process that is about to end.
    ///
    /// To close the connection to nf_tables after something was removed takes up to 12 ms: the kernel waits until nobody can be
    /// looking at it any more (`nft_rcv_nl_event`). Whoever waits for our end would wait for that too. So a child, with nothing
    /// else open, holds the connection for a moment longer than we live.
    ///
    /// # Errors
    /// As [`Endpoint::unpublish`].
    pub fn unpublish_and_end(&self) -> Result<(), Error> {
        if self.ports.is_empty() {
            return Ok(());
        }
        let rules = Rules::open()?;
        nft::remove_ports(&rules, &self.ports)?;
        // EBUSY, where there is a second thread: then it takes its time.
        let _holder = sys::clone::fork(|| hold(&rules));
        Ok(())
    }
}

/// The child: only the socket stays open, so that no pipe and no lock of the parent outlives it.
fn hold(rules: &Rules) -> u8 {
    let sleep_and_end = |()| {
        std::thread::sleep(std::time::Duration::from_millis(30));
        sys::process::exit_now(0)
    };
    let held = sys::fd::dup_onto(rules, 0).and_then(|()| sys::fd::close_from_and(1, (), sleep_and_end));
    u8::from(held.is_err())
}
