//! Bodies: of a known length, or in chunks; never slower than is bearable.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A body may be slower for this long on the whole, and must have this many bytes a second after it.
const BODY_GRACE: Duration = Duration::from_secs(60);
const BODY_SLOWEST: u64 = 1024;

/// What of a body has not come yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Bytes(u64),
    /// So much of this chunk; then comes another, or the end.
    Chunk(u64),
}

/// The body of a request, of a known length or in chunks.
pub(in super::super) struct Body<'c> {
    reader: &'c mut BufReader<TcpStream>,
    left: Left,
    /// The client waits for a word before it sends.
    expects: bool,
    begin: Instant,
    count: u64,
}

impl<'c> Body<'c> {
    pub(super) fn new(reader: &'c mut BufReader<TcpStream>, left: Left, expects: bool) -> Self {
        Self { reader, left, expects, begin: Instant::now(), count: 0 }
    }

    pub(super) fn is_read(&self) -> bool {
        self.left == Left::Bytes(0)
    }

    /// A line of the chunked form, at most so long.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.take(256).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default();
        let size = number(digits, 16).ok_or(io::ErrorKind::InvalidData)?;
        self.left = Left::Chunk(size);
        if size == 0 {
            // Trailers, of which there may be some, and none is looked at.
            for _ in 0..64 {
                if self.line()?.is_empty() {
                    self.left = Left::Bytes(0);
                    return Ok(());
                }
            }
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == Left::Bytes(0) || buffer.is_empty() {
            return Ok(0);
        }
        if std::mem::take(&mut self.expects) {
            self.reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let waited = self.begin.elapsed();
        if waited > BODY_GRACE && self.count < waited.as_secs() * BODY_SLOWEST {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.left == Left::Chunk(0) {
            self.next_chunk()?;
        }
        let left = match self.left {
            Left::Bytes(0) => return Ok(0),
            Left::Bytes(left) | Left::Chunk(left) => left,
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.count += count as u64;
        let rest = left - count as u64;
        self.left = match self.left {
            Left::Bytes(_) => Left::Bytes(rest),
            Left::Chunk(_) => {
                if rest == 0 && !self.line()?.is_empty() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Left::Chunk(rest)
            }
        };
        Ok(count)
    }
}

/// Digits and nothing else: `+1` is a number to Rust, and not to whoever may stand in between.
pub(super) fn number(text: &str, radix: u32) -> Option<u64> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    digits.then(|| u64::from_str_radix(text, radix).ok()).flatten()
}
