//! The files of the demo image, by name; written in the order of names, all root's, all of one time.

use crate::error::{Doing, Error};
use crate::import::tarball::{Item, TarWriter};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use tar::EntryType;

/// 2024-01-01, as the image's own date.
const MTIME: (i64, u32) = (1_704_067_200, 0);

/// A tree of files that is not on the disk.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, Node>);

#[derive(Debug)]
enum Node {
    Folder(u32),
    Text(&'static str),
    Program(PathBuf),
    Link(String),
}

impl Files {
    /// A folder with its mode.
    pub(super) fn folder(&mut self, name: &str, mode: u32) {
        self.insert(name, Node::Folder(mode));
    }

    /// A file that everyone may read.
    pub(super) fn text(&mut self, name: &str, text: &'static str) {
        self.insert(name, Node::Text(text));
    }

    /// A copy of the host's file `from`, that everyone may run.
    pub(super) fn program(&mut self, name: &str, from: PathBuf) {
        self.insert(name, Node::Program(from));
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, name: &str, target: &str) {
        self.insert(name, Node::Link(target.to_owned()));
    }

    /// Whether there is something at `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn insert(&mut self, name: &str, node: Node) {
        let name = name.trim_start_matches('/');
        for (slash, _) in name.match_indices('/') {
            self.0.entry(name[..slash].to_owned()).or_insert(Node::Folder(0o755));
        }
        self.0.insert(name.to_owned(), node);
    }

    /// Writes all of it.
    pub(super) fn write<W: Write>(&self, tar: &mut TarWriter<W>) -> Result<(), Error> {
        let root = item("./", EntryType::Directory, 0o755);
        tar.add(&root, std::io::empty()).doing("write the tar of", "/")?;
        self.0.iter().try_for_each(|(name, node)| add(tar, name, node))
    }
}

fn add<W: Write>(tar: &mut TarWriter<W>, name: &str, node: &Node) -> Result<(), Error> {
    let done = match node {
        Node::Folder(mode) => tar.add(&item(&format!("{name}/"), EntryType::Directory, *mode), std::io::empty()),
        Node::Text(text) => {
            let size = text.len() as u64;
            tar.add(&Item { size, ..item(name, EntryType::Regular, 0o644) }, text.as_bytes())
        }
        Node::Link(target) => {
            let link = target.clone().into_bytes();
            tar.add(&Item { link, ..item(name, EntryType::Symlink, 0o777) }, std::io::empty())
        }
        Node::Program(from) => {
            let file = File::open(from).doing("open", from)?;
            let size = file.metadata().doing("look at", from)?.len();
            tar.add(&Item { size, ..item(name, EntryType::Regular, 0o755) }, file)
        }
    };
    done.doing("write the tar of", name)
}

fn item(name: &str, kind: EntryType, mode: u32) -> Item {
    Item {
        name: name.as_bytes().to_vec(),
        link: Vec::new(),
        kind,
        mode,
        owner: (0, 0),
        mtime: MTIME,
        size: 0,
        device: (0, 0),
        attributes: Vec::new(),
    }
}
