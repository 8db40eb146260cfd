//! The store on disk: an OCI image layout beside the unpacked layers.
//!
//! ```text
//! ROOT/images/oci-layout, index.json     the layout's version; which images there are and what they are called
//! ROOT/images/blobs/sha256/<digest>      manifests, configurations, compressed layers
//! ROOT/layers/<diff-id>/                 one unpacked directory per layer, in overlayfs form
//! ROOT/tmp/<name>/                       work in progress, locked by whoever works there
//! ROOT/store.lock                        held while the index is changed or something is deleted
//! ```
//!
//! Source: OCI image specification, image-layout.md.

use crate::digest::Digest;
use crate::error::{Doing, Error};
use nix::fcntl::{Flock, FlockArg};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde::de::DeserializeOwned;
use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Manifests and configurations are read into memory: at most this many bytes, as in docker's distribution.
pub(crate) const DOCUMENT: u64 = 4 << 20;

const EMPTY_INDEX: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// The paths of a store, its documents and its lock.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// Held while the store changes.
pub(crate) type StoreLock = Flock<File>;

impl Layout {
    /// One system call when the store is there; otherwise it is made.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let layout = Self { root: root.to_owned() };
        if nix::unistd::access(&layout.index(), nix::unistd::AccessFlags::F_OK).is_err() {
            layout.create()?;
        }
        Ok(layout)
    }

    fn create(&self) -> Result<(), Error> {
        folder(&self.root, 0o711)?;
        let _lock = self.lock(FlockArg::LockExclusive)?;
        folder(&self.blobs(), 0o755)?;
        // Not for other users: an old setuid program in a layer would be theirs to run.
        folder(&self.layers(), 0o700)?;
        folder(&self.tmp(), 0o700)?;
        let version = self.images().join("oci-layout");
        replace(&version, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        if !self.index().exists() {
            replace(&self.index(), EMPTY_INDEX.as_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("images/index.json")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("images/blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(crate) fn layer(&self, diff_id: Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Waits for the store's lock. Readers need none: documents are replaced by rename.
    pub(crate) fn lock(&self, how: FlockArg) -> Result<StoreLock, Error> {
        let path = self.root.join("store.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.doing("open", &path)?;
        Flock::lock(file, how).map_err(|(_, errno)| Error::io("lock", &path, errno))
    }

    pub(crate) fn read_index(&self) -> Result<ImageIndex, Error> {
        let path = self.index();
        let bytes = fs::read(&path).doing("read", &path)?;
        parse(&bytes, || format!("`{}`", path.display()))
    }

    /// Durable when it returns.
    fn write_index(&self, index: &ImageIndex) -> Result<(), Error> {
        let path = self.index();
        let json = serde_json::to_vec(index)
            .map_err(|source| Error::Json { what: format!("write `{}`", path.display()), source })?;
        replace(&path, &json)
    }

    /// Changes the entries of the index in one step; the caller holds the lock.
    pub(crate) fn change_index(&self, change: impl FnOnce(&mut Vec<Descriptor>)) -> Result<(), Error> {
        let mut index = self.read_index()?;
        let mut entries = index.manifests().clone();
        change(&mut entries);
        index.set_manifests(entries);
        self.write_index(&index)
    }

    pub(crate) fn manifest(&self, descriptor: &Descriptor) -> Result<ImageManifest, Error> {
        self.document(Digest::try_from(descriptor.digest())?)
    }

    pub(crate) fn config(&self, manifest: &ImageManifest) -> Result<ImageConfiguration, Error> {
        self.document(Digest::try_from(manifest.config().digest())?)
    }

    fn document<T: DeserializeOwned>(&self, digest: Digest) -> Result<T, Error> {
        let path = self.blob(digest);
        let mut bytes = Vec::new();
        let file = File::open(&path).doing("open", &path)?;
        file.take(DOCUMENT).read_to_end(&mut bytes).doing("read", &path)?;
        parse(&bytes, || format!("`{}`", path.display()))
    }
}

/// Parses a JSON document; `what` names it in the error.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], what: impl Fn() -> String) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json { what: what(), source })
}

/// The layers of a configuration, base first.
pub(crate) fn diff_ids(config: &ImageConfiguration) -> Result<Vec<Digest>, Error> {
    config.rootfs().diff_ids().iter().map(|text| text.parse()).collect()
}

fn folder(path: &Path, mode: u32) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(mode).create(path).doing("create", path)
}

/// Replaces a file in one step: written beside it, flushed to the disk, renamed, and the rename flushed too.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("new");
    write_durably(&beside, bytes).inspect_err(|_| drop(fs::remove_file(&beside)))?;
    fs::rename(&beside, path).doing("replace", path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).doing("flush", folder)
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = File::create(path).doing("create", path)?;
    file.write_all(bytes).doing("write", path)?;
    file.sync_all().doing("flush", path)
}
