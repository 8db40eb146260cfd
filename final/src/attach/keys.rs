//! The keys that detach from a container: `ctrl-p,ctrl-q`.

use crate::report::Refusal;
use anyhow::Result;

/// A sequence of keys, as bytes that a terminal sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    sequence: Vec<u8>,
    /// How many of them have been typed.
    seen: usize,
}

impl Default for DetachKeys {
    /// docker's: ctrl-p, ctrl-q.
    fn default() -> Self {
        Self { sequence: vec![0x10, 0x11], seen: 0 }
    }
}

impl DetachKeys {
    /// Parses docker's words: letters, and `ctrl-` with a letter or one of `@[\]^_`, separated by commas.
    ///
    /// # Errors
    /// [`Refusal`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let sequence: Option<Vec<u8>> = text.split(',').map(key).collect();
        let refused = || {
            let help = "write letters and ctrl-<letter> with commas between them, as in `ctrl-p,ctrl-q`";
            Refusal::new(format!("`{text}` is no sequence of keys")).help(help).code(125)
        };
        Ok(Self { sequence: sequence.ok_or_else(refused)?, seen: 0 })
    }

    /// Goes through what was typed: what of it is for the program, and whether the sequence is complete now. Keys that may yet
    /// become the sequence are held back, and given when they did not.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.sequence.get(self.seen) == Some(byte) {
                self.seen += 1;
                if self.seen == self.sequence.len() {
                    self.seen = 0;
                    return (passed, true);
                }
                continue;
            }
            passed.extend(self.sequence.iter().take(self.seen));
            self.seen = usize::from(self.sequence.first() == Some(byte));
            if self.seen == 0 {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

fn key(word: &str) -> Option<u8> {
    match (word.strip_prefix("ctrl-").map(str::as_bytes), word.as_bytes()) {
        (Some([letter @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]), _) => Some(letter & 0x1f),
        (None, [letter]) if letter.is_ascii_graphic() => Some(*letter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_dockers() {
        assert_eq!(DetachKeys::parse("ctrl-p,ctrl-q").unwrap(), DetachKeys::default());
        assert_eq!(DetachKeys::parse("a,ctrl-@,ctrl-[").unwrap().sequence, [b'a', 0, 0x1b]);
        for bad in ["", "ctrl-", "ctrl-P", "ab", "a,", "ctrl-pp"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_beginning_is_held_back_and_given_later() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(keys.filter(b"b"), (b"\x10b".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11x"), (Vec::new(), true));
    }
}
