//! A layer on its way into the store, as one stream over two threads: this one reads, keeps, hashes and decompresses the blob, the
//! caller's hashes and unpacks the tar. Neither waits for the other as long as the few buffers between them last.

use super::Expected;
use crate::behind::WriteBehind;
use crate::compression::{BUFFER, Compression, Decoder};
use crate::digest::{Digest, Hashing};
use crate::error::Error;
use crate::unpack::{self, Stream};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Buffers that wait between the two threads. More do not help: the slower thread decides.
const BUFFERS: usize = 8;

/// What was learned about a blob by reading it to its end.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) compression: Compression,
}

/// Reads a blob once: `copy` gets its bytes, `unpack` the decompressed tar. Gives the blob and, where it was not the tar
/// itself, the tar's digest, and what `unpack` gave.
pub(super) fn flow<T>(
    reader: impl Read + Send,
    copy: Option<File>,
    expected: &Expected,
    unpack: impl FnOnce(&mut Layer) -> Result<T, Error>,
) -> Result<(Blob, Option<Digest>, T), Error> {
    let (full, chunks) = sync_channel(BUFFERS);
    let (empty, empties) = channel();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_ahead(reader, copy, expected, &full, &empties));
        let mut layer = Layer { chunks, empty, chunk: Chunk::default(), at: 0, plain: Hashing::new(Tail) };
        let unpacked = unpack(&mut layer);
        // What has failed here ends the other thread too, at its next buffer.
        let (digest, _, _) = layer.plain.finish();
        drop(layer.chunks);
        let blob = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (unpacked, blob) {
            (Ok(unpacked), Ok(Some(blob))) => Ok((blob, digest, unpacked)),
            (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
            (Ok(_), Ok(None)) => Err(Error::malformed(&expected.what, "its stream was not read to the end")),
        }
    })
}

/// Reads a blob whose layer is unpacked already: it is only kept and hashed.
pub(super) fn keep(reader: impl Read, copy: Option<File>, expected: &Expected) -> Result<Blob, Error> {
    let (compression, raw) = open(reader, copy, expected)?;
    finish(compression, raw.into_inner(), expected)
}

type Raw<R> = Hashing<Tee<io::Take<R>>>;

/// At most one byte more than promised; the compression checked against the media type.
fn open<R: Read>(reader: R, copy: Option<File>, expected: &Expected) -> Result<(Compression, Decoder<Raw<R>>), Error> {
    let most = expected.blob.map_or(u64::MAX, |(_, size)| size.saturating_add(1));
    let raw = Hashing::new(Tee { reader: reader.take(most), copy: copy.map(WriteBehind::new) });
    let (compression, decoder) = Decoder::new(raw, &expected.what)?;
    compression.of_layer(&expected.what)?;
    if let Some(media_type) = &expected.media_type {
        compression.agree(media_type, &expected.what)?;
    }
    Ok((compression, decoder))
}

fn finish<R: Read>(compression: Compression, mut raw: Raw<R>, expected: &Expected) -> Result<Blob, Error> {
    io::copy(&mut raw, &mut io::sink()).map_err(|error| Error::of_stream("read", &expected.what, error))?;
    let (digest, size, _) = raw.finish();
    Ok(Blob { digest: digest.expect("the blob's stream hashes"), size, compression })
}

/// The reading thread. `None` when nobody wanted the rest.
fn read_ahead<R: Read>(
    reader: R,
    copy: Option<File>,
    expected: &Expected,
    full: &SyncSender<io::Result<Chunk>>,
    empties: &Receiver<Vec<u8>>,
) -> Result<Option<Blob>, Error> {
    let (compression, mut decoder) = open(reader, copy, expected)?;
    loop {
        let mut bytes = empties.try_recv().unwrap_or_default();
        bytes.resize(BUFFER, 0);
        let read = fill(&mut decoder, &mut bytes);
        let (count, failed) = match read {
            Ok(count) => (count, None),
            Err((count, error)) => (count, Some(error)),
        };
        bytes.truncate(count);
        let compressed = decoder.get_ref().count();
        let is_blob = compression == Compression::None;
        if count > 0 && full.send(Ok(Chunk { bytes, compressed, is_blob })).is_err() {
            return Ok(None);
        }
        if let Some(error) = failed {
            let _nobody_reads = full.send(Err(error));
            return Ok(None);
        }
        if count == 0 {
            return finish(compression, decoder.into_inner(), expected).map(Some);
        }
    }
}

/// Reads until the buffer is full or the stream ends; how many bytes there were before an error.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, (usize, io::Error)> {
    let mut count = 0;
    while count < buffer.len() {
        match reader.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((count, error)),
        }
    }
    Ok(count)
}

#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Bytes of the blob read so far.
    compressed: u64,
    /// Not compressed: the blob's digest is the tar's, and one hash is enough.
    is_blob: bool,
}

/// The decompressed tar of a layer.
pub(super) struct Layer {
    chunks: Receiver<io::Result<Chunk>>,
    empty: Sender<Vec<u8>>,
    chunk: Chunk,
    at: usize,
    plain: Hashing<Tail>,
}

/// What the hash counts: bytes are passed to it whole chunks at a time.
struct Tail;

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Layer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.bytes.len() {
            let Ok(next) = self.chunks.recv() else {
                return Ok(0);
            };
            let used = std::mem::replace(&mut self.chunk, next?);
            let _reader_is_done = self.empty.send(used.bytes);
            self.at = 0;
            if self.chunk.is_blob && self.plain.count() == 0 {
                self.plain = Hashing::counting(Tail);
            }
            self.plain.write_all(&self.chunk.bytes)?;
        }
        let left = &self.chunk.bytes[self.at..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Stream for Layer {
    fn passed(&self) -> (u64, u64) {
        (self.plain.count(), self.chunk.compressed)
    }
}

/// Reads the zeros after a tar's end, which count for its digest, and as much as anything for its limits.
pub(super) fn drain(stream: &mut impl Stream, limits: unpack::Limits) -> Result<(), unpack::Refusal> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => drop(result?),
        }
        let (bytes, compressed) = stream.passed();
        limits.check_bytes(bytes)?;
        limits.check_ratio(bytes, compressed)?;
    }
}

/// Writes what is read.
pub(super) struct Tee<R> {
    reader: R,
    copy: Option<WriteBehind>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if let Some(copy) = &mut self.copy {
            copy.write_all(&buffer[..count])?;
        }
        Ok(count)
    }
}

/// Bytes of the files below `folder`, hard links once.
pub(crate) fn tree_size(folder: &Path) -> u64 {
    fn walk(folder: &Path, seen: &mut std::collections::HashSet<u64>) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let sizes = entries.map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => walk(&entry.path(), seen),
            Ok(data) if data.is_file() && (data.nlink() == 1 || seen.insert(data.ino())) => data.len(),
            _ => 0,
        });
        sizes.sum()
    }
    walk(folder, &mut std::collections::HashSet::new())
}
