//! A directory as a layer's tar: owners, modes, times to the nanosecond, attributes, hard links, devices, fifos, links.

use crate::error::{Doing, Error};
use crate::unpack::Skipped;
use nix::libc;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::CString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
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

/// Writes `folder` as a tar, in the order of names: the same folder gives the same bytes. Sockets are skipped.
pub(crate) fn write_folder<W: Write>(folder: &Path, writer: W) -> Result<(W, Vec<Skipped>), Error> {
    let mut walk = Walk { root: folder, tar: TarWriter::new(writer), linked: HashMap::new(), skipped: Vec::new() };
    walk.entry(folder)?;
    let writer = walk.tar.finish().doing("write the tar of", folder)?;
    Ok((writer, walk.skipped))
}

struct Walk<'a, W> {
    root: &'a Path,
    tar: TarWriter<W>,
    /// Files with several names: device and inode, and the first name.
    linked: HashMap<(u64, u64), Vec<u8>>,
    skipped: Vec<Skipped>,
}

impl<W: Write> Walk<'_, W> {
    fn entry(&mut self, path: &Path) -> Result<(), Error> {
        let data = fs::symlink_metadata(path).doing("look at", path)?;
        let Some(kind) = kind(&data) else {
            let entry = path.display().to_string();
            self.skipped.push(Skipped { entry, what: "a socket: it means nothing without its server".into() });
            return Ok(());
        };
        let mut item = Item {
            name: name(path.strip_prefix(self.root).unwrap_or(path), data.is_dir()),
            link: Vec::new(),
            kind,
            mode: data.mode() & 0o7777,
            owner: (data.uid(), data.gid()),
            mtime: (data.mtime(), u32::try_from(data.mtime_nsec()).unwrap_or(0)),
            size: 0,
            device: (0, 0),
            attributes: attributes(path)?,
        };
        if let Some(first) = self.earlier_name(&data, &item.name) {
            (item.kind, item.link) = (EntryType::Link, first);
            return self.tar.add(&item, std::io::empty()).doing("write the tar of", path);
        }
        match kind {
            EntryType::Symlink => item.link = fs::read_link(path).doing("read", path)?.into_os_string().into_vec(),
            EntryType::Char | EntryType::Block => item.device = numbers(data.rdev()),
            EntryType::Regular => {
                item.size = data.len();
                let file: File =
                    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).doing("open", path)?;
                return self.tar.add(&item, file).doing("write the tar of", path);
            }
            _ => {}
        }
        self.tar.add(&item, std::io::empty()).doing("write the tar of", path)?;
        if data.is_dir() { self.children(path) } else { Ok(()) }
    }

    /// The first name of a file that has several; remembers `name` when it is the first.
    fn earlier_name(&mut self, data: &Metadata, name: &[u8]) -> Option<Vec<u8>> {
        if data.is_dir() || data.nlink() < 2 {
            return None;
        }
        match self.linked.entry((data.dev(), data.ino())) {
            Entry::Occupied(first) => Some(first.get().clone()),
            Entry::Vacant(place) => {
                place.insert(name.to_vec());
                None
            }
        }
    }

    fn children(&mut self, folder: &Path) -> Result<(), Error> {
        let entries = fs::read_dir(folder).doing("read", folder)?;
        let mut paths =
            entries.map(|entry| Ok(entry.doing("read", folder)?.path())).collect::<Result<Vec<PathBuf>, Error>>()?;
        paths.sort();
        paths.iter().try_for_each(|path| self.entry(path))
    }
}

/// The name in the tar: `./` for the folder itself, a slash after directories, as GNU tar writes them.
fn name(path: &Path, is_dir: bool) -> Vec<u8> {
    let mut name = path.as_os_str().as_bytes().to_vec();
    if name.is_empty() {
        name.push(b'.');
    }
    if is_dir {
        name.push(b'/');
    }
    name
}

fn kind(data: &Metadata) -> Option<EntryType> {
    let kind = data.file_type();
    Some(match () {
        () if kind.is_dir() => EntryType::Directory,
        () if kind.is_symlink() => EntryType::Symlink,
        () if kind.is_file() => EntryType::Regular,
        () if kind.is_fifo() => EntryType::Fifo,
        () if kind.is_char_device() => EntryType::Char,
        () if kind.is_block_device() => EntryType::Block,
        () => return None,
    })
}

fn numbers(device: u64) -> (u32, u32) {
    let number = |number: u64| u32::try_from(number).unwrap_or(0);
    (number(nix::sys::stat::major(device)), number(nix::sys::stat::minor(device)))
}

/// The extended attributes that belong to a file wherever it is; overlayfs's own belong to where it lay.
fn attributes(path: &Path) -> Result<Vec<Attribute>, Error> {
    let c_path = CString::new(path.as_os_str().as_bytes()).expect("a path from readdir has no zero byte");
    let names = match sys::xattr::list(&c_path) {
        Err(nix::errno::Errno::EOPNOTSUPP) => Vec::new(),
        result => result.doing("list the attributes of", path)?,
    };
    let mut attributes = Vec::new();
    for name in names.into_iter().filter(|name| !is_local(name)) {
        let c_name = CString::new(name.clone()).expect("the kernel's names are split at zero bytes");
        attributes.push((name, sys::xattr::get(&c_path, &c_name).doing("read an attribute of", path)?));
    }
    attributes.sort();
    Ok(attributes)
}

fn is_local(name: &[u8]) -> bool {
    const LOCAL: [&[u8]; 3] = [b"trusted.overlay.", b"user.overlay.", b"security.selinux"];
    LOCAL.iter().any(|local| name.starts_with(local))
}
