//! A whole image from a registry: manifest, configuration, then the layers side by side, each one stream from the network to its
//! unpacked directory.

use super::blob::{self, Blob, cancelled};
use super::client::Client;
use super::manifest::{self, Document, Platform};
use super::pace::Pace;
use super::{Progress, Registries, Step};
use crate::behind::WriteBehind;
use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::image::{Image, REPO_DIGEST, annotation, name_of};
use crate::intake::{Expected, Intake};
use crate::layout::{diff_ids, parse};
use crate::reference::Reference;
use crate::store::Store;
use crate::unpack::Skipped;
use crate::work::Work;
use oci_spec::image::{Descriptor, ImageConfiguration, MediaType};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Layers that are fetched at once, as in docker: one more than two processors unpack keeps the network busy.
const SIDE_BY_SIDE: usize = 3;
/// An image of more layers is refused: overlayfs takes fewer.
const MOST_LAYERS: usize = 500;

/// An image that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// What it is called at the registry: the index's digest, where it was chosen from one.
    pub digest: Digest,
    /// Whether the name meant another image before, or none.
    pub is_new: bool,
    /// What of it could not be kept on this machine.
    pub skipped: Vec<Skipped>,
}

/// One layer of the manifest.
struct Layer {
    digest: Digest,
    size: u64,
    diff_id: Digest,
    media_type: MediaType,
}

impl Store {
    /// Pulls what `reference` means at its registry, or at a mirror of it. Afterwards the image is in the store, or nothing is but
    /// the finished parts of layers, which the next attempt goes on with.
    ///
    /// # Errors
    /// [`Error::Registry`]; [`Error::NoMatchingManifest`] where there is none for the platform; [`Error::WrongDigest`],
    /// [`Error::WrongSize`], [`Error::WrongDiffId`], [`Error::MediaType`] for what is not what it was promised to be;
    /// [`Error::Entry`] for a layer that is refused; [`Error::Io`].
    pub fn pull(
        &self,
        registries: &Registries,
        reference: &Reference,
        platform: Option<&Platform>,
        progress: &dyn Progress,
    ) -> Result<Pulled, Error> {
        let (client, document) = find(registries, reference)?;
        let digest = document.digest;
        let wanted = platform.cloned().unwrap_or_default();
        let document = manifest::choose(&client, reference, &wanted, document)?;
        // Whoever comes second for the same image finds it here.
        let _turn = Work::named(&self.layout.tmp(), &format!("pull-{}", document.digest.hex()))?;
        if let Some(image) = self.up_to_date(reference, &document, digest)? {
            return Ok(Pulled { image, digest, is_new: false, skipped: Vec::new() });
        }
        let manifest = manifest::read(&document, reference)?;
        let config = Digest::try_from(manifest.config().digest())?;
        let config = blob::document(&client, reference, config, manifest.config().size())?;
        let layers = layers(reference, &manifest, &config, &wanted)?;
        let intake = Intake::begin(self)?;
        let mut downloads = Downloads { intake: &intake, store: self, client: &client, reference, progress };
        let (unpacked, works) = downloads.all(&layers)?;
        intake.document(&config)?;
        intake.document(&document.bytes)?;
        let media_type = MediaType::from(document.media_type.as_str());
        let entry = Descriptor::new(media_type, document.bytes.len() as u64, document.digest);
        intake.pulled(entry, &entered_as(reference), unpacked, digest);
        let loaded = self.committed(intake)?;
        drop(works);
        let image = loaded.images.into_iter().next().expect("one image was committed");
        Ok(Pulled { image, digest, is_new: true, skipped: loaded.skipped })
    }

    /// The image, when this very name has it already.
    fn up_to_date(&self, reference: &Reference, document: &Document, digest: Digest) -> Result<Option<Image>, Error> {
        let index = self.layout.read_index()?;
        let name = entered_as(reference).to_string();
        let same = |entry: &&Descriptor| {
            let at_registry = annotation(entry, REPO_DIGEST).unwrap_or(entry.digest().as_ref());
            entry.digest().as_ref() == document.digest.to_string()
                && at_registry == digest.to_string()
                && name_of(entry).and_then(|it| it.parse::<Reference>().ok()).is_some_and(|it| it.to_string() == name)
        };
        let found = index.manifests().iter().find(same);
        found.map(|entry| Image::read(&self.layout, entry, index.manifests())).transpose()
    }
}

/// What the image is called here: `name:tag`, or `name@digest`, never both, as in docker.
fn entered_as(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => {
            let name = format!("{}@{digest}", reference.repository());
            name.parse().unwrap_or_else(|_| reference.clone())
        }
        None => reference.clone(),
    }
}

/// Asks the mirrors, in their order, and then the registry itself.
fn find<'a>(registries: &'a Registries, reference: &Reference) -> Result<(Client<'a>, Document), Error> {
    for mirror in registries.mirrors(reference.registry())? {
        match manifest::of(&mirror, reference) {
            Ok(document) => return Ok((mirror, document)),
            Err(error) => tracing::warn!(%error, mirror = mirror.host, "the mirror does not have it"),
        }
    }
    let client = registries.connect(reference.registry())?;
    let document = manifest::of(&client, reference)?;
    Ok((client, document))
}

fn layers(
    reference: &Reference,
    manifest: &oci_spec::image::ImageManifest,
    config: &[u8],
    wanted: &Platform,
) -> Result<Vec<Layer>, Error> {
    let what = || format!("the manifest of `{reference}`");
    let config: ImageConfiguration = parse(config, || format!("the configuration of `{reference}`"))?;
    let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
    if !wanted.is(&os, &architecture) {
        let (wanted, image) = (wanted.to_string(), reference.to_string());
        return Err(Error::NoMatchingManifest { wanted, image, found: format!("{os}/{architecture}") });
    }
    let diff_ids = diff_ids(&config)?;
    let count = manifest.layers().len();
    if count > MOST_LAYERS {
        return Err(Error::malformed(what(), format!("it has {count} layers, the limit is {MOST_LAYERS}")));
    }
    if diff_ids.len() != count {
        let why = format!("it has {count} layers, its configuration {}", diff_ids.len());
        return Err(Error::malformed(what(), why));
    }
    let layer = |(layer, diff_id): (&Descriptor, Digest)| {
        let digest = Digest::try_from(layer.digest())?;
        Ok(Layer { digest, size: layer.size(), diff_id, media_type: layer.media_type().clone() })
    };
    manifest.layers().iter().zip(diff_ids).map(layer).collect()
}

/// The layers of one image on their way.
struct Downloads<'a> {
    intake: &'a Intake<'a>,
    store: &'a Store,
    client: &'a Client<'a>,
    reference: &'a Reference,
    progress: &'a dyn Progress,
}

impl Downloads<'_> {
    /// Fetches the layers that are missing. Gives the bytes of all layers' files, and the folders that hold the blobs until
    /// they are in place.
    fn all(&mut self, layers: &[Layer]) -> Result<(u64, Vec<Work>), Error> {
        let mut distinct: Vec<&Layer> = Vec::new();
        for layer in layers {
            if !distinct.iter().any(|known| known.diff_id == layer.diff_id) {
                distinct.push(layer);
                self.progress.layer(layer.digest, Step::Waiting);
            }
        }
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done = Mutex::new((Ok(0), Vec::new()));
        let work = || {
            while let Some(layer) = distinct.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = self.one(layer, &stop);
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                let (result, work) = result;
                done.1.extend(work);
                done.0 = match (result, std::mem::replace(&mut done.0, Ok(0))) {
                    (Ok(bytes), Ok(total)) => Ok(total + bytes),
                    // The first one is the reason for the others.
                    (_, Err(first)) => Err(first),
                    (Err(error), Ok(_)) => Err(error),
                };
                if done.0.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            (1..SIDE_BY_SIDE.min(distinct.len())).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let (bytes, mut works) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !bytes.as_ref().is_err_and(goes_on) {
            works.iter_mut().for_each(Work::ends);
        }
        Ok((bytes?, works))
    }

    /// Fetches one layer if it is missing; gives the bytes of its files, and the folder that its blob is in.
    fn one(&self, layer: &Layer, stop: &AtomicBool) -> (Result<u64, Error>, Option<Work>) {
        if stop.load(Ordering::Relaxed) {
            return (Err(cancelled()), None);
        }
        match self.known(layer) {
            Ok(None) => {}
            Ok(Some(bytes)) => return (Ok(bytes), None),
            Err(error) => return (Err(error), None),
        }
        let work = match self.work(layer) {
            Ok(work) => work,
            Err(error) => return (Err(error), None),
        };
        let result = match self.fetch(layer, &work, stop) {
            // What an earlier attempt has kept may be broken: after a power cut, say.
            Err((error, kept)) if kept > 0 && !goes_on(&error) && !stop.load(Ordering::Relaxed) => {
                tracing::debug!(%error, "what was kept is no good");
                let emptied = File::create(work.path().join("blob")).doing("empty", work.path());
                emptied.and_then(|_| self.fetch(layer, &work, stop).map_err(|(error, _)| error))
            }
            result => result.map_err(|(error, _)| error),
        };
        if result.is_ok() {
            self.progress.layer(layer.digest, Step::Done);
        }
        (result, Some(work))
    }

    /// The bytes of a layer that is here already.
    fn known(&self, layer: &Layer) -> Result<Option<u64>, Error> {
        let known = expected(layer, None);
        if !self.intake.has(&known)? {
            return Ok(None);
        }
        self.progress.layer(layer.digest, Step::Exists);
        Ok(Some(self.intake.layer(std::io::empty(), known)?.bytes))
    }

    /// The folder that the blob is kept in, with what is there of it.
    fn work(&self, layer: &Layer) -> Result<Work, Error> {
        let tmp = self.store.layout.tmp();
        match Work::resumed(&tmp, &format!("download-{}", layer.digest.hex()))? {
            Some(work) => Ok(work),
            // Another image is just getting the same layer. It may fail: better twice than to wait for each other.
            None => Work::unique(&tmp),
        }
    }

    /// One layer, from the network to its unpacked directory. An error comes with the count of bytes that were there before.
    fn fetch(&self, layer: &Layer, work: &Work, stop: &AtomicBool) -> Result<u64, (Error, u64)> {
        let path = work.path().join("blob");
        let open = || -> Result<(File, File, u64), Error> {
            let file = File::options().create(true).append(true).open(&path).doing("open", &path)?;
            let mut length = file.metadata().doing("look at", &path)?.len();
            if length > layer.size {
                file.set_len(0).doing("empty", &path)?;
                length = 0;
            }
            let mut kept = File::open(&path).doing("open", &path)?;
            kept.seek(SeekFrom::Start(0)).doing("read", &path)?;
            Ok((file, kept, length))
        };
        let (file, kept, at) = open().map_err(|error| (error, 0))?;
        let total = layer.size;
        let progress = |done| self.progress.layer(layer.digest, Step::Moving { done, total });
        let blob = Blob {
            client: self.client,
            reference: self.reference,
            digest: layer.digest,
            size: layer.size,
            kept: kept.take(at),
            file: WriteBehind::new(file),
            path: path.clone(),
            cancelled: stop,
            progress: &progress,
            at,
            cuts: 0,
            pace: Pace::new(self.client.settings().patience),
            body: None,
        };
        let added = self.intake.layer(blob, expected(layer, Some(path)));
        added.map(|added| added.bytes).map_err(|error| (error, at))
    }
}

fn expected(layer: &Layer, stored: Option<std::path::PathBuf>) -> Expected {
    Expected {
        what: format!("layer {}", layer.digest),
        blob: Some((layer.digest, layer.size)),
        diff_id: Some(layer.diff_id),
        media_type: Some(layer.media_type.clone()),
        stored,
    }
}

/// Whether the next attempt may go on with what has arrived: after a bad connection, not after bad bytes or on a full disk.
fn goes_on(error: &Error) -> bool {
    use super::error::Error as Registry;
    matches!(
        error,
        Error::Registry(
            Registry::Cut { .. }
                | Registry::Lost { .. }
                | Registry::Unreachable { .. }
                | Registry::Silent { .. }
                | Registry::TooSlow { .. }
        )
    )
}
