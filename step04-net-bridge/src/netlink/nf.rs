//! The words of nf_tables. Numbers from `linux/netfilter/nf_tables.h` and `linux/netfilter/nfnetlink.h`.

use super::Batch;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

pub(crate) const NEWTABLE: u16 = message(0);
pub(crate) const GETTABLE: u16 = message(1);
pub(crate) const DELTABLE: u16 = message(2);
pub(crate) const NEWCHAIN: u16 = message(3);
pub(crate) const GETCHAIN: u16 = message(4);
pub(crate) const NEWRULE: u16 = message(6);
pub(crate) const GETRULE: u16 = message(7);
pub(crate) const NEWSET: u16 = message(9);
pub(crate) const NEWSETELEM: u16 = message(12);
pub(crate) const GETSETELEM: u16 = message(13);
pub(crate) const DELSETELEM: u16 = message(14);

const fn message(kind: u16) -> u16 {
    SUBSYSTEM << 8 | kind
}

/// Where a table lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Any = 0,
    /// IPv4 and IPv6.
    Inet = 1,
    /// What a bridge passes on from port to port.
    Bridge = 7,
}

/// `struct nfgenmsg`.
pub(crate) fn header(family: Family) -> [u8; 4] {
    [family as u8, 0, 0, 0]
}

/// Messages that take effect together or not at all. Source: `linux/netfilter/nfnetlink.h`, `NFNL_MSG_BATCH_BEGIN`.
// ANCHOR: transaction
pub(crate) fn transaction(fill: impl FnOnce(&mut Batch)) -> Batch {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    let frame = [0, 0, high, low];
    let mut batch = Batch::new();
    batch.message(BATCH_BEGIN, 0, &frame, |_| {});
    fill(&mut batch);
    batch.acknowledge();
    batch.message(BATCH_END, 0, &frame, |_| {});
    batch
}
// ANCHOR_END: transaction
