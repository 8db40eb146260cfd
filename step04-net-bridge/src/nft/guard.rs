//! Nobody under a false address: what a container sends is checked where it enters the bridge.
//!
//! The *group number* of the host's end of each veth pair is the container's IPv4 address ([`crate::veth`]): the host sets it when
//! it makes the pair, the container cannot see it. A rule cannot ask whether two fields of a packet are equal. But it can ask
//! whether a pair of bytes is in a set, and the set of all pairs of equal bytes is small. So the rules are the same for every container,
//! and starting or stopping one changes none.

use super::rule::{Base, Meta, Rule, Verdict, add_rule};
use super::ruleset::{Hook, Set, add_chain, add_set, shown_as};
use crate::Mac;
use crate::netlink::nf::{Family, NEWSETELEM, header};
use crate::netlink::{Batch, CREATE};
use crate::network::PORTS;

/// A group with all but one byte masked out, and that byte: 4 · 256 pairs, less the zeroes that are the same.
pub(super) const EQUAL: &str = "equal_bytes";
/// Group and hardware address of containers that were given another than the derived one.
pub(super) const CHOSEN: &str = "chosen_macs";

const ENTRY: &str = "ports";
const ADDRESSES: &str = "addresses";
const BEFORE_ALL: i32 = -300;

// ANCHOR: guard
pub(super) fn add(batch: &mut Batch) {
    use shown_as::{DEVGROUP, ETHER_ADDR, INTEGER, fields};
    let pair = Set { name: EQUAL, key: (fields(&[DEVGROUP, INTEGER]), 8), ..Set::default() };
    let chosen = Set { name: CHOSEN, key: (fields(&[DEVGROUP, ETHER_ADDR]), 12), ..Set::default() };
    add_set(batch, Family::Bridge, &Set { type_of: &TYPE_OF_KEY, ..pair });
    add_set(batch, Family::Bridge, &chosen);
    add_equal_bytes(batch);
    add_chain(batch, Family::Bridge, ADDRESSES, None);
    add_chain(batch, Family::Bridge, ENTRY, Some(("filter", Hook::Prerouting, BEFORE_ALL)));

    // Bridges and ports of others are none of our business.
    rule(batch, ENTRY, |rule| {
        rule.meta(Meta::InName, 0).is_not(0, PORTS).verdict(Verdict::Accept);
    });
    rule(batch, ENTRY, |rule| {
        rule.meta(Meta::InGroup, 0).payload(Base::Link, 6, 6, 1).is_in(CHOSEN, 0).verdict(Verdict::Goto(ADDRESSES));
    });
    // The sender's hardware address: derived from the IPv4 address, so its last four bytes are the group.
    rule(batch, ENTRY, |rule| {
        rule.payload(Base::Link, 6, 2, 0).is_not(0, &Mac::DERIVED).verdict(Verdict::Drop);
    });
    drop_unless_own(batch, ENTRY, Base::Link, 8, |_| {});
    rule(batch, ENTRY, |rule| {
        rule.verdict(Verdict::Goto(ADDRESSES));
    });
    addresses(batch);
}

/// The sender's addresses in what is carried; what is neither ARP nor IP is not carried.
fn addresses(batch: &mut Batch) {
    const ARP: &[u8] = &[0x08, 0x06];
    const IP: &[u8] = &[0x08, 0x00];
    const IP6: &[u8] = &[0x86, 0xdd];
    let carries = |protocol: &'static [u8]| {
        move |rule: &mut Rule<'_>| {
            rule.meta(Meta::Protocol, 0).is(0, protocol);
        }
    };
    // The sender's protocol address of an ARP message (RFC 826), the source of IPv4, the last 32 bits of that of IPv6.
    drop_unless_own(batch, ADDRESSES, Base::Network, 14, carries(ARP));
    drop_unless_own(batch, ADDRESSES, Base::Network, 12, carries(IP));
    drop_unless_own(batch, ADDRESSES, Base::Network, 20, carries(IP6));
    // The target of a neighbour advertisement: IPv6's ARP answer (RFC 4861, 4.4).
    drop_unless_own(batch, ADDRESSES, Base::Transport, 20, |rule| {
        const ICMPV6: u8 = 58;
        const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
        rule.meta(Meta::Protocol, 0).is(0, IP6).meta(Meta::L4Proto, 0).is(0, &[ICMPV6]);
        rule.payload(Base::Transport, 0, 1, 0).is(0, &[NEIGHBOUR_ADVERTISEMENT]);
    });
    for protocol in [ARP, IP, IP6] {
        rule(batch, ADDRESSES, |rule| {
            carries(protocol)(rule);
            rule.verdict(Verdict::Accept);
        });
    }
    rule(batch, ADDRESSES, |rule| {
        rule.verdict(Verdict::Drop);
    });
}

/// Four rules, one a byte: drop when the byte at `offset` is not that of the port's group.
fn drop_unless_own(batch: &mut Batch, chain: &str, base: Base, offset: u32, when: impl Fn(&mut Rule<'_>)) {
    for (byte, offset) in (0..4).zip(offset..) {
        let mut this = [0; 4];
        this[byte] = 0xff;
        rule(batch, chain, |rule| {
            when(rule);
            rule.meta(Meta::InGroup, 0).mask(0, &this).payload(base, offset, 1, 1);
            rule.is_not_in(EQUAL, 0).verdict(Verdict::Drop);
        });
    }
}
// ANCHOR_END: guard

/// Key: a group of which all bytes but one are masked out, and that byte.
fn add_equal_bytes(batch: &mut Batch) {
    batch.message(NEWSETELEM, CREATE, &header(Family::Bridge), |message| {
        message.string(1, super::TABLE).string(2, EQUAL).nest(3, |list| {
            for byte in 0..4 {
                for value in u8::from(byte > 0)..=255 {
                    let mut key = [0; 8];
                    (key[byte], key[4]) = (value, value);
                    super::elements::put(list, &key, None, None, false);
                }
            }
        });
    });
}

/// `typeof iifgroup . @nh,0,8`, as nft(8) 1.0.6 writes it beside a set: without it what `nft list ruleset` prints could not be
/// read again, and somebody who saves all rules so would lose theirs with ours.
const TYPE_OF_KEY: [u8; 72] = [
    0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x03, 0x40, 0x00, 0x04, 0x0d, 0x00, 0x00, 0x00, 0x01, 0x38, 0x00, 0x0e, 0x00,
    0x04, 0x09, 0x00, 0x00, 0x00, 0x01, 0x06, 0x00, 0x04, 0x15, 0x00, 0x00, 0x00, 0x01, 0x26, 0x00, 0x04, 0x07, 0x00,
    0x00, 0x00, 0x01, 0x1e, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x01, 0x04, 0x00, 0x00, 0x00, 0x00, 0x02, 0x04, 0x02,
    0x00, 0x00, 0x00, 0x03, 0x04, 0x00, 0x00, 0x00, 0x00, 0x04, 0x04, 0x08, 0x00, 0x00, 0x00,
];

fn rule(batch: &mut Batch, chain: &str, fill: impl FnOnce(&mut Rule<'_>)) {
    add_rule(batch, Family::Bridge, chain, fill);
}
