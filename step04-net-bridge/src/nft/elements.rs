//! Elements of sets: what changes in the table while its rules stay.

use super::guard::CHOSEN;
use super::ruleset::{INTERNAL, NETWORKS, SUBNETS, SUBNETS6};
use super::{Rules, TABLE};
use crate::netlink::nf::{DELSETELEM, Family, GETSETELEM, NEWSETELEM, header, transaction};
use crate::netlink::{Batch, CREATE, DUMP, EXCLUSIVE, Refusal, find};
use crate::veth::group;
use crate::{Error, Mac, Network};
use nix::errno::Errno;
use std::net::Ipv4Addr;

/// Adds an element to the list of a message: key, value of a map, a comment, and whether it ends a range.
pub(super) fn put(list: &mut Batch, key: &[u8], value: Option<&[u8]>, comment: Option<&str>, range_end: bool) {
    const RANGE_END: u32 = 1;
    list.nest(1, |element| {
        element.nest(1, |data| {
            data.put(1, key);
        });
        if let Some(value) = value {
            element.nest(2, |data| {
                data.put(1, value);
            });
        }
        if range_end {
            element.big_endian(3, RANGE_END);
        }
        if let Some(comment) = comment {
            element.put(6, &as_comment(comment));
        }
    });
}

/// A comment as nft(8) writes and shows it: kind 0, length, text, zero byte.
fn as_comment(text: &str) -> Vec<u8> {
    let text = text.get(..128).unwrap_or(text);
    let length = u8::try_from(text.len() + 1).expect("cut to 128");
    [&[0, length], text.as_bytes(), &[0]].concat()
}

/// The text of a comment.
pub(super) fn comment(bytes: &[u8]) -> Option<String> {
    let length = usize::from(*bytes.get(1)?);
    Some(crate::netlink::text(bytes.get(2..2 + length)?)).filter(|_| bytes.first() == Some(&0))
}

/// Adds or removes elements of one set.
pub(super) fn message(
    batch: &mut Batch,
    family: Family,
    kind: u16,
    flags: u16,
    set: &str,
    fill: impl FnOnce(&mut Batch),
) {
    batch.message(kind, flags, &header(family), |message| {
        message.string(1, TABLE).string(2, set).nest(3, fill);
    });
}

/// Tells the rules of a network: its bridge, its subnets, whether it is internal. It may be known already.
pub(crate) fn add_network(rules: &Rules, network: &Network) -> Result<(), Error> {
    let batch = transaction(|batch| elements_of(batch, network, NEWSETELEM, CREATE));
    rules.request(&batch).map_err(Error::kernel("add to the nf_tables table the network", &network.name))
}

/// Takes back what [`add_network`] told. What is not there is as good as removed.
pub(crate) fn remove_network(rules: &Rules, network: &Network) -> Result<(), Error> {
    let batch = transaction(|batch| elements_of(batch, network, DELSETELEM, 0));
    match rules.request(&batch) {
        Err(Refusal { errno: Errno::ENOENT, .. }) => Ok(()),
        result => result.map_err(Error::kernel("remove from the nf_tables table the network", &network.name)),
    }
}

/// Whether the rules know of no network any more: ours or another engine's.
pub(crate) fn no_networks(rules: &Rules) -> Result<bool, Error> {
    let mut batch = Batch::new();
    batch.message(GETSETELEM, DUMP, &header(Family::Inet), |message| {
        message.string(1, TABLE).string(2, NETWORKS);
    });
    let mut none = true;
    let asked = rules.dump(&batch, |_, body| {
        none &= body.get(4..).and_then(|attributes| find(attributes, 3)).is_none_or(<[u8]>::is_empty)
    });
    match asked {
        Err(Refusal { errno: Errno::ENOENT, .. }) => Ok(true),
        result => result.map(|()| none).map_err(Error::kernel("list the networks of the nf_tables table", TABLE)),
    }
}

fn elements_of(batch: &mut Batch, network: &Network, kind: u16, flags: u16) {
    let mut add = |set: &str, fill: &dyn Fn(&mut Batch)| message(batch, Family::Inet, kind, flags, set, fill);
    let name = padded_name(&network.bridge);
    let range = |list: &mut Batch, first: &[u8], behind: &[u8]| {
        put(list, first, None, None, false);
        put(list, behind, None, None, true);
    };
    add(NETWORKS, &|list| put(list, &[name, name].concat(), None, Some(&network.name), false));
    if network.internal {
        return add(INTERNAL, &|list| put(list, &name, None, Some(&network.name), false));
    }
    let (first, last) = (network.subnet.base(), network.subnet.broadcast());
    let behind = last.to_bits().wrapping_add(1).to_be_bytes();
    add(SUBNETS, &|list| range(list, &first.octets(), &behind));
    if let Some(subnet) = network.subnet6 {
        let behind = subnet.last().to_bits().wrapping_add(1).to_be_bytes();
        add(SUBNETS6, &|list| range(list, &subnet.base().octets(), &behind));
    }
}

/// Allows (or no longer allows) the container at `address` a hardware address that is not the derived one.
pub(crate) fn chosen_mac(rules: &Rules, address: Ipv4Addr, mac: Mac, allow: bool) -> Result<(), Error> {
    let (kind, flags) = if allow { (NEWSETELEM, CREATE) } else { (DELSETELEM, 0) };
    let mut key = [0; 12];
    key[..4].copy_from_slice(&group(address).to_ne_bytes());
    key[4..10].copy_from_slice(&mac.0);
    let batch = transaction(|batch| {
        message(batch, Family::Bridge, kind, flags, CHOSEN, |list| put(list, &key, None, None, false));
    });
    match rules.request(&batch) {
        Err(Refusal { errno: Errno::ENOENT, .. }) if !allow => Ok(()),
        result => result.map_err(Error::kernel("allow the hardware address", mac)),
    }
}

/// A link's name as rules compare it: 16 bytes.
fn padded_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(name.bytes()).for_each(|(slot, byte)| *slot = byte);
    bytes
}

/// For elements that must be new.
pub(super) const NEW: u16 = CREATE | EXCLUSIVE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_read_as_it_was_written() {
        assert_eq!(comment(&as_comment("web")).as_deref(), Some("web"));
        assert_eq!(comment(&[0, 9, b'x']), None);
        assert_eq!(comment(&[]), None);
    }
}
