//! How much a layer may cost: a few kilobytes of image must not fill the disk.

use super::Refusal;

/// Bounds on one layer. The defaults let every honest image pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Parts of a name.
    pub depth: usize,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Uncompressed bytes for each compressed one, looked at above [`Limits::ratio_free`] bytes.
    pub ratio: u64,
    /// Up to this many uncompressed bytes any ratio is harmless.
    pub ratio_free: u64,
}

impl Limits {
    pub(crate) fn check_bytes(&self, bytes: u64) -> Result<(), Refusal> {
        // ANCHOR: task4_bytes
        if bytes > self.bytes {
            return Err(Refusal::TooLarge { limit: self.bytes });
        }
        Ok(())
        // ANCHOR_END: task4_bytes
    }

    pub(crate) fn check_ratio(&self, bytes: u64, compressed: u64) -> Result<(), Refusal> {
        // ANCHOR: task4_ratio
        if bytes > self.ratio_free && bytes / self.ratio > compressed {
            return Err(Refusal::Bomb { limit: self.ratio });
        }
        Ok(())
        // ANCHOR_END: task4_ratio
    }
}

impl Default for Limits {
    /// Four million entries, 255 levels, 256 GiB, 200:1 from 1 GiB on (text compresses 10:1; deflate cannot do more than 1032:1, zstd can).
    fn default() -> Self {
        Self { entries: 4_000_000, depth: 255, bytes: 256 << 30, ratio: 200, ratio_free: 1 << 30 }
    }
}
