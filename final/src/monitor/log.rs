//! The log of a container: docker's json-file form, one record a line.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The streams of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and everything that a terminal shows.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a log file. Source: docker's json-file driver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogRecord<'a> {
    /// What was written, with its newline; without one when the line was longer than 16 KiB or was not ended.
    pub log: Cow<'a, str>,
    /// Where it was written to.
    pub stream: Stream,
    /// When it was read from the program.
    pub time: Timestamp,
}

/// A longer line is cut into several records, as docker does.
const LONGEST: usize = 16 * 1024;

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    file: File,
    /// What of each stream has not been ended by a newline yet.
    pending: [Vec<u8>; 2],
}

impl Log {
    /// Opens the log at `path`, at its end.
    ///
    /// # Errors
    /// open(2).
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self {
            file: file.with_context(|| format!("open the log `{}`", path.display()))?,
            pending: Default::default(),
        })
    }

    /// Adds what the program wrote to `stream`; what is not a whole line waits.
    ///
    /// # Errors
    /// write(2): a full disk.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<()> {
        let pending = &mut self.pending[stream as usize];
        pending.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut begin = 0;
        while let Some(length) = next_line(&pending[begin..]) {
            add_record(&mut lines, stream, &pending[begin..begin + length])?;
            begin += length;
        }
        pending.drain(..begin);
        self.file.write_all(&lines).context("write the log")
    }

    /// Writes what was never ended by a newline.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn finish(&mut self) -> Result<()> {
        let mut lines = Vec::new();
        for (stream, pending) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.pending) {
            if !pending.is_empty() {
                add_record(&mut lines, stream, pending)?;
                pending.clear();
            }
        }
        self.file.write_all(&lines).context("write the log")
    }
}

/// The length of the first line with its newline, or of as much of it as a record takes; `None` when it is not there yet.
fn next_line(bytes: &[u8]) -> Option<usize> {
    let window = bytes.get(..LONGEST).unwrap_or(bytes);
    let newline = window.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
    newline.or((bytes.len() >= LONGEST).then_some(LONGEST))
}

fn add_record(lines: &mut Vec<u8>, stream: Stream, bytes: &[u8]) -> Result<()> {
    let record = LogRecord { log: String::from_utf8_lossy(bytes), stream, time: Timestamp::now() };
    serde_json::to_writer(&mut *lines, &record).context("write the log")?;
    lines.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_or_sixteen_kibibytes() {
        assert_eq!(next_line(b"a\nb\n"), Some(2));
        assert_eq!(next_line(b"a"), None);
        assert_eq!(next_line(&[b'x'; LONGEST - 1]), None);
        assert_eq!(next_line(&[b'x'; LONGEST + 1]), Some(LONGEST));
    }
}
