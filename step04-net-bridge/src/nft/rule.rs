//! Rules as the kernel runs them: a list of small instructions on registers. `nft --debug=netlink list ruleset` prints them
//! in the same words.

use crate::netlink::nf::{Family, NEWRULE, header};
use crate::netlink::{Batch, rt};

/// What packets are asked (`NFT_META_*`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Meta {
    Protocol = 1,
    InName = 6,
    OutName = 7,
    Nfproto = 15,
    L4Proto = 16,
    InGroup = 21,
}

/// Where in the packet an offset counts from (`NFT_PAYLOAD_*`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// What becomes of a packet (`NF_*`, `NFT_*`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    Drop,
    Accept,
    Jump(&'static str),
    Goto(&'static str),
}

/// A register of four bytes, counted from 0; longer values take several.
pub(super) type Register = u32;

const FIRST_REGISTER: u32 = 8;
const VERDICT_REGISTER: u32 = 0;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// Adds a rule at the end of `chain`.
pub(super) fn add_rule(batch: &mut Batch, family: Family, chain: &str, fill: impl FnOnce(&mut Rule<'_>)) {
    const APPEND: u16 = 0x800;
    batch.message(NEWRULE, APPEND | crate::netlink::CREATE, &header(family), |rule| {
        rule.string(1, super::TABLE).string(2, chain).nest(4, |rule| fill(&mut Rule(rule)));
    });
}

/// The instructions of a rule: each but the last can end it, when the packet is not what it asks for.
pub(super) struct Rule<'a>(&'a mut Batch);

// ANCHOR: instructions
impl Rule<'_> {
    fn instruction(&mut self, name: &str, fill: impl FnOnce(&mut Batch)) -> &mut Self {
        self.0.nest(1, |element| {
            element.string(1, name).nest(2, fill);
        });
        self
    }

    /// Loads what is known about the packet.
    pub(super) fn meta(&mut self, what: Meta, into: Register) -> &mut Self {
        self.instruction("meta", |meta| {
            meta.big_endian(1, register(into)).big_endian(2, what as u32);
        })
    }

    /// Loads bytes of the packet.
    pub(super) fn payload(&mut self, base: Base, offset: u32, length: u32, into: Register) -> &mut Self {
        self.instruction("payload", |payload| {
            payload.big_endian(1, register(into)).big_endian(2, base as u32);
            payload.big_endian(3, offset).big_endian(4, length);
        })
    }

    /// Goes on only if the register begins with `bytes`.
    pub(super) fn is(&mut self, from: Register, bytes: &[u8]) -> &mut Self {
        self.compare(from, 0, bytes)
    }

    /// Goes on only if it does not.
    pub(super) fn is_not(&mut self, from: Register, bytes: &[u8]) -> &mut Self {
        self.compare(from, 1, bytes)
    }

    fn compare(&mut self, from: Register, operator: u32, bytes: &[u8]) -> &mut Self {
        self.instruction("cmp", |cmp| {
            cmp.big_endian(1, register(from)).big_endian(2, operator).nest(3, |data| {
                data.put(DATA_VALUE, bytes);
            });
        })
    }

    /// Keeps only the bits of `mask`, in place.
    pub(super) fn mask(&mut self, place: Register, mask: &[u8]) -> &mut Self {
        let length = u32::try_from(mask.len()).expect("a mask is 16 bytes at most");
        self.instruction("bitwise", |bitwise| {
            bitwise.big_endian(1, register(place)).big_endian(2, register(place)).big_endian(3, length);
            bitwise.nest(4, |data| {
                data.put(DATA_VALUE, mask);
            });
            bitwise.nest(5, |data| {
                data.put(DATA_VALUE, &vec![0; mask.len()]);
            });
        })
    }

    /// Goes on only if the set has what the registers hold.
    pub(super) fn is_in(&mut self, set: &str, from: Register) -> &mut Self {
        self.instruction("lookup", |lookup| {
            lookup.string(1, set).big_endian(2, register(from));
        })
    }

    /// Goes on only if it has not.
    pub(super) fn is_not_in(&mut self, set: &str, from: Register) -> &mut Self {
        const INVERT: u32 = 1;
        self.instruction("lookup", |lookup| {
            lookup.string(1, set).big_endian(2, register(from)).big_endian(5, INVERT);
        })
    }

    /// Loads what the map has for what the registers hold; goes on only if it has something.
    pub(super) fn map(&mut self, map: &str, from: Register, into: Register) -> &mut Self {
        self.instruction("lookup", |lookup| {
            lookup.string(1, map).big_endian(2, register(from)).big_endian(3, register(into));
        })
    }

    /// Goes on only if the destination is an address of this host.
    pub(super) fn is_to_this_host(&mut self, scratch: Register) -> &mut Self {
        const ADDRESS_TYPE: u32 = 3;
        const DESTINATION: u32 = 2;
        const RTN_LOCAL: u32 = 2;
        self.instruction("fib", |fib| {
            fib.big_endian(1, register(scratch)).big_endian(2, ADDRESS_TYPE).big_endian(3, DESTINATION);
        });
        self.is(scratch, &RTN_LOCAL.to_ne_bytes())
    }

    /// Goes on only for packets of a connection whose state (`state`) or status has one of `bits`.
    pub(super) fn connection(&mut self, what: Connection, scratch: Register) -> &mut Self {
        let (key, bits) = match what {
            Connection::Known => (0u32, 2u32 | 4), // established, related (NF_CT_STATE_BIT)
            Connection::Published => (2, 1 << 5),  // IPS_DST_NAT
        };
        self.instruction("ct", |ct| {
            ct.big_endian(1, register(scratch)).big_endian(2, key);
        });
        self.mask(scratch, &bits.to_ne_bytes()).is_not(scratch, &[0; 4])
    }

    /// Sends the packet to the address and port in the registers, and the answers back.
    pub(super) fn destination_nat(&mut self, nfproto: u8, address: Register, port: Register) -> &mut Self {
        const DESTINATION: u32 = 1;
        self.instruction("nat", |nat| {
            nat.big_endian(1, DESTINATION).big_endian(2, nfproto.into());
            nat.big_endian(3, register(address)).big_endian(5, register(port));
        })
    }

    /// Gives the packet the address of the link it leaves by.
    pub(super) fn masquerade(&mut self) -> &mut Self {
        self.instruction("masq", |_| {})
    }

    /// Ends the rule.
    pub(super) fn verdict(&mut self, verdict: Verdict) -> &mut Self {
        const JUMP: i32 = -3;
        const GOTO: i32 = -4;
        let (code, chain) = match verdict {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Jump(chain) => (JUMP, Some(chain)),
            Verdict::Goto(chain) => (GOTO, Some(chain)),
        };
        self.instruction("immediate", |immediate| {
            immediate.big_endian(1, VERDICT_REGISTER).nest(2, |data| {
                data.nest(DATA_VERDICT, |verdict| {
                    verdict.big_endian(1, code.cast_unsigned());
                    if let Some(chain) = chain {
                        verdict.string(2, chain);
                    }
                });
            });
        })
    }
}
// ANCHOR_END: instructions

/// What is asked about the connection of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Connection {
    /// It has been answered, or belongs to one that was.
    Known,
    /// It went to a published port.
    Published,
}

fn register(number: Register) -> u32 {
    FIRST_REGISTER + number
}

/// IPv4 and IPv6 as rules of the family inet tell them apart (`NFPROTO_*`).
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = rt::AF_INET6;
