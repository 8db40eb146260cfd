//! A folder in the store for what passes through, and tars from anywhere.

use crate::compression::Decoder;
use crate::digest::Hashing;
use crate::error::{Doing, Error};
use crate::store::Store;
use crate::unpack::{self, Stream};
use crate::work::Work;
use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// As much of a file as is needed to see a tar's first header: bzip2 gives nothing before a block of up to 900 kB is whole.
const FIRST: u64 = 1 << 20;

/// A folder of its own, removed when dropped; after a `kill -9`, [`Store::check`] finds it.
#[derive(Debug)]
pub struct Scratch {
    work: Work,
}

impl Scratch {
    /// Makes a folder in it.
    ///
    /// # Errors
    /// mkdir(2).
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.work.path().join(name);
        DirBuilder::new().mode(0o755).create(&path).doing("create", &path)?;
        Ok(path)
    }
}

/// A tar, plain or compressed, on its way.
struct Plain<R: Read> {
    decoder: Hashing<Decoder<Hashing<R>>>,
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer)
    }
}

impl<R: Read> Stream for Plain<R> {
    fn passed(&self) -> (u64, u64) {
        (self.decoder.count(), self.decoder.get_ref().get_ref().count())
    }
}

impl Store {
    /// A folder on the file system of the layers.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scratch(&self) -> Result<Scratch, Error> {
        Work::unique(&self.layout.tmp()).map(|work| Scratch { work })
    }

    /// Unpacks a tar (plain, or compressed with gzip, zstd, xz or bzip2) into an open folder, with the same care as a layer; `what` names it in errors.
    ///
    /// # Errors
    /// [`Error::Entry`] for an entry that is refused; [`Error::Compression`]; [`Error::Io`].
    pub fn unpack_tar(&self, reader: impl Read, what: &str, into: OwnedFd) -> Result<(), Error> {
        let (_, decoder) = Decoder::new(Hashing::counting(reader), what)?;
        let mut stream = Plain { decoder: Hashing::counting(decoder) };
        let unpacked = unpack::unpack(&mut stream, into, self.flavour(), self.limits);
        unpacked.map(drop).map_err(|(entry, refusal)| Error::Entry { layer: what.to_owned(), entry, refusal })
    }

    /// Whether a file is a tar, plain or compressed: by its content, not by its name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_tar(&self, reader: impl Read) -> Result<bool, Error> {
        let Ok((_, mut decoder)) = Decoder::new(Hashing::counting(reader.take(FIRST)), "the file") else {
            return Ok(false);
        };
        let mut first = [0; 512];
        let mut have = 0;
        while have < first.len() {
            match decoder.read(&mut first[have..]) {
                Ok(0) | Err(_) => return Ok(false),
                Ok(count) => have += count,
            }
        }
        Ok(has_checksum(&first))
    }
}

/// The header's own sum, its field counted as blanks. Source: POSIX, pax, "ustar Interchange Format".
fn has_checksum(header: &[u8; 512]) -> bool {
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }))
        .sum();
    let written = header.get(148..156).unwrap_or_default();
    let text: String = written.iter().map(|byte| char::from(*byte)).filter(char::is_ascii_digit).collect();
    u64::from_str_radix(&text, 8).is_ok_and(|written| written == sum)
}
