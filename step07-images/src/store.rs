//! The images of one state directory: find, list, name.

use crate::digest::Digest;
use crate::error::Error;
use crate::image::{Image, REPO_DIGEST, annotation, name_of, renamed};
use crate::layout::Layout;
use crate::reference::Reference;
use crate::unpack::{Flavour, Limits};
use nix::fcntl::FlockArg;
use oci_spec::image::Descriptor;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::OnceLock;

/// Fewer hexadecimal digits than this are a name, not the beginning of an id.
const SHORTEST_ID: usize = 4;

/// The images and layers below a state directory. Opening it is cheap, it may be open any number of times at once.
#[derive(Debug)]
pub struct Store {
    pub(crate) layout: Layout,
    pub(crate) limits: Limits,
    flavour: OnceLock<Flavour>,
}

impl Store {
    /// Opens the store in `root` (`/var/lib/tara`), and makes it when it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be made.
    pub fn open(root: &Path) -> Result<Self, Error> {
        Ok(Self { layout: Layout::open(root)?, limits: Limits::default(), flavour: OnceLock::new() })
    }

    /// The same store with other bounds on what a layer may cost.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The form that layers are unpacked in; found out when first asked.
    pub fn flavour(&self) -> Flavour {
        *self.flavour.get_or_init(Flavour::of_this_process)
    }

    /// The OCI image layout, as skopeo and umoci take it (`oci:PATH:NAME`).
    #[must_use]
    pub fn images_dir(&self) -> std::path::PathBuf {
        self.layout.images()
    }

    /// Finds an image by `name[:tag]`, `name@sha256:…`, or an id or its beginning (4 hexadecimal digits or more, of
    /// [`Image::id`]). A name wins over an id, as in docker.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::Ambiguous`], [`Error::Reference`]; [`Error::Io`] and [`Error::Json`] for a damaged store.
    pub fn resolve(&self, reference: &str) -> Result<Image, Error> {
        let index = self.layout.read_index()?;
        let (descriptor, _) = self.find(index.manifests(), reference)?;
        Image::read(&self.layout, descriptor, index.manifests())
    }

    /// The descriptor that `reference` means, and whether it was found by its name.
    pub(crate) fn find<'a>(&self, index: &'a [Descriptor], reference: &str) -> Result<(&'a Descriptor, bool), Error> {
        let by_name = reference.parse::<Reference>();
        if let Ok(name) = &by_name
            && let Some(found) = index.iter().find(|descriptor| is_named(descriptor, name))
        {
            return Ok((found, true));
        }
        if let Some(prefix) = id_prefix(reference) {
            return self
                .find_by_id(index, prefix)?
                .map(|found| (found, false))
                .ok_or(Error::NoSuchImage { reference: reference.to_owned() });
        }
        let reference = by_name?.to_string();
        Err(Error::NoSuchImage { reference })
    }

    fn find_by_id<'a>(&self, index: &'a [Descriptor], prefix: &str) -> Result<Option<&'a Descriptor>, Error> {
        let mut ids = BTreeMap::new();
        for descriptor in index {
            let manifest = self.layout.manifest(descriptor)?;
            let id = Digest::try_from(manifest.config().digest())?;
            let manifest = Digest::try_from(descriptor.digest())?;
            if id.hex().starts_with(prefix) || manifest.hex() == prefix {
                ids.entry(id).or_insert(descriptor);
            }
        }
        match ids.len() {
            0 | 1 => Ok(ids.into_values().next()),
            count => Err(Error::Ambiguous { prefix: prefix.to_owned(), count }),
        }
    }

    /// All images, each once however many names it has, the newest first.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Json`] for a damaged store.
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        let index = self.layout.read_index()?;
        let mut seen = HashSet::new();
        let once = index.manifests().iter().filter(|descriptor| seen.insert(descriptor.digest().clone()));
        let images = once.map(|descriptor| Image::read(&self.layout, descriptor, index.manifests()));
        let mut images = images.collect::<Result<Vec<_>, _>>()?;
        images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.names.cmp(&b.names)));
        Ok(images)
    }

    /// Gives the image `reference` one more name; an image that had this name loses it.
    ///
    /// # Errors
    /// As [`Store::resolve`]; [`Error::Reference`] for a new name with a digest.
    pub fn tag(&self, reference: &str, name: &str) -> Result<(), Error> {
        let new: Reference = name.parse()?;
        if new.digest().is_some() {
            let why = "a new name is a name and a tag, without a digest";
            return Err(Error::Reference { text: name.to_owned(), why });
        }
        let _lock = self.layout.lock(FlockArg::LockExclusive)?;
        let index = self.layout.read_index()?;
        let (found, _) = self.find(index.manifests(), reference)?;
        let entry = renamed(found, Some(&new));
        self.layout.change_index(|index| enter(index, entry))
    }
}

/// Enters `entry` into the index: its name is taken from whoever had it, who stays without a name if it was the last one;
/// and a nameless entry of the same image goes.
pub(crate) fn enter(index: &mut Vec<Descriptor>, entry: Descriptor) {
    let name = name_of(&entry).map(str::to_owned);
    if let Some(name) = &name {
        let loses: Vec<_> = index.iter().filter(|other| name_of(other) == Some(name)).cloned().collect();
        index.retain(|other| name_of(other) != Some(name));
        for loser in loses {
            if loser.digest() != entry.digest() && !index.iter().any(|other| other.digest() == loser.digest()) {
                index.push(renamed(&loser, None));
            }
        }
        index.retain(|other| other.digest() != entry.digest() || name_of(other).is_some());
    } else if index.iter().any(|other| other.digest() == entry.digest()) {
        return;
    }
    index.push(entry);
}

fn is_named(descriptor: &Descriptor, wanted: &Reference) -> bool {
    let Some(name) = name_of(descriptor).and_then(|name| name.parse::<Reference>().ok()) else {
        return false;
    };
    match wanted.digest() {
        None => name == *wanted,
        Some(digest) => name.repository() == wanted.repository() && digests(descriptor, &name).contains(&digest),
    }
}

/// What an entry may be called after the `@`: its manifest's digest, the one in its name, and that at its registry.
fn digests(descriptor: &Descriptor, name: &Reference) -> Vec<Digest> {
    let texts = [Some(descriptor.digest().as_ref()), annotation(descriptor, REPO_DIGEST)];
    let digests = texts.into_iter().flatten().filter_map(|text| text.parse().ok());
    digests.chain(name.digest()).collect()
}

/// The hexadecimal digits, when `text` can be an id or the beginning of one.
fn id_prefix(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    ((SHORTEST_ID..=64).contains(&hex.len()) && hex.bytes().all(digit)).then_some(hex)
}
