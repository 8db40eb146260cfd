//! From a layer's tar stream to a directory in overlayfs form, with an enemy as the author of the tar.
//!
//! | module | what it holds |
//! |---|---|
//! | `members` | the entries of the stream, `pax` their extended headers, `sparse` files with holes |
//! | `path` | names, checked before use |
//! | `tree` | the half-made layer: folders opened and made by descriptor |
//! | `entry` | files, directories, links, devices: each made new, never written through |
//! | `whiteout` | deletions, from the tar's form into overlayfs's |
//! | `attributes` | owner, mode, extended attributes, times |
//! | `flavour` | what differs in a user namespace |
//!
//! Nothing here uses `tar::Archive::unpack`: it follows links of its own making and knows no whiteouts. An entry that
//! names a path twice replaces the first, as tar and docker do; it never writes through what was there.

mod attributes;
mod entry;
mod flavour;
mod limits;
mod members;
mod path;
mod pax;
mod refusal;
mod sparse;
mod tree;
mod whiteout;

pub use flavour::Flavour;
pub use limits::Limits;
pub use refusal::Refusal;

use attributes::Attributes;

pub use members::{Member, Members};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, mknodat};
pub(crate) use path::LayerPath;
use refusal::While;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use tree::{Tree, is_kind, look, open_in};
use whiteout::Name;

/// What was unpacked.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) entries: u64,
    /// Content of the files.
    pub(crate) bytes: u64,
    pub(crate) skipped: Vec<Skipped>,
}

/// Something of a layer that could not be kept on this machine and that an image works without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The entry's name.
    pub entry: String,
    /// What was left out, and why.
    pub what: String,
}

/// The stream that a layer is read from, and how much has gone through it.
pub(crate) trait Stream: Read {
    /// Bytes read so far from the decompressed stream, and from the compressed one below it.
    fn passed(&self) -> (u64, u64);
}

/// The entry that was refused, and why.
pub(crate) type EntryError = (String, Refusal);

/// Unpacks the tar `stream` into the empty directory `into`. Reads up to the end marker, not to the end of the stream.
pub(crate) fn unpack(
    stream: &mut impl Stream,
    into: OwnedFd,
    flavour: Flavour,
    limits: Limits,
) -> Result<Unpacked, EntryError> {
    let mut unpacker = Unpacker {
        members: Members::new(stream),
        tree: Tree::new(into),
        flavour,
        limits,
        folders: BTreeMap::new(),
        done: Unpacked::default(),
        buffer: vec![0; crate::compression::BUFFER],
    };
    let mut name = String::new();
    loop {
        match unpacker.members.next() {
            Ok(None) => break,
            Err(refusal) => return Err((after(&name), refusal)),
            Ok(Some(member)) => {
                name = printable(&member.name);
                unpacker.entry(member).map_err(|refusal| (name.clone(), refusal))?;
            }
        }
    }
    unpacker.finish().map_err(|refusal| (after(&name), refusal))
}

/// A name of the layer as a message may show it: an escape sequence in it must not speak to the terminal.
fn printable(name: &[u8]) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(name).chars() {
        match c.is_control() {
            true => text.extend(c.escape_default()),
            false => text.push(c),
        }
    }
    text
}

/// Names the place of an error that has no entry of its own.
fn after(name: &str) -> String {
    if name.is_empty() { "(the first)".into() } else { format!("(after {name})") }
}

struct Unpacker<'a, S> {
    members: Members<&'a mut S>,
    tree: Tree,
    flavour: Flavour,
    limits: Limits,
    /// Directories' times are set last: each file that is made in one changes them.
    folders: BTreeMap<LayerPath, (i64, u32)>,
    done: Unpacked,
    buffer: Vec<u8>,
}

impl<S: Stream> Unpacker<'_, S> {
    fn entry(&mut self, member: Member) -> Result<(), Refusal> {
        self.done.entries += 1;
        if self.done.entries > self.limits.entries {
            return Err(Refusal::TooManyEntries { limit: self.limits.entries });
        }
        self.check_size(member.size)?;
        let path = LayerPath::check(&member.name, self.limits.depth)?;
        if path.is_root() {
            return self.root(&member, path);
        }
        let (folder, name) = path.split();
        whiteout::check_folder(folder)?;
        match Name::parse(name)? {
            Name::Aufs => Ok(()),
            Name::Plain => {
                let parent = self.parent(folder)?;
                self.plain(&member, &path, parent.as_fd(), name)
            }
            whiteout => {
                if !member.kind.is_file() && !member.kind.is_hard_link() {
                    return Err(Refusal::WhiteoutKind);
                }
                let parent = self.parent(folder)?;
                self.whiteout(&whiteout, &parent)
            }
        }
    }

    /// The layer's own root (`./`): its attributes are those of `/`.
    fn root(&mut self, member: &Member, path: LayerPath) -> Result<(), Refusal> {
        if !member.kind.is_dir() {
            return Err(Refusal::NotADirectory);
        }
        let root = self.tree.open_folder(b"").while_("open the layer")?;
        self.attributes(member).apply_to(&root, &mut self.done.skipped)?;
        self.folders.insert(path, member.mtime);
        Ok(())
    }

    fn parent(&mut self, folder: &[u8]) -> Result<Rc<OwnedFd>, Refusal> {
        let flavour = self.flavour;
        self.tree.parent(folder, |folder| make_opaque(folder, flavour))
    }

    // ANCHOR: whiteout
    /// Writes a deletion the way overlayfs reads it. It speaks of the layers below only: what this layer itself has at that name
    /// stays, wherever in the tar it stands (OCI image specification, layer.md).
    fn whiteout(&mut self, name: &Name<'_>, folder: &OwnedFd) -> Result<(), Refusal> {
        let Name::Whiteout(target) = name else {
            return make_opaque(folder, self.flavour);
        };
        match look(folder.as_fd(), target)? {
            // Allowed in a user namespace too, since Linux 5.8: this one device opens nothing.
            None => mknodat(folder, *target, SFlag::S_IFCHR, Mode::empty(), 0).while_("make a whiteout"),
            // A directory of this layer would be merged with the one below: opaque, it hides it.
            Some(stat) if is_kind(&stat, SFlag::S_IFDIR) => {
                make_opaque(&open_in(folder.as_fd(), target).while_("open")?, self.flavour)
            }
            Some(_) => Ok(()),
        }
    }
    // ANCHOR_END: whiteout

    /// Before anything of the entry is made: its size, and what has been read so far.
    fn check_size(&mut self, size: u64) -> Result<(), Refusal> {
        let (bytes, compressed) = self.members.get_mut().passed();
        self.limits.check_bytes(self.done.bytes.max(bytes).saturating_add(size))?;
        self.limits.check_ratio(bytes, compressed)
    }

    fn attributes<'m>(&self, member: &'m Member) -> Attributes<'m> {
        Attributes { member, flavour: self.flavour }
    }

    /// The times of the directories, now that nothing more is made in them.
    fn finish(self) -> Result<Unpacked, Refusal> {
        for (path, mtime) in &self.folders {
            match sys::fd::open_no_symlinks(
                self.tree.open_folder(b"").while_("open the layer")?.as_fd(),
                &path.as_c(),
                OFlag::O_RDONLY | OFlag::O_DIRECTORY,
                Mode::empty(),
            ) {
                Ok(folder) => attributes::set_times(&folder, *mtime)?,
                // A later entry has replaced it, or a folder above it.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => {
                    return Err(Refusal::Kernel { doing: "open a directory again", errno });
                }
            }
        }
        Ok(self.done)
    }
}

fn make_opaque(folder: &OwnedFd, flavour: Flavour) -> Result<(), Refusal> {
    sys::xattr::set(folder, flavour.opaque_attribute(), b"y").while_("make the directory opaque")
}
