//! A directory as a layer's tar: owners, modes, times to the nanosecond, attributes, hard links, devices, fifos, links.

use crate::error::{Doing, Error};
use crate::pack::{Form, Packer};
use crate::unpack::Skipped;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use tar::{EntryType, Header};

/// An extended attribute's full name and its value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// An entry to write.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryType,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    pub(crate) size: u64,
    pub(crate) device: (u32, u32),
    pub(crate) attributes: Vec<Attribute>,
}

/// Writes a tar, entry by entry.
pub(crate) struct TarWriter<W> {
    writer: W,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Writes one entry with `content`, of which there have to be `item.size` bytes.
    pub(crate) fn add(&mut self, item: &Item, content: impl Read) -> std::io::Result<()> {
        let records = records(item);
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            self.write(header, records.len() as u64, &records[..])?;
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_uid(item.owner.0.into());
        header.set_gid(item.owner.1.into());
        header.set_mtime(u64::try_from(item.mtime.0).unwrap_or(0));
        header.set_device_major(item.device.0)?;
        header.set_device_minor(item.device.1)?;
        if let Some(ustar) = header.as_ustar_mut() {
            cut_into(&mut ustar.name, &item.name);
            cut_into(&mut ustar.linkname, &item.link);
        }
        self.write(header, item.size, content)
    }

    fn write(&mut self, mut header: Header, size: u64, content: impl Read) -> std::io::Result<()> {
        header.set_size(size);
        header.set_cksum();
        self.writer.write_all(header.as_bytes())?;
        let written = std::io::copy(&mut content.take(size), &mut self.writer)?;
        if written != size {
            return Err(std::io::Error::other("it became shorter while it was read"));
        }
        let padding = size.next_multiple_of(512) - size;
        std::io::copy(&mut std::io::repeat(0).take(padding), &mut self.writer).map(drop)
    }

    /// Writes the end marker.
    pub(crate) fn finish(mut self) -> std::io::Result<W> {
        self.writer.write_all(&[0; 1024])?;
        Ok(self.writer)
    }
}

/// Puts into a header's field what fits; what does not is in a record.
fn cut_into(field: &mut [u8; 100], name: &[u8]) {
    let length = name.len().min(100);
    field[..length].copy_from_slice(&name[..length]);
}

/// The PAX records: what the plain header cannot say.
fn records(item: &Item) -> Vec<u8> {
    let mut records = Vec::new();
    if item.name.len() > 100 {
        record(&mut records, b"path", &item.name);
    }
    if item.link.len() > 100 {
        record(&mut records, b"linkpath", &item.link);
    }
    if item.mtime.1 != 0 || item.mtime.0 < 0 {
        record(&mut records, b"mtime", decimal(item.mtime).as_bytes());
    }
    for (name, value) in &item.attributes {
        record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    records
}

/// Seconds with a fraction; before 1970 the nanoseconds still count forward, so they are turned round.
fn decimal((seconds, nanos): (i64, u32)) -> String {
    match (seconds, nanos) {
        (_, 0) => seconds.to_string(),
        (..0, _) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos),
        _ => format!("{seconds}.{nanos:09}"),
    }
}

/// `length key=value\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(&[key, b"=", value, b"\n"].concat());
}

/// Writes `folder` as a tar. Sockets are skipped.
pub(crate) fn write_folder<W: Write>(folder: &Path, writer: W) -> Result<(W, Vec<Skipped>), Error> {
    let opened = File::open(folder).doing("open", folder)?;
    let mut packer = Packer::new(writer, Form::Plain);
    packer.folder(opened.as_fd(), b".")?;
    packer.finish()
}
