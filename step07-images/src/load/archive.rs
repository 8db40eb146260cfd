//! The files of an archive by name, whether it is a directory or a tar. A tar is looked through once; then each file is read
//! where it lies, in any order: docker writes its manifest last.

use super::Source;
use crate::compression::{Compression, Decoder};
use crate::error::{Doing, Error};
use crate::layout::DOCUMENT;
use crate::unpack::{LayerPath, Limits, Members, Refusal};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;
use tar::EntryType;

/// Links in old docker archives (a layer that two images share) lead to a file at once; more steps than this are a loop.
const MOST_LINKS: usize = 8;

/// An archive to load from.
pub(super) struct Archive {
    name: String,
    kind: Kind,
}

enum Kind {
    Folder(File),
    Tar { file: File, members: HashMap<String, Place> },
}

#[derive(Debug, Clone)]
enum Place {
    At { offset: u64, size: u64 },
    Link(String),
}

impl Archive {
    /// Opens `source`; what has to be decompressed or comes as a stream is written into `folder`.
    pub(super) fn open(source: Source<'_>, folder: &Path, limits: Limits) -> Result<Self, Error> {
        let (name, file) = match source {
            Source::Stream(stream) => ("the input".to_owned(), spool(stream, "the input", folder, limits)?),
            Source::Path(path) => {
                let name = path.display().to_string();
                let mut file = File::open(path).doing("open", path)?;
                let data = file.metadata().doing("look at", path)?;
                if data.is_dir() {
                    return Ok(Self { name, kind: Kind::Folder(file) });
                }
                if !data.is_file() || is_compressed(&mut file, &name)? {
                    file = spool(&mut file, &name, folder, limits)?;
                }
                (name, file)
            }
        };
        let members = members(&file, &name)?;
        Ok(Self { name, kind: Kind::Tar { file, members } })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn has(&self, member: &str) -> bool {
        self.get(member).is_ok()
    }

    /// The content of `member` and its size.
    pub(super) fn get(&self, member: &str) -> Result<(Box<dyn Read + Send + '_>, u64), Error> {
        let missing = || Error::MissingMember { archive: self.name.clone(), member: member.to_owned() };
        match &self.kind {
            Kind::Folder(folder) => {
                let path = CString::new(member).map_err(|_| missing())?;
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
                let file = sys::fd::open_beneath(folder.as_fd(), &path, flags, Mode::empty()).map_err(|_| missing())?;
                let file = File::from(file);
                let data = file.metadata().doing("look at", member)?;
                if !data.is_file() {
                    return Err(missing());
                }
                Ok((Box::new(file), data.len()))
            }
            Kind::Tar { file, members } => {
                let (offset, size) = find(members, member).ok_or_else(missing)?;
                Ok((Box::new(Slice { file, offset, left: size }), size))
            }
        }
    }

    /// A whole document.
    pub(super) fn document(&self, member: &str) -> Result<Vec<u8>, Error> {
        let (reader, size) = self.get(member)?;
        if size > DOCUMENT {
            return Err(Error::malformed(
                format!("`{member}` of `{}`", self.name),
                format!("{size} bytes, a document has at most {DOCUMENT}"),
            ));
        }
        let mut bytes = Vec::new();
        reader.take(DOCUMENT).read_to_end(&mut bytes).doing("read", member)?;
        Ok(bytes)
    }
}

/// A part of a file, read without moving the file's own position.
struct Slice<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn is_compressed(file: &mut File, name: &str) -> Result<bool, Error> {
    let mut first = Vec::new();
    file.take(6).read_to_end(&mut first).doing("read", name)?;
    file.seek(SeekFrom::Start(0)).doing("read", name)?;
    Ok(Compression::detect(&first) != Compression::None)
}

/// Writes `stream`, decompressed, into a file of `folder`.
fn spool(stream: &mut dyn Read, name: &str, folder: &Path, limits: Limits) -> Result<File, Error> {
    let path = folder.join("archive.tar");
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let mut file = file.doing("create", &path)?;
    let (_, mut plain) = Decoder::new(stream, name)?;
    let mut buffer = vec![0; crate::compression::BUFFER];
    let mut total = 0;
    loop {
        let count = plain.read(&mut buffer).doing("read", name)?;
        if count == 0 {
            break;
        }
        total += count as u64;
        if total > limits.bytes {
            return Err(Error::malformed(name, Refusal::TooLarge { limit: limits.bytes }.to_string()));
        }
        file.write_all(&buffer[..count]).doing("write", &path)?;
    }
    file.seek(SeekFrom::Start(0)).doing("read", &path)?;
    Ok(file)
}

/// Where each file of the tar lies. Names are only looked up, nothing is written by them.
fn members(file: &File, name: &str) -> Result<HashMap<String, Place>, Error> {
    let reader = file.try_clone().doing("read", name)?;
    let end = file.metadata().doing("look at", name)?.len();
    let mut members = Members::seeking(reader);
    let mut places = HashMap::new();
    let broken = |refusal: Refusal| Error::malformed(format!("`{name}`"), format!("as a tar: {refusal}"));
    while let Some(member) = members.next().map_err(broken)? {
        let offset = members.get_mut().stream_position().doing("read", name)?;
        let size = member.size;
        if offset.saturating_add(size) > end {
            return Err(broken(Refusal::Truncated));
        }
        let Some(path) = text(&member.name) else { continue };
        let place = match member.kind {
            EntryType::Regular | EntryType::Continuous => Place::At { offset, size },
            EntryType::Link => Place::Link(text(&member.link).unwrap_or_default()),
            EntryType::Symlink => Place::Link(beside(&path, &member.link)),
            _ => continue,
        };
        places.insert(path, place);
    }
    Ok(places)
}

fn text(name: &[u8]) -> Option<String> {
    LayerPath::check(name, 64).ok()?.into_text()
}

/// The target of a symbolic link, from the archive's root: each leading `..` takes one folder off.
fn beside(link: &str, target: &[u8]) -> String {
    let target = String::from_utf8_lossy(target);
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn find(members: &HashMap<String, Place>, member: &str) -> Option<(u64, u64)> {
    let mut name = text(member.as_bytes())?;
    for _ in 0..MOST_LINKS {
        match members.get(&name)? {
            Place::At { offset, size } => return Some((*offset, *size)),
            Place::Link(target) => name.clone_from(target),
        }
    }
    None
}
