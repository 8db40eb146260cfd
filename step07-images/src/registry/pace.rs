//! Bytes a second: a registry that lets them drip holds nobody for long.

use super::settings::Patience;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Measures what arrives, in the time that is spent waiting for it.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Patience,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, waited: Duration::ZERO, bytes: 0 }
    }

    /// Reads, and measures.
    pub(super) fn read(&mut self, reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        let begin = Instant::now();
        let result = reader.read(buffer);
        self.waited += begin.elapsed();
        self.bytes += *result.as_ref().unwrap_or(&0) as u64;
        result
    }

    /// After each window: the least number of bytes a second, when there were fewer.
    pub(super) fn check(&mut self) -> Result<(), u64> {
        if self.waited < self.patience.window {
            return Ok(());
        }
        let least = self.patience.slowest.saturating_mul(self.waited.as_secs().max(1));
        let enough = self.bytes >= least;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        if enough { Ok(()) } else { Err(self.patience.slowest) }
    }
}
