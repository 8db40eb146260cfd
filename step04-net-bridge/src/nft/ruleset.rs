//! The whole table, as one transaction.

use super::guard;
use super::rule::{Base, Connection, IPV4, IPV6, Meta, Verdict, add_rule};
use crate::netlink::nf::{Family, NEWCHAIN, NEWSET, NEWTABLE, header, transaction};
use crate::netlink::{Batch, CREATE, EXCLUSIVE};
use crate::network::OURS;

/// Data types as nft(8) prints them; the kernel only keeps them.
pub(super) mod shown_as {
    pub(in crate::nft) const INTEGER: u32 = 4;
    pub(in crate::nft) const IPV4_ADDR: u32 = 7;
    pub(in crate::nft) const IPV6_ADDR: u32 = 8;
    pub(in crate::nft) const ETHER_ADDR: u32 = 9;
    pub(in crate::nft) const INET_PROTO: u32 = 12;
    pub(in crate::nft) const INET_SERVICE: u32 = 13;
    pub(in crate::nft) const DEVGROUP: u32 = 35;
    pub(in crate::nft) const IFNAME: u32 = 41;

    /// A key or value of several fields.
    pub(in crate::nft) fn fields(fields: &[u32]) -> u32 {
        fields.iter().fold(0, |all, field| all << 6 | field)
    }
}

/// Names of sets and maps.
pub(super) const NETWORKS: &str = "networks";
pub(super) const INTERNAL: &str = "internal";
pub(super) const SUBNETS: &str = "subnets";
pub(super) const SUBNETS6: &str = "subnets6";

/// The maps of published ports: on one address of the host, on all.
pub(super) fn maps(nfproto: u8) -> [&'static str; 2] {
    if nfproto == IPV4 { ["published", "published_on_all"] } else { ["published6", "published6_on_all"] }
}

/// Hooks of IP packets and of bridges (`NF_INET_*`, `NF_BR_*`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Hook {
    Prerouting = 0,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// Where a packet is while a chain sees it: before our links are told apart and after.
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;

// ANCHOR: batch
pub(super) fn batch() -> Batch {
    transaction(|batch| {
        add_table(batch, Family::Inet);
        sets(batch);
        published(batch);
        loopback(batch);
        forward(batch);
        postrouting(batch);
        add_table(batch, Family::Bridge);
        guard::add(batch);
    })
}
// ANCHOR_END: batch

fn sets(batch: &mut Batch) {
    use shown_as::*;
    for set in [
        Set { name: NETWORKS, key: (fields(&[IFNAME, IFNAME]), 32), ..Set::default() },
        Set { name: INTERNAL, key: (IFNAME, 16), ..Set::default() },
        Set { name: SUBNETS, flags: Set::INTERVAL, key: (IPV4_ADDR, 4), ..Set::default() },
        Set { name: SUBNETS6, flags: Set::INTERVAL, key: (IPV6_ADDR, 16), ..Set::default() },
    ] {
        add_set(batch, Family::Inet, &set);
    }
    for (nfproto, address, length) in [(IPV4, IPV4_ADDR, 4), (IPV6, IPV6_ADDR, 16)] {
        let [exact, any] = maps(nfproto);
        let value = Some((fields(&[address, INET_SERVICE]), length + 4));
        let key = (fields(&[address, INET_PROTO, INET_SERVICE]), length + 8);
        add_set(batch, Family::Inet, &Set { name: exact, key, value, ..Set::default() });
        let key = (fields(&[INET_PROTO, INET_SERVICE]), 8);
        add_set(batch, Family::Inet, &Set { name: any, key, value, ..Set::default() });
    }
}

/// Published ports: from outside and from containers (prerouting), from the host itself (output).
// ANCHOR: published
fn published(batch: &mut Batch) {
    add_chain(batch, Family::Inet, "published", None);
    for (chain, hook) in [("from_outside", Hook::Prerouting), ("from_this_host", Hook::Output)] {
        add_chain(batch, Family::Inet, chain, Some(("nat", hook, DESTINATION_NAT)));
        rule(batch, chain, |rule| {
            rule.verdict(Verdict::Jump("published"));
        });
    }
    for (nfproto, destination, length) in [(IPV4, 16, 4), (IPV6, 24, 16)] {
        let words = length / 4;
        let [exact, any] = maps(nfproto);
        // First the very address that was asked for: key address, protocol, port.
        rule(batch, "published", |rule| {
            rule.meta(Meta::Nfproto, 0).is(0, &[nfproto]).payload(Base::Network, destination, length, 0);
            rule.meta(Meta::L4Proto, words).payload(Base::Transport, 2, 2, words + 1);
            rule.map(exact, 0, 0).destination_nat(nfproto, 0, words);
        });
        // Then any address of this host: key protocol, port.
        rule(batch, "published", |rule| {
            rule.meta(Meta::Nfproto, 0).is(0, &[nfproto]).is_to_this_host(0);
            rule.meta(Meta::L4Proto, 0).payload(Base::Transport, 2, 2, 1);
            rule.map(any, 0, 0).destination_nat(nfproto, 0, words);
        });
    }
}
// ANCHOR_END: published

/// `route_localnet` on our bridges lets answers back to 127.0.0.1; it must not let containers reach what listens there
/// (CVE-2020-8558). Before connections are looked up: an answer bears the gateway's address here.
fn loopback(batch: &mut Batch) {
    add_chain(batch, Family::Inet, "loopback", Some(("filter", Hook::Prerouting, RAW)));
    rule(batch, "loopback", |rule| {
        rule.meta(Meta::Nfproto, 0).is(0, &[IPV4]);
        rule.meta(Meta::InName, 0).is(0, OURS).payload(Base::Network, 16, 1, 0).is(0, &[127]).verdict(Verdict::Drop);
    });
}

/// Who may reach whom through this host.
// ANCHOR: forward
fn forward(batch: &mut Batch) {
    const CHAIN: &str = "forward";
    add_chain(batch, Family::Inet, CHAIN, Some(("filter", Hook::Forward, FILTER)));
    // Within a network: seen here where bridges ask IP's rules too (br_netfilter), and from a container to itself.
    rule(batch, CHAIN, |rule| {
        rule.meta(Meta::InName, 0).meta(Meta::OutName, 4).is_in(NETWORKS, 0).verdict(Verdict::Accept);
    });
    // Internal networks: neither in nor out.
    rule(batch, CHAIN, |rule| {
        rule.meta(Meta::InName, 0).is_in(INTERNAL, 0).verdict(Verdict::Drop);
    });
    rule(batch, CHAIN, |rule| {
        rule.meta(Meta::OutName, 0).is_in(INTERNAL, 0).verdict(Verdict::Drop);
    });
    rule(batch, CHAIN, |rule| {
        rule.connection(Connection::Published, 0).verdict(Verdict::Accept);
    });
    // From one of our networks to another: that is through its gateway.
    rule(batch, CHAIN, |rule| {
        rule.meta(Meta::InName, 0).is(0, OURS).meta(Meta::OutName, 0).is(0, OURS).verdict(Verdict::Drop);
    });
    // From outside: only answers. Or a neighbour with a route to our subnet would reach ports that nobody published.
    rule(batch, CHAIN, |rule| {
        rule.meta(Meta::OutName, 0).is(0, OURS).connection(Connection::Known, 0).verdict(Verdict::Accept);
    });
    rule(batch, CHAIN, |rule| {
        rule.meta(Meta::OutName, 0).is(0, OURS).verdict(Verdict::Drop);
    });
}
// ANCHOR_END: forward

/// Under which address packets leave.
// ANCHOR: masquerade
fn postrouting(batch: &mut Batch) {
    // ANCHOR: task5_masquerade
    const CHAIN: &str = "postrouting";
    add_chain(batch, Family::Inet, CHAIN, Some(("nat", Hook::Postrouting, SOURCE_NAT)));
    for (nfproto, source, length, set) in [(IPV4, 12, 4, SUBNETS), (IPV6, 8, 16, SUBNETS6)] {
        // To the outside: under the host's address. Only ours: without the match on the source, all that this host passes
        // on for others would change its address too.
        rule(batch, CHAIN, |rule| {
            rule.meta(Meta::Nfproto, 0).is(0, &[nfproto]).payload(Base::Network, source, length, 0).is_in(set, 0);
            rule.meta(Meta::OutName, 0).is_not(0, OURS).masquerade();
        });
        // To a published port of a neighbour, or of itself: else the answer would go straight back, from another address
        // than the one that was asked.
        rule(batch, CHAIN, |rule| {
            rule.meta(Meta::Nfproto, 0).is(0, &[nfproto]).payload(Base::Network, source, length, 0).is_in(set, 0);
            rule.meta(Meta::OutName, 0).is(0, OURS).connection(Connection::Published, 0).masquerade();
        });
    }
    // From 127.0.0.1 to a published port: the container could not answer that address.
    rule(batch, CHAIN, |rule| {
        rule.meta(Meta::Nfproto, 0).is(0, &[IPV4]).payload(Base::Network, 12, 1, 0).is(0, &[127]);
        rule.meta(Meta::OutName, 0).is(0, OURS).masquerade();
    });
    // ANCHOR_END: task5_masquerade
}
// ANCHOR_END: masquerade

fn rule(batch: &mut Batch, chain: &str, fill: impl FnOnce(&mut super::rule::Rule<'_>)) {
    add_rule(batch, Family::Inet, chain, fill);
}

fn add_table(batch: &mut Batch, family: Family) {
    batch.message(NEWTABLE, CREATE | EXCLUSIVE, &header(family), |table| {
        table.string(1, super::TABLE);
    });
}

/// Adds a chain; with a hook the kernel calls it, else only rules do.
pub(super) fn add_chain(batch: &mut Batch, family: Family, name: &str, base: Option<(&str, Hook, i32)>) {
    batch.message(NEWCHAIN, CREATE, &header(family), |chain| {
        chain.string(1, super::TABLE).string(3, name);
        if let Some((kind, hook, priority)) = base {
            chain.string(7, kind).nest(4, |nested| {
                nested.big_endian(1, hook as u32).big_endian(2, priority.cast_unsigned());
            });
        }
    });
}

/// A set, or with a value a map.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) flags: u32,
    /// How it is shown, and how many bytes it has.
    pub(super) key: (u32, u32),
    pub(super) value: Option<(u32, u32)>,
    /// What nft(8) has to know to print the key, where its type does not say it.
    pub(super) type_of: &'static [u8],
}

impl Set {
    /// Its elements are the first and the one behind the last of a range.
    pub(super) const INTERVAL: u32 = 4;
    const MAP: u32 = 8;
}

pub(super) fn add_set(batch: &mut Batch, family: Family, set: &Set) {
    const ID: u16 = 10;
    const USERDATA: u16 = 13;
    let flags = set.flags | if set.value.is_some() { Set::MAP } else { 0 };
    batch.message(NEWSET, CREATE, &header(family), |message| {
        message.string(1, super::TABLE).string(2, set.name).big_endian(3, flags);
        message.big_endian(4, set.key.0).big_endian(5, set.key.1).big_endian(ID, 1);
        if let Some((shown_as, length)) = set.value {
            message.big_endian(6, shown_as).big_endian(7, length);
        }
        // Numbers in it are in the byte order of the machine it was recorded on.
        if !set.type_of.is_empty() && cfg!(target_endian = "little") {
            message.put(USERDATA, set.type_of);
        }
    });
}
