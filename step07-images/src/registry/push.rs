//! A whole image to a registry: what it lacks of the layers, the configuration, and the manifest last, so that a name never leads
//! to an image that is not whole. Bytes go as they are in the store: digests are the same on both sides.

use super::client::{Client, Request, Response};
use super::error::Error as RegistryError;
use super::manifest::denied;
use super::{Progress, Registries, Step};
use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::image::name_of;
use crate::layout::Layout;
use crate::reference::Reference;
use crate::store::Store;
use oci_spec::image::{Descriptor, ImageManifest};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use ureq::http::{Method, Uri};

/// Layers that are sent at once.
const SIDE_BY_SIDE: usize = 3;
/// A blob is sent in pieces of this size: a cut costs one piece, not all.
const PIECE: u64 = 64 << 20;

/// An image that was pushed.
#[derive(Debug)]
pub struct Pushed {
    /// The manifest's digest, here and there.
    pub digest: Digest,
    /// The manifest's size.
    pub size: u64,
}

impl Store {
    /// Pushes the image `reference` to the registry that its name says.
    ///
    /// # Errors
    /// As [`Store::resolve`]; [`Error::Registry`].
    pub fn push(
        &self,
        registries: &Registries,
        reference: &Reference,
        progress: &dyn Progress,
    ) -> Result<Pushed, Error> {
        let index = self.layout.read_index()?;
        let (found, _) = self.find(index.manifests(), &reference.to_string())?;
        let manifest = self.layout.manifest(found)?;
        let client = registries.connect(reference.registry())?;
        let sources = sources(&self.layout, index.manifests(), reference)?;
        let push = Push { layout: &self.layout, client: &client, reference, sources: &sources, progress };
        push.layers(&manifest)?;
        push.blob(manifest.config(), &())?;
        push.manifest(found)
    }
}

/// Blobs that the same registry may have in other repositories, going by the names of this store.
fn sources(layout: &Layout, index: &[Descriptor], reference: &Reference) -> Result<Vec<(String, Digest)>, Error> {
    let mut sources = Vec::new();
    for entry in index {
        let Some(Ok(name)) = name_of(entry).map(str::parse::<Reference>) else { continue };
        if name.registry() != reference.registry() || name.path() == reference.path() {
            continue;
        }
        for layer in layout.manifest(entry)?.layers() {
            sources.push((name.path().to_owned(), Digest::try_from(layer.digest())?));
        }
    }
    Ok(sources)
}

struct Push<'a> {
    layout: &'a Layout,
    client: &'a Client<'a>,
    reference: &'a Reference,
    sources: &'a [(String, Digest)],
    progress: &'a dyn Progress,
}

impl Push<'_> {
    fn layers(&self, manifest: &ImageManifest) -> Result<(), Error> {
        let mut distinct: Vec<&Descriptor> = Vec::new();
        for layer in manifest.layers() {
            if !distinct.iter().any(|known| known.digest() == layer.digest()) {
                self.progress.layer(Digest::try_from(layer.digest())?, Step::Waiting);
                distinct.push(layer);
            }
        }
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let lock = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            while let Some(layer) = distinct.get(next.fetch_add(1, Ordering::Relaxed)) {
                if lock().is_some() {
                    return;
                }
                if let Err(error) = self.blob(layer, self.progress) {
                    lock().get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            (1..SIDE_BY_SIDE.min(distinct.len())).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Makes sure that the registry has a blob: it is there, or comes from another repository, or is sent.
    fn blob(&self, descriptor: &Descriptor, progress: &dyn Progress) -> Result<(), Error> {
        let digest = Digest::try_from(descriptor.digest())?;
        if self.has(digest)? {
            progress.layer(digest, Step::Exists);
            return Ok(());
        }
        let path = self.layout.blob(digest);
        let size = fs::metadata(&path).doing("look at", &path)?.len();
        match self.begin(digest)? {
            None => progress.layer(digest, Step::Mounted),
            Some(upload) => {
                self.send(digest, size, upload, progress)?;
                progress.layer(digest, Step::Done);
            }
        }
        Ok(())
    }

    fn has(&self, digest: Digest) -> Result<bool, Error> {
        let url = format!("/v2/{}/blobs/{digest}", self.reference.path());
        let response = self.ask(Method::HEAD, url, digest, String::new())?;
        match response.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refused(&what(digest), response)),
        }
    }

    /// Begins an upload; gives its address, or nothing when the blob came from another repository instead.
    fn begin(&self, digest: Digest) -> Result<Option<Uri>, Error> {
        let uploads = format!("/v2/{}/blobs/uploads/", self.reference.path());
        for (from, _) in self.sources.iter().filter(|(_, blob)| *blob == digest) {
            let url = format!("{uploads}?mount={digest}&from={from}");
            let response = self.ask(Method::POST, url, digest, format!(" repository:{from}:pull"))?;
            match response.status().as_u16() {
                201 => return Ok(None),
                202 => return self.location(digest, &uploads, &response).map(Some),
                // The other repository is not ours to read; without it, then.
                _ => {}
            }
        }
        let response = self.ask(Method::POST, uploads.clone(), digest, String::new())?;
        match response.status().as_u16() {
            202 => self.location(digest, &uploads, &response).map(Some),
            _ => Err(self.refused(&what(digest), response)),
        }
    }

    /// Sends the blob in pieces; after a cut the registry says how much it has.
    fn send(&self, digest: Digest, size: u64, upload: Uri, progress: &dyn Progress) -> Result<(), Error> {
        let (mut at, mut upload, mut cuts) = (0, upload, 0);
        let patience = self.client.settings().patience;
        while at < size {
            let end = (at + PIECE).min(size);
            match self.piece(digest, &upload, at..end, size, progress) {
                Ok(response) if response.status() == 202 => {
                    upload = self.location(digest, &upload.to_string(), &response)?;
                    (at, cuts) = (end, 0);
                }
                Ok(response) => return Err(self.refused(&what(digest), response)),
                Err(Error::Registry(RegistryError::Lost { .. } | RegistryError::Silent { .. }))
                    if cuts < patience.retries =>
                {
                    std::thread::sleep(patience.pause * (1 << cuts));
                    cuts += 1;
                    (at, upload) = self.so_far(digest, &upload)?;
                }
                Err(error) => return Err(error),
            }
        }
        let separator = if upload.query().is_some() { '&' } else { '?' };
        let url = format!("{upload}{separator}digest={digest}");
        let nothing = || Ok((Box::new(io::empty()) as Box<dyn Read>, 0));
        let response = self
            .client
            .send(&Request { body: Some(&nothing), ..self.request(Method::PUT, url, what(digest), String::new()) })?;
        match response.status().as_u16() {
            201 | 204 => Ok(()),
            _ => Err(self.refused(&what(digest), response)),
        }
    }

    fn piece(
        &self,
        digest: Digest,
        upload: &Uri,
        range: std::ops::Range<u64>,
        total: u64,
        progress: &dyn Progress,
    ) -> Result<Response, Error> {
        let path = self.layout.blob(digest);
        let body = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(range.start))?;
            let length = range.end - range.start;
            let passed = move |done| progress.layer(digest, Step::Moving { done, total });
            let reader = Counted { inner: file.take(length), count: range.start, passed };
            Ok((Box::new(reader) as Box<dyn Read>, length))
        };
        let mut request = self.request(Method::PATCH, upload.to_string(), what(digest), String::new());
        request.headers = vec![
            (CONTENT_TYPE.as_str(), "application/octet-stream".into()),
            (CONTENT_RANGE.as_str(), format!("{}-{}", range.start, range.end - 1)),
        ];
        Ok(self.client.send(&Request { body: Some(&body), ..request })?)
    }

    /// How much of an upload the registry has, and where it goes on.
    fn so_far(&self, digest: Digest, upload: &Uri) -> Result<(u64, Uri), Error> {
        let response = self.ask(Method::GET, upload.to_string(), digest, String::new())?;
        if response.status() != 204 {
            return Err(self.refused(&what(digest), response));
        }
        let range = response.headers().get(RANGE).and_then(|range| range.to_str().ok()).unwrap_or("0-0");
        let last: u64 = range.rsplit_once('-').and_then(|(_, last)| last.parse().ok()).unwrap_or(0);
        Ok((if last == 0 { 0 } else { last + 1 }, self.location(digest, &upload.to_string(), &response)?))
    }

    fn location(&self, digest: Digest, from: &str, response: &Response) -> Result<Uri, Error> {
        let what = what(digest);
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let to = to.ok_or_else(|| self.client.nonsense(&what, "it does not say where to"))?;
        Ok(self.client.redirected(&what, &self.client.resolve(&what, from)?, to)?)
    }

    fn manifest(&self, entry: &Descriptor) -> Result<Pushed, Error> {
        let digest = Digest::try_from(entry.digest())?;
        let path = self.layout.blob(digest);
        let bytes = fs::read(&path).doing("read", &path)?;
        let name = self.reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let what = format!("the manifest of `{}`", self.reference);
        let body = || Ok((Box::new(&bytes[..]) as Box<dyn Read>, bytes.len() as u64));
        let url = format!("/v2/{}/manifests/{name}", self.reference.path());
        let mut request = self.request(Method::PUT, url, what.clone(), String::new());
        request.headers = vec![(CONTENT_TYPE.as_str(), entry.media_type().to_string())];
        let response = self.client.send(&Request { body: Some(&body), ..request })?;
        match response.status().as_u16() {
            200..300 => Ok(Pushed { digest, size: bytes.len() as u64 }),
            _ => Err(self.refused(&what, response)),
        }
    }

    fn ask(&self, method: Method, url: String, digest: Digest, more: String) -> Result<Response, Error> {
        let nothing = || Ok((Box::new(io::empty()) as Box<dyn Read>, 0));
        let post = method == Method::POST;
        let request = self.request(method, url, what(digest), more);
        Ok(match post {
            true => self.client.send(&Request { body: Some(&nothing), ..request })?,
            false => self.client.send(&request)?,
        })
    }

    fn request(&self, method: Method, url: String, what: String, more: String) -> Request<'static> {
        let scope = format!("repository:{}:pull,push{more}", self.reference.path());
        Request { method, url, what, scope, headers: Vec::new(), body: None }
    }

    fn refused(&self, what: &str, response: Response) -> Error {
        match response.status().as_u16() {
            401 | 403 => denied(self.client, self.reference, "push").into(),
            _ => self.client.unexpected(what, response).into(),
        }
    }
}

fn what(digest: Digest) -> String {
    format!("layer {digest}")
}

/// Says how much has been read.
struct Counted<R, F> {
    inner: R,
    count: u64,
    passed: F,
}

impl<R: Read, F: Fn(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        (self.passed)(self.count);
        Ok(count)
    }
}
