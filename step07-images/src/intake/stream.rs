//! A layer on its way from the archive into the store.

use super::Expected;
use crate::compression::{Compression, Decoder};
use crate::digest::{Digest, Hashing};
use crate::error::Error;
use crate::unpack::{self, Stream};
use std::fs::{self, File};
use std::io::{self, Read, Take, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A layer on its way: compressed bytes hashed below the decoder, plain ones above it.
pub(super) struct Layer<R: Read> {
    compression: Compression,
    plain: Hashing<Decoder<Hashing<Tee<Take<R>>>>>,
}

impl<R: Read> Layer<R> {
    /// Begins to read: at most one byte more than promised, the compression checked against the media type.
    pub(super) fn open(reader: R, copy: Option<File>, expected: &Expected) -> Result<Self, Error> {
        let most = expected.blob.map_or(u64::MAX, |(_, size)| size.saturating_add(1));
        let reader = reader.take(most);
        let (compression, decoder) = Decoder::new(Hashing::new(Tee { reader, copy }), &expected.what)?;
        if let Some(media_type) = &expected.media_type {
            compression.agree(media_type, &expected.what)?;
        }
        let plain = match compression {
            // The blob is the tar: one hash is enough.
            Compression::None => Hashing::counting(decoder),
            _ => Hashing::new(decoder),
        };
        Ok(Self { compression, plain })
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Reads what is left; gives the blob's digest and size, and the tar's digest unless only the blob was read.
    pub(super) fn finish(self, blob_only: bool) -> io::Result<(Digest, u64, Option<Digest>)> {
        let compression = self.compression;
        let (diff_id, _, decoder) = self.plain.finish();
        let mut raw = decoder.into_inner();
        io::copy(&mut raw, &mut io::sink())?;
        let (blob, size, _) = raw.finish();
        let blob = blob.expect("the blob's stream hashes");
        let diff_id = match compression {
            Compression::None => Some(blob),
            _ => diff_id.filter(|_| !blob_only),
        };
        Ok((blob, size, diff_id))
    }
}

impl<R: Read> Read for Layer<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.plain.read(buffer)
    }
}

impl<R: Read> Stream for Layer<R> {
    fn passed(&self) -> (u64, u64) {
        (self.plain.count(), self.plain.get_ref().get_ref().count())
    }
}

/// Reads the zeros after a tar's end, which count for its digest, and as much as anything for its limits.
pub(super) fn drain(stream: &mut impl Stream, limits: unpack::Limits) -> Result<(), unpack::Refusal> {
    let mut buffer = vec![0; crate::compression::BUFFER];
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
struct Tee<R> {
    reader: R,
    copy: Option<File>,
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
