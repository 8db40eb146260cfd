//! Bringing images in: everything is made in a folder of its own, checked, and then moved into place in one step.
//!
//! A layer moves into ROOT/layers as soon as it is whole, so that a second load that waits for it can go on; until the index
//! leads to it, only a pin of an unfinished load keeps it. What neither the index nor a load counts on is never trusted:
//! after a power cut it may be half on the disk.

mod stream;

use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::image::{REPO_DIGEST, UNPACKED, renamed};
use crate::layout::Layout;
use crate::reach::{Reach, any_has, pin, placed, works};
use crate::reference::Reference;
use crate::store::{Store, enter};
use crate::unpack::{self, Skipped, Stream};
use crate::work::Work;
use nix::fcntl::FlockArg;
use oci_spec::image::{Descriptor, MediaType};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use stream::drain;
pub(crate) use stream::tree_size;

/// What a layer has to be, as far as it is known before.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// The layer's name in messages.
    pub(crate) what: String,
    pub(crate) blob: Option<(Digest, u64)>,
    pub(crate) diff_id: Option<Digest>,
    pub(crate) media_type: Option<MediaType>,
    /// Where the reader keeps the blob by itself, on the store's file system; otherwise a copy is made while reading.
    pub(crate) stored: Option<PathBuf>,
}

/// A layer that is in the store now.
#[derive(Debug, Clone)]
pub(crate) struct Added {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: Digest,
    /// Content of the files.
    pub(crate) bytes: u64,
}

/// An unfinished load. Dropped before [`Intake::commit`], it takes back what it brought.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    store: &'a Store,
    work: Work,
    taken: Mutex<Taken>,
    committed: bool,
}

/// What an intake has taken; layers come in side by side.
#[derive(Debug, Clone, Default)]
struct Taken {
    entries: Vec<Descriptor>,
    /// Each with the file that it still is.
    blobs: Vec<(Digest, PathBuf)>,
    layers: Vec<Digest>,
    skipped: Vec<Skipped>,
}

impl<'a> Intake<'a> {
    pub(crate) fn begin(store: &'a Store) -> Result<Self, Error> {
        let work = Work::unique(&store.layout.tmp())?;
        Ok(Self { store, work, taken: Mutex::default(), committed: false })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The intake's own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.work.path()
    }

    pub(crate) fn skip(&self, skipped: Vec<Skipped>) {
        self.taken().skipped.extend(skipped);
    }

    /// Takes a document (manifest or configuration).
    pub(crate) fn document(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        let path = self.work.path().join(digest.hex());
        fs::write(&path, bytes).doing("write", &path)?;
        self.taken().blobs.push((digest, path));
        Ok(digest)
    }

    /// Enters an image whose manifest and layers were taken, under `names` or none.
    pub(crate) fn image(&self, manifest: Descriptor, names: &[Reference], unpacked: u64) {
        let names: Vec<_> = names.iter().filter(|name| name.digest().is_none()).collect();
        self.enter(manifest, &names, unpacked, None);
    }

    /// Enters an image that came from a registry under `name`, with the digest that it has there: the index's, where there
    /// is one. A name with a digest is entered too: it is how the image was asked for.
    pub(crate) fn pulled(&self, manifest: Descriptor, name: &Reference, unpacked: u64, digest: Digest) {
        self.enter(manifest, &[name], unpacked, Some(digest));
    }

    fn enter(&self, mut manifest: Descriptor, names: &[&Reference], unpacked: u64, digest: Option<Digest>) {
        let size = (UNPACKED.to_owned(), unpacked.to_string());
        let digest = digest.map(|digest| (REPO_DIGEST.to_owned(), digest.to_string()));
        manifest.set_annotations(Some([size].into_iter().chain(digest).collect()));
        let nameless = names.is_empty().then(|| renamed(&manifest, None));
        let entries = names.iter().map(|name| renamed(&manifest, Some(name)));
        self.taken().entries.extend(entries.chain(nameless));
    }

    /// Takes one layer: reads it once, and in that pass stores, hashes, decompresses, hashes and unpacks it. Several may be
    /// taken side by side.
    pub(crate) fn layer(&self, reader: impl Read + Send, expected: Expected) -> Result<Added, Error> {
        let turn = self.turn(expected.diff_id)?;
        let whole = match expected.diff_id {
            Some(diff_id) => self.is_whole(diff_id)?,
            None => false,
        };
        if whole && let Some(added) = self.known(&expected)? {
            return Ok(added);
        }
        let incoming = expected.stored.clone().unwrap_or_else(|| turn.path().join("incoming"));
        let copy = match &expected.stored {
            Some(_) => None,
            None => Some(File::create(&incoming).doing("create", &incoming)?),
        };
        let rootfs = turn.path().join("rootfs");
        let (blob, tar, unpacked) = if whole {
            (stream::keep(reader, copy, &expected)?, None, None)
        } else {
            let unpack = |stream: &mut stream::Layer| self.unpack(stream, &rootfs, &expected);
            let (blob, tar, bytes) = stream::flow(reader, copy, &expected, unpack)?;
            // The blob of a plain tar is the tar.
            let tar = tar.unwrap_or(blob.digest);
            (blob, Some(tar), Some(bytes))
        };
        let diff_id = expected.check(blob.digest, blob.size, tar)?;
        if unpacked.is_some() {
            self.place(diff_id, &rootfs)?;
        }
        let kept = match &expected.stored {
            Some(stored) => stored.clone(),
            None => self.work.path().join(blob.digest.hex()),
        };
        if kept != incoming {
            // The turn's folder goes with the turn.
            fs::rename(&incoming, &kept).doing("rename", &incoming)?;
        }
        self.taken().blobs.push((blob.digest, kept));
        let media_type = expected.media_type.unwrap_or_else(|| blob.compression.media_type());
        let descriptor = Descriptor::new(media_type, blob.size, blob.digest);
        let bytes = unpacked.unwrap_or_else(|| tree_size(&self.store.layout.layer(diff_id)));
        Ok(Added { descriptor, diff_id, bytes })
    }

    /// Whether nothing of the layer has to be read: it is unpacked, and its blob is there.
    pub(crate) fn has(&self, expected: &Expected) -> Result<bool, Error> {
        let Some(diff_id) = expected.diff_id else { return Ok(false) };
        Ok(self.is_whole(diff_id)? && self.known(expected)?.is_some())
    }

    /// The folder to unpack in. For a layer that is known by name it is the layer's own: a second load of the same layer
    /// waits here until the first is done, and then finds it whole.
    fn turn(&self, diff_id: Option<Digest>) -> Result<Work, Error> {
        let tmp = self.store.layout.tmp();
        let Some(diff_id) = diff_id else {
            return Work::unique(&tmp);
        };
        let _lock = self.store.layout.lock(FlockArg::LockShared)?;
        self.mark(&pin(diff_id))?;
        drop(_lock);
        Work::named(&tmp, &diff_id.hex())
    }

    pub(crate) fn mark(&self, name: &str) -> Result<(), Error> {
        let path = self.work.path().join(name);
        File::create(&path).map(drop).doing("create", &path)
    }

    /// Whether the layer is unpacked and can be trusted: an image has it, or another unfinished load has just placed it.
    fn is_whole(&self, diff_id: Digest) -> Result<bool, Error> {
        let _lock = self.store.layout.lock(FlockArg::LockShared)?;
        self.is_whole_locked(diff_id)
    }

    /// The caller holds the store's lock. A layer that is whole is pinned: from here on nobody removes it.
    fn is_whole_locked(&self, diff_id: Digest) -> Result<bool, Error> {
        let layout = &self.store.layout;
        let (live, _) = works(layout, Some(self.work.path()))?;
        let trusted = self.taken().layers.contains(&diff_id)
            || any_has(&live, &placed(diff_id))
            || Reach::of(layout, layout.read_index()?.manifests())?.layers.contains(&diff_id);
        let whole = trusted && layout.layer(diff_id).is_dir();
        if whole {
            self.mark(&pin(diff_id))?;
            self.mark(&placed(diff_id))?;
        }
        Ok(whole)
    }

    /// The layer, when its blob too is one that an image of the store has: then nothing is read at all.
    fn known(&self, expected: &Expected) -> Result<Option<Added>, Error> {
        let (Some((digest, size)), Some(diff_id)) = (expected.blob, expected.diff_id) else {
            return Ok(None);
        };
        let layout = &self.store.layout;
        if !Reach::of(layout, layout.read_index()?.manifests())?.blobs.contains(&digest) {
            return Ok(None);
        }
        let stored = fs::metadata(layout.blob(digest)).map(|blob| blob.len()).ok();
        if stored != Some(size) {
            return Ok(None);
        }
        let media_type = expected.media_type.clone().unwrap_or(MediaType::ImageLayer);
        let bytes = tree_size(&layout.layer(diff_id));
        Ok(Some(Added { descriptor: Descriptor::new(media_type, size, digest), diff_id, bytes }))
    }

    fn unpack(&self, stream: &mut impl Stream, rootfs: &Path, expected: &Expected) -> Result<u64, Error> {
        DirBuilder::new().create(rootfs).doing("create", rootfs)?;
        // Whatever the umask is: it is `/` of containers whose images do not say otherwise.
        fs::set_permissions(rootfs, fs::Permissions::from_mode(0o755)).doing("set the mode of", rootfs)?;
        let folder = File::open(rootfs).doing("open", rootfs)?.into();
        let limits = self.store.limits;
        let unpacked = unpack::unpack(stream, folder, self.store.flavour(), limits).and_then(|unpacked| {
            drain(stream, limits).map_err(|refusal| ("(the end)".into(), refusal))?;
            Ok(unpacked)
        });
        // A stream that was cut because it is too long looks truncated; the lie about its size is the reason.
        expected.check_size(stream.passed().1, true)?;
        let unpacked = unpacked.map_err(|(entry, refusal)| Error::of_entry(&expected.what, entry, refusal))?;
        self.taken().skipped.extend(unpacked.skipped);
        tracing::debug!(layer = expected.what, entries = unpacked.entries, bytes = unpacked.bytes, "unpacked");
        Ok(unpacked.bytes)
    }

    /// Moves a layer to its place, and says so to other loads.
    pub(crate) fn place(&self, diff_id: Digest, rootfs: &Path) -> Result<(), Error> {
        let layout = &self.store.layout;
        let _lock = layout.lock(FlockArg::LockExclusive)?;
        if self.is_whole_locked(diff_id)? {
            return Ok(());
        }
        let to = layout.layer(diff_id);
        if to.exists() {
            // Nobody counts on it: what a crash has left, perhaps not whole.
            let aside = self.work.path().join(format!("old-{}", diff_id.hex()));
            fs::rename(&to, &aside).doing("move aside", &to)?;
        }
        fs::rename(rootfs, &to).doing("rename", rootfs)?;
        self.mark(&pin(diff_id))?;
        self.mark(&placed(diff_id))?;
        self.taken().layers.push(diff_id);
        Ok(())
    }

    /// Takes a blob that is a file of the intake's folder, whole and hashed.
    pub(crate) fn blob(&self, digest: Digest, path: &Path) -> Result<(), Error> {
        let to = self.work.path().join(digest.hex());
        fs::rename(path, &to).doing("rename", path)?;
        self.taken().blobs.push((digest, to));
        Ok(())
    }

    /// Gives up what was written: the store has it.
    pub(crate) fn forget_documents(&self) {
        let mut taken = self.taken();
        taken.blobs.clear();
        taken.entries.clear();
    }

    /// Makes the images visible. One flush of the file system covers every file of every layer; the index comes after it.
    pub(crate) fn commit(self) -> Result<(Vec<Descriptor>, Vec<Skipped>), Error> {
        self.commit_and(|_| Ok(()))
    }

    /// The same; `meanwhile` runs when everything is on the disk and nothing is visible yet.
    pub(crate) fn commit_and(
        mut self,
        meanwhile: impl FnOnce(&Layout) -> Result<(), Error>,
    ) -> Result<(Vec<Descriptor>, Vec<Skipped>), Error> {
        let layout = &self.store.layout;
        let _lock = layout.lock(FlockArg::LockExclusive)?;
        let taken = self.taken().clone();
        for (digest, from) in &taken.blobs {
            let to = layout.blob(*digest);
            match fs::rename(from, &to) {
                // The same blob twice in one load: the first rename has moved it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
                result => result.doing("rename", from)?,
            }
        }
        let root = layout.root();
        let folder = File::open(root).doing("open", root)?;
        nix::unistd::syncfs(folder).doing("flush the file system of", root)?;
        meanwhile(layout)?;
        layout.change_index(|index| taken.entries.iter().for_each(|entry| enter(index, entry.clone())))?;
        self.committed = true;
        Ok((taken.entries, taken.skipped))
    }

    /// Removes what this intake has put in place, unless an image or another load counts on it by now.
    fn take_back(&self) -> Result<(), Error> {
        let layout = &self.store.layout;
        let _lock = layout.lock(FlockArg::LockExclusive)?;
        let (live, _) = works(layout, Some(self.work.path()))?;
        let reach = Reach::of(layout, layout.read_index()?.manifests())?;
        let taken = self.taken();
        for layer in taken.layers.iter().filter(|layer| !reach.layers.contains(layer)) {
            if !any_has(&live, &pin(*layer)) {
                // Into the intake's own folder, which is removed whole.
                let from = layout.layer(*layer);
                fs::rename(&from, self.work.path().join(format!("back-{}", layer.hex()))).doing("remove", from)?;
            }
        }
        for (blob, _) in taken.blobs.iter().filter(|(blob, _)| !reach.blobs.contains(blob)) {
            let _not_there_yet = fs::remove_file(layout.blob(*blob));
        }
        Ok(())
    }
}

impl Drop for Intake<'_> {
    fn drop(&mut self) {
        let taken = self.taken();
        let brought_something = !taken.layers.is_empty() || !taken.blobs.is_empty();
        drop(taken);
        if brought_something && !self.committed {
            // What cannot be taken back now is a leftover that `check` names.
            let _left = self.take_back();
        }
    }
}

impl Expected {
    /// Compares the bytes read with the promised size; before the end (`partly`) there may be fewer.
    fn check_size(&self, size: u64, partly: bool) -> Result<(), Error> {
        let Some((_, expected)) = self.blob else {
            return Ok(());
        };
        if size == expected || (partly && size < expected) {
            return Ok(());
        }
        let actual = if size > expected { "more".to_owned() } else { size.to_string() };
        Err(Error::WrongSize { what: self.what.clone(), expected, actual })
    }

    fn check(&self, blob: Digest, size: u64, diff_id: Option<Digest>) -> Result<Digest, Error> {
        // ANCHOR: task5_digest
        let what = || self.what.clone();
        self.check_size(size, false)?;
        if let Some((expected, _)) = self.blob
            && blob != expected
        {
            return Err(Error::WrongDigest { what: what(), expected, actual: blob });
        }
        match (self.diff_id, diff_id) {
            (Some(expected), Some(actual)) if expected != actual => {
                Err(Error::WrongDiffId { what: what(), expected, actual })
            }
            (expected, actual) => Ok(actual.or(expected).unwrap_or(blob)),
        }
        // ANCHOR_END: task5_digest
    }
}
