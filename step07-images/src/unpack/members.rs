//! The entries of a tar stream, one after the other, with what their extended headers say.

use super::Refusal;
use super::pax::{Extended, LIMIT};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use tar::{EntryType, Header};

const BLOCK: usize = 512;

// Where numbers stand. Source: POSIX, pax, "ustar Interchange Format".
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;

/// One entry of the tar: everything but its content.
#[derive(Debug)]
pub struct Member {
    /// As the tar has it, unchecked.
    pub name: Vec<u8>,
    /// What a link points to.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryType,
    /// Bytes of the file once unpacked.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Major and minor number.
    pub device: (u32, u32),
    /// Extended attributes: names and values.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the content belongs (offset, length), for a sparse file.
    pub sparse: Option<Vec<(u64, u64)>>,
}

/// Reads a tar. The content of a member is what [`Read`] gives until the next call of [`Members::next`].
#[derive(Debug)]
pub struct Members<R> {
    reader: R,
    /// Of the current member's content, what has not been read.
    pub(super) left: u64,
    /// The zeros after it, up to a full block.
    padding: u64,
    /// How to get past bytes that nobody wants; returns how many were there.
    forward: fn(&mut R, u64) -> io::Result<u64>,
}

/// The headers that stand before the one they describe.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    extended: Option<Extended>,
}

impl<R: Read> Members<R> {
    /// Reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0, forward: read_over }
    }

    /// The stream, after the last member.
    pub(crate) fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The next entry; `None` at the end marker, or where the stream ends between two entries.
    #[allow(clippy::missing_errors_doc, reason = "each refusal says itself why")]
    #[allow(clippy::should_implement_trait, reason = "an iterator could not lend its content meanwhile")]
    pub fn next(&mut self) -> Result<Option<Member>, Refusal> {
        let mut before = Before::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return match before {
                    Before { name: None, link: None, extended: None } => Ok(None),
                    _ => Err(Refusal::Truncated),
                };
            };
            let size = number(&header, SIZE, header.entry_size())?;
            self.content(size)?;
            match header.entry_type() {
                EntryType::GNULongName => once(&mut before.name, self.long_name(size)?)?,
                EntryType::GNULongLink => once(&mut before.link, self.long_name(size)?)?,
                EntryType::XHeader => once(&mut before.extended, Extended::parse(&self.all(size)?)?)?,
                // Comments for the whole archive (git writes its commit there): docker skips them too.
                EntryType::XGlobalHeader => {}
                _ => return self.member(&header, before).map(Some),
            }
        }
    }

    fn member(&mut self, header: &Header, before: Before) -> Result<Member, Refusal> {
        let extended = before.extended.unwrap_or_default();
        if extended.sparse {
            return Err(Refusal::Sparse { form: "PAX" });
        }
        if let Some(size) = extended.size {
            self.content(size)?;
        }
        let mut member = Member {
            name: exclusive(before.name, extended.path)?.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: exclusive(before.link, extended.link)?
                .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned()),
            kind: header.entry_type(),
            size: self.left,
            mode: number(header, MODE, header.mode())? & 0o7777,
            uid: extended.uid.map_or_else(|| number(header, UID, header.uid()), Ok)?,
            gid: extended.gid.map_or_else(|| number(header, GID, header.gid()), Ok)?,
            mtime: extended.mtime.unwrap_or_else(|| (mtime(header), 0)),
            device: device(header)?,
            attributes: extended.attributes,
            sparse: None,
        };
        // Before POSIX a directory was a file whose name ends in a slash.
        if header.as_bytes()[156] == 0 && member.name.ends_with(b"/") {
            member.kind = EntryType::Directory;
        }
        // Go takes such an entry to have no content, other readers skip it: the next header would be another one.
        if self.left > 0 && is_header_only(member.kind) {
            return Err(Refusal::Header { why: "only a file can have content" });
        }
        if member.kind.is_gnu_sparse() {
            self.read_sparse_map(header, &mut member)?;
        }
        Ok(member)
    }

    /// The next `size` bytes are a member's content.
    fn content(&mut self, size: u64) -> Result<(), Refusal> {
        const NO_SIZE: Refusal = Refusal::Header { why: "the size is no size" };
        size.checked_add(BLOCK as u64).filter(|size| *size < i64::MAX as u64).ok_or(NO_SIZE)?;
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), Refusal> {
        let rest = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        if rest == 0 {
            return Ok(());
        }
        let skipped = (self.forward)(&mut self.reader, rest)?;
        if skipped == rest { Ok(()) } else { Err(Refusal::Truncated) }
    }

    /// The next header whose checksum is right; `None` for a block of zeros or the stream's end.
    fn header(&mut self) -> Result<Option<Header>, Refusal> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            return Ok(None);
        }
        if is_zero(header.as_bytes()) {
            return self.end().map(|()| None);
        }
        let bytes = header.as_bytes().iter().enumerate();
        let sum: u32 =
            bytes.map(|(at, byte)| if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(*byte) }).sum();
        if header.cksum().ok() != Some(sum) {
            return Err(Refusal::Header { why: "the checksum is wrong" });
        }
        Ok(Some(header))
    }

    /// After one block of zeros comes another, or nothing. Readers disagree about what else could follow: docker refuses it, GNU
    /// tar stops, others read on.
    fn end(&mut self) -> Result<(), Refusal> {
        let mut second = [0; BLOCK];
        if self.block(&mut second)? && !is_zero(&second) {
            return Err(Refusal::Header { why: "a single block of zeros is before it" });
        }
        Ok(())
    }

    /// Fills `block`; `false` when the stream had ended before it.
    pub(super) fn block(&mut self, block: &mut [u8]) -> Result<bool, Refusal> {
        let mut filled = 0;
        while filled < block.len() {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(Refusal::Truncated),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// The content of a header that describes the next one: all in memory, so it is bounded.
    fn all(&mut self, size: u64) -> Result<Vec<u8>, Refusal> {
        if size > LIMIT {
            return Err(Refusal::HeaderSize { size, limit: LIMIT });
        }
        let mut content = Vec::new();
        self.read_to_end(&mut content)?;
        Ok(content)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Refusal> {
        let mut name = self.all(size)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }
}

impl Members<File> {
    /// A tar in a file: contents that nobody reads are not read from the disk.
    pub(crate) fn seeking(reader: File) -> Self {
        let forward = |file: &mut File, bytes: u64| {
            let (here, end) = (file.stream_position()?, file.metadata()?.len());
            let to = here.saturating_add(bytes).min(end);
            Ok(file.seek(SeekFrom::Start(to))? - here)
        };
        Self { reader, left: 0, padding: 0, forward }
    }
}

fn read_over<R: Read>(reader: &mut R, bytes: u64) -> io::Result<u64> {
    io::copy(&mut reader.take(bytes), &mut io::sink())
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

fn is_header_only(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    matches!(kind, Link | Symlink | Char | Block | Directory | Fifo)
}

const WRONG_NUMBER: Refusal = Refusal::Header { why: "a number is no number" };

/// Two extended headers of one kind before one entry: tools disagree about which counts.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Header { why: "it has two extended headers of one kind" }),
    }
}

/// A GNU long name and a PAX path for one entry: tools disagree about which counts.
fn exclusive<T>(gnu: Option<T>, pax: Option<T>) -> Result<Option<T>, Refusal> {
    match (gnu, pax) {
        (Some(_), Some(_)) => Err(Refusal::Header { why: "it has two long names" }),
        (gnu, pax) => Ok(gnu.or(pax)),
    }
}

/// A number of the header. One that is left out, blanks or zero bytes, is zero to every other reader.
fn number<T: Default>(header: &Header, field: Range<usize>, value: io::Result<T>) -> Result<T, Refusal> {
    let is_blank = || header.as_bytes()[field].iter().all(|byte| matches!(byte, 0 | b' '));
    value.or_else(|_| if is_blank() { Ok(T::default()) } else { Err(WRONG_NUMBER) })
}

/// The time in the plain header: seconds, which base-256 numbers may make negative.
fn mtime(header: &Header) -> i64 {
    header.mtime().map_or(0, |seconds| seconds.cast_signed())
}

fn device(header: &Header) -> Result<(u32, u32), Refusal> {
    if !header.entry_type().is_block_special() && !header.entry_type().is_character_special() {
        return Ok((0, 0));
    }
    let major = number(header, MAJOR, header.device_major())?;
    let minor = number(header, MINOR, header.device_minor())?;
    Ok((major.unwrap_or(0), minor.unwrap_or(0)))
}

impl<R: Read> Read for Members<R> {
    /// Reads content of the current member. A stream that ends inside it is an error, never a short file.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}
