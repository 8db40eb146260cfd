//! Push and delete. A blob is hashed while it comes in, and waits until a manifest names it; the manifest makes the image, whose
//! layers are unpacked and checked like those of every other.

use super::Server;
use super::answer::Answer;
use super::artifacts::is_artifact;
use super::http::Request;
use super::read::is_called;
use super::route::{Name, Route, checked};
use crate::digest::{Digest, Hashing};
use crate::error::{Doing, Error};
use crate::intake::{Expected, Intake};
use crate::layout::{DOCUMENT, diff_ids, parse};
use crate::reference::Reference;
use crate::registry::{Platform, is_index};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Uploads that may be open; those of clients that have gone are closed first.
const MOST_UPLOADS: usize = 256;
const IDLE: Duration = Duration::from_secs(3600);
/// A larger blob is refused.
const MOST_BYTES: u64 = 64 << 30;

/// A blob that is coming in.
pub(super) struct Upload {
    repository: String,
    path: PathBuf,
    /// `None` when it is finished, or has failed.
    file: Option<Hashing<File>>,
    touched: Instant,
}

impl Upload {
    fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, Hashing::count)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let _moved_already = fs::remove_file(&self.path);
    }
}

type Shared = Arc<Mutex<Upload>>;

impl Server {
    pub(super) fn write(&self, route: Route, request: &mut Request<'_>) -> Result<Answer, Error> {
        match (request.method.as_str(), route) {
            ("POST", Route::Uploads(name)) => self.begin(name, request),
            ("PATCH", Route::Upload(name, id)) => self.part(&name, &id, request),
            ("PUT", Route::Upload(name, id)) => self.end(&name, &id, request),
            ("DELETE", Route::Upload(_, id)) => {
                let closed = self.uploads().remove(&id);
                Ok(closed.map_or_else(unknown_upload, |_| Answer::empty(204)))
            }
            ("PUT", Route::Manifest(name, called)) => self.enter(&name, &called, request),
            ("DELETE", Route::Manifest(name, called)) => self.delete(&name, &called),
            _ => Ok(Answer::error(405, "UNSUPPORTED", "this cannot be done here")),
        }
    }

    fn begin(&self, repository: String, request: &mut Request<'_>) -> Result<Answer, Error> {
        let mount = request.query("mount").and_then(|digest| digest.parse::<Digest>().ok());
        if let Some(digest) = mount
            && request.query("from").and_then(checked).is_some()
            && self.blob(digest).is_some()
        {
            return Ok(created(&repository, digest));
        }
        let mut uploads = self.uploads();
        uploads.retain(|_, upload| upload.try_lock().map_or(true, |upload| upload.touched.elapsed() < IDLE));
        if uploads.len() >= MOST_UPLOADS {
            return Ok(Answer::error(500, "TOOMANYREQUESTS", "too many uploads are open"));
        }
        let number = || RandomState::new().hash_one(uploads.len());
        let id = format!("{:016x}{:016x}", number(), number());
        let path = self.staging.path().join(format!("upload-{id}"));
        let file = Some(Hashing::new(File::create_new(&path).doing("create", &path)?));
        let upload = Upload { repository: repository.clone(), path, file, touched: Instant::now() };
        uploads.insert(id.clone(), Arc::new(Mutex::new(upload)));
        drop(uploads);
        if request.query("digest").is_some() {
            return self.end(&repository, &id, request);
        }
        Ok(accepted(&repository, &id, 0))
    }

    fn upload(&self, repository: &str, id: &str) -> Option<Shared> {
        let upload = self.uploads().get(id).cloned()?;
        let same = upload.lock().unwrap_or_else(PoisonError::into_inner).repository == repository;
        same.then_some(upload)
    }

    pub(super) fn upload_so_far(&self, id: &str) -> Answer {
        let Some(upload) = self.uploads().get(id).cloned() else { return unknown_upload() };
        let upload = upload.lock().unwrap_or_else(PoisonError::into_inner);
        Answer { status: 204, ..accepted(&upload.repository, id, upload.size()) }
    }

    fn part(&self, repository: &str, id: &str, request: &mut Request<'_>) -> Result<Answer, Error> {
        let Some(upload) = self.upload(repository, id) else { return Ok(unknown_upload()) };
        let mut upload = upload.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = request.header("Content-Range").and_then(|range| range.split_once('-')?.0.parse::<u64>().ok());
        if begin.is_some_and(|begin| begin != upload.size()) {
            return Ok(Answer { status: 416, ..accepted(repository, id, upload.size()) });
        }
        match take(&mut upload, &mut request.body)? {
            Some(refused) => Ok(refused),
            None => Ok(accepted(repository, id, upload.size())),
        }
    }

    fn end(&self, repository: &str, id: &str, request: &mut Request<'_>) -> Result<Answer, Error> {
        let Some(shared) = self.upload(repository, id) else { return Ok(unknown_upload()) };
        let Some(expected) = request.query("digest").and_then(|digest| digest.parse::<Digest>().ok()) else {
            return Ok(Answer::error(400, "DIGEST_INVALID", "`digest` is not said, or no SHA-256"));
        };
        let mut upload = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refused) = take(&mut upload, &mut request.body)? {
            return Ok(refused);
        }
        self.uploads().remove(id);
        let Some(file) = upload.file.take() else { return Ok(unknown_upload()) };
        let (actual, _, _) = file.finish();
        if actual != Some(expected) {
            return Ok(Answer::error(400, "DIGEST_INVALID", "the bytes do not have this digest"));
        }
        let to = self.staged(expected);
        fs::rename(&upload.path, &to).doing("rename", &to)?;
        Ok(created(repository, expected))
    }

    /// A manifest makes an image of blobs that are here.
    fn enter(&self, repository: &str, called: &Name, request: &mut Request<'_>) -> Result<Answer, Error> {
        let mut bytes = Vec::new();
        let read = (&mut request.body).take(DOCUMENT + 1).read_to_end(&mut bytes);
        read.doing("read", "the manifest")?;
        if bytes.len() as u64 > DOCUMENT {
            return Ok(Answer::error(413, "SIZE_INVALID", "a manifest of more than 4 MiB"));
        }
        let digest = Digest::of(&bytes);
        if let Name::Digest(expected) = called
            && *expected != digest
        {
            return Ok(Answer::error(400, "DIGEST_INVALID", "the manifest does not have this digest"));
        }
        let media_type = request.header("Content-Type").unwrap_or_default().to_owned();
        let name: Reference = match called {
            Name::Tag(tag) => format!("{}/{repository}:{tag}", self.own).parse()?,
            Name::Digest(digest) => format!("{}/{repository}@{digest}", self.own).parse()?,
        };
        if !is_index(&media_type) {
            let manifest: ImageManifest = parse(&bytes, || "the manifest".into())?;
            if is_artifact(&manifest) {
                self.forget_image(&name)?;
                return self.enter_artifact(&name, &manifest, &media_type, &bytes);
            }
        }
        let intake = Intake::begin(&self.store)?;
        let (entry, own) = match is_index(&media_type) {
            false => (Descriptor::new(MediaType::from(media_type.as_str()), bytes.len() as u64, digest), bytes),
            true => match self.of_index(repository, &bytes)? {
                Ok(own) => {
                    intake.document(&bytes)?;
                    own
                }
                Err(refused) => return Ok(refused),
            },
        };
        let unpacked = match self.image(&intake, &own)? {
            Ok(unpacked) => unpacked,
            Err(missing) => {
                let why = format!("blob {missing} is not here");
                return Ok(Answer::not_found("MANIFEST_BLOB_UNKNOWN", &why));
            }
        };
        intake.document(&own)?;
        intake.pulled(entry, &name, unpacked, digest);
        self.store.committed(intake)?;
        if matches!(called, Name::Tag(_)) {
            self.delete_artifacts(repository, called)?;
        }
        let location = format!("/v2/{repository}/manifests/{digest}");
        Ok(Answer::empty(201).with("Location", location).with_digest(digest))
    }

    /// An index is kept as it came. All that it names has to be here; the image for this machine, or the first, is what its name means
    /// to this machine's engine: its entry and its manifest.
    fn of_index(&self, repository: &str, bytes: &[u8]) -> Result<Result<(Descriptor, Vec<u8>), Answer>, Error> {
        let index: ImageIndex = parse(bytes, || "the index".into())?;
        let mut pushed = self.named()?;
        pushed.retain(|(name, _)| name.registry() == self.own && name.path() == repository);
        let mut others = self.named_artifacts()?;
        others.retain(|(name, _)| name.path() == repository);
        let has = |all: &[(Reference, Descriptor)], child: &Descriptor| {
            all.iter().any(|(_, it)| it.digest() == child.digest())
        };
        let missing = index.manifests().iter().find(|child| !has(&pushed, child) && !has(&others, child));
        if let Some(missing) = missing {
            let why = format!("manifest {} of the index is not here", missing.digest());
            return Ok(Err(Answer::not_found("MANIFEST_BLOB_UNKNOWN", &why)));
        }
        let here = Platform::default();
        // Beside its images an index may have attestations, which are none.
        let images: Vec<&Descriptor> = index.manifests().iter().filter(|child| has(&pushed, child)).collect();
        let own = images.iter().find(|child| here.is_of(child)).or(images.first());
        let Some(own) = own else {
            return Ok(Err(Answer::error(400, "MANIFEST_INVALID", "the index names no image")));
        };
        let path = self.store.layout.blob(Digest::try_from(own.digest())?);
        let manifest = fs::read(&path).doing("read", &path)?;
        let digest = Digest::of(&manifest);
        Ok(Ok((Descriptor::new(own.media_type().clone(), manifest.len() as u64, digest), manifest)))
    }

    /// Takes configuration and layers of a manifest; gives the bytes of all files, or the blob that is missing.
    fn image(&self, intake: &Intake<'_>, manifest: &[u8]) -> Result<Result<u64, Digest>, Error> {
        let manifest: ImageManifest = parse(manifest, || "the manifest".into())?;
        let config = Digest::try_from(manifest.config().digest())?;
        let Some(path) = self.blob(config) else { return Ok(Err(config)) };
        let mut bytes = Vec::new();
        let file = File::open(&path).doing("open", &path)?;
        file.take(DOCUMENT).read_to_end(&mut bytes).doing("read", &path)?;
        let parsed: ImageConfiguration = parse(&bytes, || "the configuration".into())?;
        let diff_ids = diff_ids(&parsed)?;
        if diff_ids.len() != manifest.layers().len() {
            return Err(Error::malformed("the manifest", "it has not as many layers as its configuration"));
        }
        let mut unpacked = 0;
        for (layer, diff_id) in manifest.layers().iter().zip(diff_ids) {
            let digest = Digest::try_from(layer.digest())?;
            let Some(path) = self.blob(digest) else { return Ok(Err(digest)) };
            let file = File::open(&path).doing("open", &path)?;
            let staged = self.staged(digest);
            let expected = Expected {
                what: format!("layer {digest}"),
                blob: Some((digest, layer.size())),
                diff_id: Some(diff_id),
                media_type: Some(layer.media_type().clone()),
                stored: (path == staged).then_some(staged),
            };
            unpacked += intake.layer(file, expected)?.bytes;
        }
        // Its own copy: the same configuration may be in another push that is under way.
        intake.document(&bytes)?;
        Ok(Ok(unpacked))
    }

    /// The name now means something else.
    fn forget_image(&self, name: &Reference) -> Result<(), Error> {
        match self.store.remove(&name.to_string(), false, &*self.in_use) {
            Ok(_) | Err(Error::NoSuchImage { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Names of pushed images only: what else this machine has is not for others to remove.
    fn delete(&self, repository: &str, called: &Name) -> Result<Answer, Error> {
        let mut named = self.named()?;
        named.retain(|(name, entry)| {
            let same = match called {
                Name::Tag(tag) => name.tag() == Some(tag),
                Name::Digest(digest) => is_called(entry, *digest),
            };
            same && name.registry() == self.own && name.path() == repository
        });
        let artifacts = self.delete_artifacts(repository, called)?;
        if named.is_empty() && !artifacts {
            return Ok(Answer::not_found("MANIFEST_UNKNOWN", "no image was pushed under this name"));
        }
        for (name, _) in named {
            self.store.remove(&name.to_string(), false, &*self.in_use)?;
        }
        Ok(Answer::empty(202))
    }
}

/// Appends the body to an upload. A client that is cut off may go on from there, so what has come stays.
fn take(upload: &mut Upload, body: &mut impl Read) -> Result<Option<Answer>, Error> {
    upload.touched = Instant::now();
    let path = upload.path.clone();
    let Some(file) = &mut upload.file else { return Ok(Some(unknown_upload())) };
    let mut buffer = vec![0; crate::compression::BUFFER];
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Ok(Some(Answer::error(400, "BLOB_UPLOAD_INVALID", "the upload was cut off"))),
        };
        if file.count() + count as u64 > MOST_BYTES {
            return Ok(Some(Answer::error(413, "SIZE_INVALID", "the blob is too large")));
        }
        if let Err(error) = file.write_all(&buffer[..count]) {
            // A part of the buffer may be in the file and not in the hash.
            upload.file = None;
            return Err(Error::io("write", path, error));
        }
    }
}

fn accepted(repository: &str, id: &str, size: u64) -> Answer {
    let range = format!("0-{}", size.saturating_sub(1));
    let answer = Answer::empty(202).with("Location", format!("/v2/{repository}/blobs/uploads/{id}"));
    answer.with("Range", range).with("Docker-Upload-UUID", id)
}

fn created(repository: &str, digest: Digest) -> Answer {
    Answer::empty(201).with("Location", format!("/v2/{repository}/blobs/{digest}")).with_digest(digest)
}

fn unknown_upload() -> Answer {
    Answer::not_found("BLOB_UPLOAD_UNKNOWN", "this upload is not under way")
}
