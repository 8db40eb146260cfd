//! Messages laid out one after the other, attributes within, attributes within attributes.

// ANCHOR: flags
pub(crate) const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
/// Make it if it is not there.
pub(crate) const CREATE: u16 = 0x400;
/// … and refuse if it is there (EEXIST).
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// All there are, not one.
pub(crate) const DUMP: u16 = 0x300;
/// Says that an attribute's value is attributes.
const NESTED: u16 = 0x8000;
// ANCHOR_END: flags

/// Netlink messages in one buffer. Source: netlink(7), `struct nlmsghdr`.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the last message that wants an answer begins.
    last: usize,
    messages: u32,
    /// Which message is acknowledged.
    acknowledged: u32,
}

// ANCHOR: batch
impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a message: the header, the `fixed` structure that belongs to its kind, and the attributes that `fill` adds.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, fixed: &[u8], fill: impl FnOnce(&mut Self)) -> &mut Self {
        let begin = self.bytes.len();
        self.messages += 1;
        self.bytes.extend([0; 4]); // the length, known at the end
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend(self.messages.to_ne_bytes());
        self.bytes.extend([0; 4]); // the kernel's port
        self.bytes.extend(fixed);
        self.align();
        fill(self);
        let length = u32::try_from(self.bytes.len() - begin).expect("a message is far below 4 GiB");
        self.bytes[begin..begin + 4].copy_from_slice(&length.to_ne_bytes());
        self.last = begin;
        self
    }

    /// Adds an attribute: length, kind, value, filled up to four bytes. Source: rtnetlink(3), `struct rtattr`.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.attribute(kind, |batch| batch.bytes.extend(value))
    }

    /// Adds an attribute whose value is the attributes that `fill` adds.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.attribute(kind | NESTED, fill)
    }

    fn attribute(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let begin = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - begin).expect("an attribute is below 64 KiB");
        self.bytes[begin..begin + 2].copy_from_slice(&length.to_ne_bytes());
        self.align();
        self
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
// ANCHOR_END: batch

impl Batch {
    /// A structure before the attributes of a nested attribute (`VETH_INFO_PEER`).
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// A string, ended by a zero byte.
    pub(crate) fn string(&mut self, kind: u16, value: &str) -> &mut Self {
        self.attribute(kind, |batch| {
            batch.bytes.extend(value.as_bytes());
            batch.bytes.push(0);
        })
    }

    /// A number in the machine's byte order, as rtnetlink has them.
    pub(crate) fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// A number in network byte order, as nf_tables has them.
    pub(crate) fn big_endian(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Asks for an acknowledgement of the message added last: nothing comes back for the others unless they are refused.
    pub(crate) fn acknowledge(&mut self) -> &mut Self {
        let flags = &mut self.bytes[self.last + 6..self.last + 8];
        let asked = u16::from_ne_bytes([flags[0], flags[1]]) | ACK;
        flags.copy_from_slice(&asked.to_ne_bytes());
        self.acknowledged = self.messages;
        self
    }

    /// The number that the acknowledgement bears.
    pub(crate) fn acknowledged(&self) -> u32 {
        self.acknowledged
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_laid_out_as_strace_shows_it() {
        let mut batch = Batch::new();
        batch.message(16, CREATE | EXCLUSIVE, &[0; 16], |link| {
            link.string(3, "br0").nest(18, |info| {
                info.put(1, b"bridge");
            });
        });
        batch.acknowledge();
        // `strace -e raw=sendmsg ip link add br0 type bridge`, but for the sequence number.
        let mut expected = vec![60u8, 0, 0, 0, 16, 0, 5, 6, 1, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([0; 16]);
        expected.extend(*b"\x08\0\x03\0br0\0");
        expected.extend(*b"\x10\0\x12\x80\x0a\0\x01\0bridge\0\0");
        expected[0] = u8::try_from(expected.len()).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(batch.bytes(), expected);
        }
    }

    #[test]
    fn lengths_leave_the_padding_out_and_the_next_attribute_is_aligned() {
        let mut batch = Batch::new();
        batch.message(0, 0, &[], |message| {
            message.put(7, b"x").number(8, 1);
        });
        let attributes = &batch.bytes()[16..];
        assert_eq!(attributes[..2], 5u16.to_ne_bytes());
        assert_eq!(attributes[8..10], 8u16.to_ne_bytes());
        assert_eq!(attributes.len(), 16);
    }
}
