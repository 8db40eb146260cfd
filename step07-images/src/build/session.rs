//! A build on its way into the store: layers from upper directories, the cache, the image at the end.
//!
//! An upper directory becomes a layer by being renamed; nothing is copied. Its tar is written beside it, hashed and compressed in
//! the same pass.

use super::cache::{BuiltLayer, Outcome};
use super::document::Document;
use super::target::limit_times;
use crate::digest::{Digest, Hashing};
use crate::error::{Doing, Error};
use crate::image::Image;
use crate::intake::Intake;
use crate::layout::DOCUMENT;
use crate::load::docker;
use crate::pack::{Form, Packer};
use crate::reach::pin;
use crate::reference::Reference;
use crate::store::Store;
use nix::fcntl::FlockArg;
use oci_spec::image::{Descriptor, MediaType};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A build that is under way. What it has made is kept by [`Session::finish`]; dropped before, all of it goes.
#[derive(Debug)]
pub struct Session<'a> {
    store: &'a Store,
    intake: Intake<'a>,
    number: AtomicUsize,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    /// Upper directories by the diff-id of their layers.
    layers: Vec<(Digest, PathBuf)>,
    blobs: Vec<(Digest, PathBuf)>,
    steps: Vec<(Digest, Outcome)>,
    known: HashMap<Digest, Outcome>,
}

/// An image in the making, or one to begin with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its configuration.
    pub document: Document,
    /// Its layers as a manifest has them.
    pub layers: Vec<Descriptor>,
    /// Content of the files.
    pub bytes: u64,
}

impl Store {
    /// Begins a build.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn build(&self) -> Result<Session<'_>, Error> {
        let intake = Intake::begin(self)?;
        Ok(Session { store: self, intake, number: AtomicUsize::new(0), made: Mutex::default() })
    }

    /// The parts of an image: its document with all that docker has in it, and its blobs.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn parts(&self, image: &Image) -> Result<Parts, Error> {
        let index = self.layout.read_index()?;
        let (descriptor, _) = self.find(index.manifests(), &image.manifest.to_string())?;
        let manifest = self.layout.manifest(descriptor)?;
        let path = self.layout.blob(image.id);
        let mut bytes = Vec::new();
        File::open(&path).and_then(|file| file.take(DOCUMENT).read_to_end(&mut bytes)).doing("read", &path)?;
        let document = crate::layout::parse(&bytes, || format!("`{}`", path.display()))?;
        Ok(Parts { document, layers: manifest.layers().clone(), bytes: image.size })
    }

    /// Where builds keep what makes the next one faster.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.layout.cache()
    }

    /// Forgets all steps, and removes the layers that no image has; the bytes of the files that went.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn prune_builds(&self) -> Result<u64, Error> {
        let mut bytes = 0;
        {
            let _lock = self.layout.lock(FlockArg::LockExclusive)?;
            for (path, _) in self.layout.all_cached()? {
                fs::remove_file(&path).doing("remove", &path)?;
            }
            for kept in ["contexts", "mounts"].map(|name| self.layout.cache().join(name)) {
                bytes += crate::intake::tree_size(&kept);
                fs::remove_dir_all(&kept).or_else(crate::remove::gone).doing("remove", &kept)?;
            }
        }
        let leftovers = self.check()?;
        let size = |path: &Path| match fs::symlink_metadata(path) {
            Ok(data) if data.is_file() => data.len(),
            _ => crate::intake::tree_size(path),
        };
        bytes += leftovers.iter().map(|leftover| size(leftover.path())).sum::<u64>();
        self.reclaim(&leftovers)?;
        Ok(bytes)
    }
}

impl Session<'_> {
    /// The build's own folder, on the file system of the layers.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.intake.folder()
    }

    /// A new folder in it, with the mode that a root has.
    ///
    /// # Errors
    /// mkdir(2).
    pub fn new_folder(&self, what: &str) -> Result<PathBuf, Error> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path = self.folder().join(format!("{what}-{number}"));
        DirBuilder::new().mode(0o755).create(&path).doing("create", &path)?;
        // Whatever the umask is: it is `/` of containers.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).doing("set the mode of", &path)?;
        Ok(path)
    }

    /// What came of the step `key` before, in this build or an earlier one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn cached(&self, key: Digest) -> Result<Option<Outcome>, Error> {
        if let Some(known) = self.made().known.get(&key) {
            return Ok(Some(known.clone()));
        }
        // A removal waits until the layer is pinned.
        let _lock = self.store.layout.lock(FlockArg::LockShared)?;
        let Some(outcome) = self.store.layout.cached(key) else { return Ok(None) };
        if let Some(layer) = &outcome.layer {
            let Ok(diff_id) = layer.diff_id() else { return Ok(None) };
            let Ok(blob) = layer.blob.parse() else { return Ok(None) };
            self.intake.mark(&pin(diff_id))?;
            let there = self.store.layout.layer(diff_id).is_dir();
            if !there || !self.store.layout.blob(blob).exists() {
                return Ok(None);
            }
        }
        Ok(Some(outcome))
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Keeps what came of a step.
    pub fn keep(&self, key: Digest, outcome: &Outcome) {
        let mut made = self.made();
        made.known.insert(key, outcome.clone());
        made.steps.push((key, outcome.clone()));
    }

    /// The directory of a layer: its place in the store, or where it was made in this build.
    #[must_use]
    pub fn layer_dir(&self, diff_id: Digest) -> PathBuf {
        let of_this = self.made().layers.iter().find(|(known, _)| *known == diff_id).map(|(_, path)| path.clone());
        of_this.unwrap_or_else(|| self.store.layout.layer(diff_id))
    }

    /// Makes a layer of the directory `upper`, in an overlay's form: its tar, hashed and compressed. `None` when there is nothing in it.
    /// Times later than `latest` (seconds since 1970) are set back.
    ///
    /// # Errors
    /// [`Error::Io`] for what cannot be read, or a full disk.
    pub fn seal(&self, upper: &Path, latest: Option<i64>) -> Result<Option<BuiltLayer>, Error> {
        if fs::read_dir(upper).doing("read", upper)?.next().is_none() {
            return Ok(None);
        }
        let folder = File::open(upper).doing("open", upper)?;
        if let Some(latest) = latest {
            limit_times(folder.as_fd(), latest)?;
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path = self.folder().join(format!("tar-{number}.gz"));
        let file = BufWriter::with_capacity(1 << 18, File::create(&path).doing("create", &path)?);
        let gzip = flate2::write::GzEncoder::new(Hashing::new(file), flate2::Compression::fast());
        // Tars are written in small pieces.
        let plain = BufWriter::with_capacity(1 << 16, Hashing::new(gzip));
        let mut packer = Packer::new(plain, Form::Upper);
        packer.children(folder.as_fd(), b"")?;
        let (plain, _sockets_mean_nothing) = packer.finish()?;
        let plain = plain.into_inner().map_err(std::io::IntoInnerError::into_error).doing("write", &path)?;
        let (diff_id, _, gzip) = plain.finish();
        let (blob, size, mut file) = gzip.finish().doing("write", &path)?.finish();
        file.flush().doing("write", &path)?;
        let (Some(diff_id), Some(blob)) = (diff_id, blob) else {
            return Err(Error::malformed("a layer", "it was not hashed"));
        };
        let mut made = self.made();
        if !made.layers.iter().any(|(known, _)| *known == diff_id) {
            made.layers.push((diff_id, upper.to_owned()));
        }
        made.blobs.push((blob, path));
        Ok(Some(BuiltLayer {
            diff_id: diff_id.to_string(),
            blob: blob.to_string(),
            media_type: MediaType::ImageLayerGzip.to_string(),
            size,
            bytes: crate::intake::tree_size(upper),
        }))
    }

    /// Puts all that was made in its place: layers, the cache, and `image` under `names`; its id. Without an image, only what
    /// the next build can begin with.
    ///
    /// # Errors
    /// [`Error::Io`]; a full disk leaves the store as it was.
    pub fn finish(mut self, image: Option<&Parts>, names: &[Reference]) -> Result<Option<Digest>, Error> {
        let made = std::mem::take(&mut *self.made());
        let entered = image.map(|image| self.enter(image, names)).transpose()?;
        let known = entered.as_ref().is_some_and(|(_, known)| *known) || image.is_none();
        let id = entered.map(|(id, _)| id);
        if known && made.steps.is_empty() && made.layers.is_empty() {
            self.intake.forget_documents();
            return Ok(id);
        }
        for (diff_id, upper) in &made.layers {
            self.intake.place(*diff_id, upper)?;
        }
        for (blob, path) in &made.blobs {
            self.intake.blob(*blob, path)?;
        }
        let mut replaced = Vec::new();
        self.intake.commit_and(|layout| {
            for (key, outcome) in &made.steps {
                replaced.extend(layout.cached(*key).filter(|before| before != outcome).and_then(|before| before.layer));
                layout.write_cached(*key, outcome)?;
            }
            Ok(())
        })?;
        self.store.remove_unreached(&replaced)?;
        Ok(id)
    }

    /// Writes the documents of `image`; its id, and whether the store has it by all of these names.
    fn enter(&mut self, image: &Parts, names: &[Reference]) -> Result<(Digest, bool), Error> {
        let bytes = image.document.bytes();
        let id = Digest::of(&bytes);
        let manifest = docker::manifest_of(&bytes, image.layers.clone(), &mut self.intake)?;
        let digest = Digest::try_from(manifest.digest())?;
        let has = |name: &str| self.store.resolve(name).is_ok_and(|known| known.manifest == digest);
        let known = match names {
            [] => has(&id.to_string()),
            names => names.iter().all(|name| has(&name.to_string())),
        };
        self.intake.image(manifest, names, image.bytes);
        Ok((id, known))
    }
}

impl BuiltLayer {
    /// As a manifest has it.
    ///
    /// # Errors
    /// [`Error::Digest`] for a record that was damaged.
    pub fn descriptor(&self) -> Result<Descriptor, Error> {
        let blob: Digest = self.blob.parse()?;
        Ok(Descriptor::new(MediaType::from(self.media_type.as_str()), self.size, blob))
    }
}
