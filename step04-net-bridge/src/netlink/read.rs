//! Taking apart what the kernel says. It is trusted to speak the truth, but a length is checked all the same.

/// One message of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

/// The messages in a datagram.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Received<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.0.get(..16)?;
        let length = usize::try_from(word(header)).ok()?;
        let body = self.0.get(16..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        let half = |at: usize| Some(u16::from_ne_bytes(header.get(at..at + 2)?.try_into().ok()?));
        Some(Received { kind: half(4)?, flags: half(6)?, sequence: word(&header[8..]), body })
    }
}

/// The attributes in a message's body or in an attribute: kind and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(self.0.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.0.get(2..4)?.try_into().ok()?);
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        // The two upper bits say "nested" and "network byte order".
        Some((kind & 0x3fff, value))
    }
}

/// The value of the attribute `kind`.
pub(crate) fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    Attributes(attributes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A string without the zero byte that ends it.
pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// The number that `bytes` begin with; 0 where there are too few.
pub(crate) fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |four| u32::from_ne_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_end_at_a_length_that_cannot_be() {
        let bytes = [8, 0, 1, 0, 1, 2, 3, 4, 99, 0, 2, 0, 1];
        assert_eq!(Attributes(&bytes).collect::<Vec<_>>(), [(1, &bytes[4..8])]);
        assert_eq!(Attributes(&[0, 0, 0, 0]).count(), 0);
        assert_eq!(Messages(&[3, 0, 0, 0]).count(), 0);
    }

    #[test]
    fn text_ends_at_the_zero_byte() {
        assert_eq!(text(b"eth0\0\0"), "eth0");
        assert_eq!(text(b"eth0"), "eth0");
    }
}
