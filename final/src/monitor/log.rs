//! The log of a container: docker's json-file form, one record a line, in files that are bounded and rotated.

use crate::upkeep::LogSettings;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

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

/// A log that is being written. Its trouble is never the program's: what cannot be written is counted, and said in the log when
/// there is room again.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    settings: LogSettings,
    file: File,
    size: u64,
    /// What of each stream has not been ended by a newline yet.
    pending: [Vec<u8>; 2],
    /// How many records a full disk has cost since the last one.
    lost: u64,
}

/// The name of the log's `age`th file: 0 is being written, 1 was before it.
#[must_use]
pub fn file_of_age(path: &Path, age: u32) -> PathBuf {
    if age == 0 { path.to_owned() } else { PathBuf::from(format!("{}.{age}", path.display())) }
}

impl Log {
    /// Opens the log at `path`, at its end.
    ///
    /// # Errors
    /// open(2).
    pub fn open(path: &Path, settings: &LogSettings) -> Result<Self> {
        let file = append(path).with_context(|| format!("open the log `{}`", path.display()))?;
        let size = file.metadata()?.len();
        let (path, settings) = (path.to_owned(), settings.clone());
        Ok(Self { path, settings, file, size, pending: Default::default(), lost: 0 })
    }

    /// Adds what the program wrote to `stream`; what is not a whole line waits.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let mut pending = std::mem::take(&mut self.pending[stream as usize]);
        pending.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut begin = 0;
        let now = Timestamp::now();
        while let Some(length) = pending.get(begin..).and_then(next_line) {
            let before = lines.len();
            add_record(&mut lines, stream, &pending[begin..begin + length], now);
            if self.is_full(lines.len()) {
                let record = lines.split_off(before);
                self.put(&lines);
                if self.size > 0 {
                    self.rotate();
                }
                lines = record;
            }
            begin += length;
        }
        pending.drain(..begin);
        self.pending[stream as usize] = pending;
        self.put(&lines);
    }

    /// Writes what was never ended by a newline.
    pub fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let pending = std::mem::take(&mut self.pending[stream as usize]);
            if !pending.is_empty() {
                let mut line = Vec::new();
                add_record(&mut line, stream, &pending, Timestamp::now());
                if self.size > 0 && self.is_full(line.len()) {
                    self.rotate();
                }
                self.put(&line);
            }
        }
    }

    /// Whether so many bytes more are too many for this file.
    fn is_full(&self, more: usize) -> bool {
        self.settings.max_size.is_some_and(|limit| self.size + more as u64 > limit)
    }

    /// Writes whole records, as many as there is room for.
    fn put(&mut self, records: &[u8]) {
        if records.is_empty() {
            return;
        }
        if self.say_lost().and_then(|()| self.file.write_all(records)).is_ok() {
            self.size += records.len() as u64;
            return;
        }
        let written = self.file.metadata().map_or(0, |meta| meta.len().saturating_sub(self.size));
        let written = records.get(..usize::try_from(written).unwrap_or(0)).unwrap_or_default();
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        self.size += whole as u64;
        // Half a record would damage the whole log.
        let _stays_damaged_then = self.file.set_len(self.size);
        self.lost += lines(records.get(whole..).unwrap_or_default());
    }

    fn say_lost(&mut self) -> std::io::Result<()> {
        if self.lost == 0 {
            return Ok(());
        }
        let words = format!("tara: {} lines of output are lost: the log could not be written\n", self.lost);
        let mut line = Vec::new();
        add_record(&mut line, Stream::Stderr, words.as_bytes(), Timestamp::now());
        match self.file.write_all(&line) {
            Ok(()) => {
                self.size += line.len() as u64;
                self.lost = 0;
                Ok(())
            }
            Err(error) => {
                let _stays_damaged_then = self.file.set_len(self.size);
                Err(error)
            }
        }
    }

    /// Makes this file the last one, and begins another.
    fn rotate(&mut self) {
        let oldest = self.settings.max_file.saturating_sub(1);
        if oldest == 0 {
            let _full_disk = fs::remove_file(&self.path);
        }
        for age in (0..oldest).rev() {
            let _not_there_yet = fs::rename(file_of_age(&self.path, age), file_of_age(&self.path, age + 1));
        }
        // Without a new file (a full disk) the old one goes on.
        if let Ok(file) = append(&self.path) {
            self.size = file.metadata().map_or(0, |meta| meta.len());
            self.file = file;
        }
    }
}

fn lines(records: &[u8]) -> u64 {
    records.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn append(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// The length of the first line with its newline, or of as much of it as a record takes; `None` when it is not there yet.
fn next_line(bytes: &[u8]) -> Option<usize> {
    let window = bytes.get(..LONGEST).unwrap_or(bytes);
    let newline = window.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
    newline.or_else(|| (bytes.len() >= LONGEST).then(|| whole_characters(window)))
}

/// How much of `bytes` ends with a whole character of UTF-8; all of it where it is something else.
fn whole_characters(bytes: &[u8]) -> usize {
    let is_inner = |byte: &&u8| **byte & 0xc0 == 0x80;
    let inner = bytes.iter().rev().take_while(is_inner).count();
    match bytes.iter().rev().nth(inner) {
        Some(lead) if inner < 4 && lead.leading_ones() as usize > inner + 1 => bytes.len() - inner - 1,
        _ => bytes.len(),
    }
}

fn add_record(lines: &mut Vec<u8>, stream: Stream, bytes: &[u8], time: Timestamp) {
    let record = LogRecord { log: String::from_utf8_lossy(bytes), stream, time };
    serde_json::to_writer(&mut *lines, &record).expect("a vector takes every record");
    lines.push(b'\n');
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

    #[test]
    fn a_cut_line_keeps_its_characters_whole() {
        let text = format!("x{}", "я".repeat(LONGEST));
        assert_eq!(next_line(text.as_bytes()), Some(LONGEST - 1));
        assert_eq!(whole_characters("я".as_bytes()), 2);
        assert_eq!(whole_characters(&[0x80; 9]), 9);
    }
}
