//! Somebody else's rules that stop our containers: a forward chain whose policy is drop.

use super::{Rules, TABLE};
use crate::Error;
use crate::netlink::nf::{Family, GETCHAIN, GETRULE, header};
use crate::netlink::{Batch, DUMP, find, text};
use crate::network::OURS;
use std::fmt;

/// A chain that drops what this host passes on: docker's `FORWARD`, or a firewall's.
///
/// A packet passes only if every forward chain lets it pass, so our own accept does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// Whether docker made it: then there is a chain that is meant for others' rules.
    pub docker: bool,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, table, chain, .. } = self;
        write!(f, "the chain `{chain}` of the nf_tables table `{family} {table}` drops what this host passes on: ")?;
        write!(f, "containers do not reach the outside, and published ports are not reached from there")
    }
}

impl Blocker {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        let Self { family, table, chain, .. } = self;
        if self.docker {
            return "iptables -I DOCKER-USER -i 'tara+' -j ACCEPT; iptables -I DOCKER-USER -o 'tara+' -j ACCEPT".into();
        }
        let rule = |direction: &str| format!("nft insert rule {family} {table} {chain} {direction} \"tara*\" accept");
        format!("{}; {}", rule("iifname"), rule("oifname"))
    }
}

/// The first forward chain with the policy drop whose table has no rule that names our bridges.
///
/// Only nf_tables is asked (so also `iptables-nft`, which docker uses where it is the system's iptables); the older iptables
/// keeps its policies elsewhere.
///
/// # Errors
/// When nf_tables cannot be asked.
pub fn forward_blocker() -> Result<Option<Blocker>, Error> {
    let rules = Rules::open()?;
    let listing = |what| Error::kernel("list the nf_tables", what);
    let (mut chains, mut dockers) = (Vec::new(), Vec::new());
    let mut note = |body: &[u8]| {
        chains.extend(read_chain(body));
        dockers.extend(attribute(body, 1).filter(|_| attribute(body, 3).as_deref() == Some("DOCKER-USER")));
    };
    rules.dump(&all(GETCHAIN), |_, body| note(body)).map_err(listing("chains"))?;
    let Some((number, mut blocker)) = chains.into_iter().next() else { return Ok(None) };
    blocker.docker = dockers.contains(&blocker.table);
    let mut let_through = false;
    let mut look = |body: &[u8]| {
        let same_table = body.first() == Some(&number) && attribute(body, 1).as_deref() == Some(&blocker.table);
        let_through |= same_table && body.windows(OURS.len()).any(|bytes| bytes == OURS);
    };
    rules.dump(&all(GETRULE), |_, body| look(body)).map_err(listing("rules"))?;
    Ok(Some(blocker).filter(|_| !let_through))
}

/// The number of its family, and the chain: if it hooks forward with the policy drop, and is not ours.
fn read_chain(body: &[u8]) -> Option<(u8, Blocker)> {
    const FORWARD: u32 = 2;
    const DROP: u32 = 0;
    let number = *body.first()?;
    let family = match number {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let attributes = body.get(4..)?;
    let big_endian = |value: &[u8]| value.try_into().ok().map(u32::from_be_bytes);
    let hook = big_endian(find(find(attributes, 4)?, 1)?)?;
    let policy = big_endian(find(attributes, 5)?)?;
    let (table, chain) = (attribute(body, 1)?, attribute(body, 3)?);
    let blocks = hook == FORWARD && policy == DROP && table != TABLE;
    blocks.then_some((number, Blocker { family, table, chain, docker: false }))
}

fn attribute(body: &[u8], kind: u16) -> Option<String> {
    find(body.get(4..)?, kind).map(text)
}

fn all(kind: u16) -> Batch {
    let mut batch = Batch::new();
    batch.message(kind, DUMP, &header(Family::Any), |_| {});
    batch
}
