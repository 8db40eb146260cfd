//! What a stream is compressed with: the content's first bytes decide, and the media type has to agree.

use crate::error::Error;
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use oci_spec::image::MediaType;
use std::io::{self, BufRead, BufReader, Read};

/// Bytes that are read at once: large enough that system calls do not count, small enough for the cache.
pub(crate) const BUFFER: usize = 256 * 1024;

/// What decoding xz may take, in KiB: its highest level needs 65 MiB, a hostile header could ask for 4 GiB.
const XZ_MEMORY: u32 = 80 << 10;

/// What a layer's or an archive's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// A plain tar.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Of archives around images and file systems, not of layers: no media type stands for it.
    Xz,
    /// As xz.
    Bzip2,
}

impl Compression {
    /// Looks at the first bytes.
    pub(crate) fn detect(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame, as estargz-like zstd layers begin with (RFC 8878, 3.1.2).
            [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// Refuses what no layer in a registry or an OCI layout has.
    pub(crate) fn of_layer(self, what: &str) -> Result<Self, Error> {
        let found = match self {
            Self::Xz => "compression with xz",
            Self::Bzip2 => "compression with bzip2",
            _ => return Ok(self),
        };
        Err(Error::Compression { what: what.to_owned(), found })
    }

    /// Refuses content that its media type does not announce: two tools that decide by different signs would see two images.
    pub(crate) fn agree(self, media_type: &MediaType, what: &str) -> Result<(), Error> {
        let name = media_type.to_string();
        let announced = match name.rsplit_once(['+', '.']).map(|(_, end)| end) {
            Some("gzip") => Self::Gzip,
            Some("zstd") => Self::Zstd,
            Some("tar") => Self::None,
            _ => return Err(Error::malformed(what, format!("`{name}` is no media type of a layer"))),
        };
        if self == announced {
            return Ok(());
        }
        Err(Error::MediaType { what: what.to_owned(), media_type: name, found: self.words() })
    }

    /// The media type of a layer of this kind.
    pub(crate) fn media_type(self) -> MediaType {
        match self {
            Self::None | Self::Xz | Self::Bzip2 => MediaType::ImageLayer,
            Self::Gzip => MediaType::ImageLayerGzip,
            Self::Zstd => MediaType::ImageLayerZstd,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::None => "not compressed",
            Self::Gzip => "compressed with gzip",
            Self::Zstd => "compressed with zstd",
            Self::Xz => "compressed with xz",
            Self::Bzip2 => "compressed with bzip2",
        }
    }
}

/// The longest sign of a compression.
const SIGN: usize = 6;

/// A stream whose first read gives enough to tell its compression: from a network the first byte may come alone.
pub(crate) struct Primed<R> {
    reader: R,
    is_first: bool,
}

impl<R: Read> Read for Primed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.reader.read(buffer)?;
        while std::mem::take(&mut self.is_first) && count > 0 && count < SIGN.min(buffer.len()) {
            let more = self.reader.read(&mut buffer[count..])?;
            count += more;
            self.is_first = more > 0;
        }
        Ok(count)
    }
}

/// A stream of any compression, decompressed.
pub(crate) enum Decoder<R: Read> {
    None(BufReader<Primed<R>>),
    Gzip(Box<MultiGzDecoder<BufReader<Primed<R>>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Primed<R>>>),
    Xz(Box<XzReader<BufReader<Primed<R>>>>),
    Bzip2(Box<MultiBzDecoder<BufReader<Primed<R>>>>),
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `reader` and decodes accordingly; `what` names the stream in errors.
    pub(crate) fn new(reader: R, what: &str) -> Result<(Compression, Self), Error> {
        Self::of(reader, what, |_| true)
    }

    /// Decodes what cannot be a layer's compression, so that what is left can be a layer.
    pub(crate) fn to_layer(reader: R, what: &str) -> Result<Self, Error> {
        Self::of(reader, what, |compression| compression.of_layer(what).is_err()).map(|(_, decoder)| decoder)
    }

    /// Decodes what `is_wanted`, and leaves all else as it is.
    fn of(reader: R, what: &str, is_wanted: impl FnOnce(Compression) -> bool) -> Result<(Compression, Self), Error> {
        let mut reader = BufReader::with_capacity(BUFFER, Primed { reader, is_first: true });
        let broken = |error: io::Error| Error::of_stream("read", what, error);
        let first = loop {
            match reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(broken)?,
            }
        };
        let compression = Compression::detect(first);
        let decoder = match compression {
            _ if !is_wanted(compression) => Self::None(reader),
            Compression::None => Self::None(reader),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(reader))),
            Compression::Zstd => Self::Zstd(zstd::stream::read::Decoder::with_buffer(reader).map_err(broken)?),
            Compression::Xz => Self::Xz(Box::new(XzReader::new_mem_limit(reader, true, XZ_MEMORY))),
            Compression::Bzip2 => Self::Bzip2(Box::new(MultiBzDecoder::new(reader))),
        };
        Ok((compression, decoder))
    }

    /// The compressed stream.
    pub(crate) fn get_ref(&self) -> &R {
        match self {
            Self::None(reader) => &reader.get_ref().reader,
            Self::Gzip(decoder) => &decoder.get_ref().get_ref().reader,
            Self::Zstd(decoder) => &decoder.get_ref().get_ref().reader,
            Self::Xz(decoder) => &decoder.inner().get_ref().reader,
            Self::Bzip2(decoder) => &decoder.get_ref().get_ref().reader,
        }
    }

    /// The compressed stream, for what is left of it.
    pub(crate) fn into_inner(self) -> R {
        match self {
            Self::None(reader) => reader.into_inner().reader,
            Self::Gzip(decoder) => decoder.into_inner().into_inner().reader,
            Self::Zstd(decoder) => decoder.finish().into_inner().reader,
            Self::Xz(decoder) => decoder.into_inner().into_inner().reader,
            Self::Bzip2(decoder) => decoder.into_inner().into_inner().reader,
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(reader) => reader.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Drop<'a>(&'a [u8]);

    impl Read for Drop<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(1);
            self.0.read(&mut buffer[..most])
        }
    }

    #[test]
    fn the_first_byte_may_come_alone() {
        let packed = zstd::encode_all(&b"abc"[..], 1).unwrap();
        for (bytes, expected) in [(&packed[..], &b"abc"[..]), (b"abcdefghi", b"abcdefghi"), (b"a", b"a"), (b"", b"")] {
            let (_, mut decoder) = Decoder::new(Drop(bytes), "x").unwrap();
            let mut plain = Vec::new();
            decoder.read_to_end(&mut plain).unwrap();
            assert_eq!(plain, expected);
        }
    }

    #[test]
    fn content_and_media_type_have_to_agree() {
        let gzip = Compression::detect(&[0x1f, 0x8b, 8]);
        assert_eq!(gzip, Compression::Gzip);
        assert!(gzip.agree(&MediaType::ImageLayerGzip, "x").is_ok());
        let docker = MediaType::from("application/vnd.docker.image.rootfs.diff.tar.gzip");
        assert!(gzip.agree(&docker, "x").is_ok());
        assert!(gzip.agree(&MediaType::ImageLayer, "x").is_err());
        assert!(Compression::None.agree(&MediaType::ImageLayerZstd, "x").is_err());
        assert!(Compression::detect(b"BZh9").of_layer("x").is_err());
    }
}
