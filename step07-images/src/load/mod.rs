//! Images from files: docker archives (`docker save`, `skopeo copy docker-archive:`) and OCI layouts, as a directory or a tar.

mod archive;
pub(crate) mod docker;
mod oci;

use crate::error::Error;
use crate::image::Image;
use crate::intake::Intake;
use crate::reference::Reference;
use crate::store::Store;
use crate::unpack::Skipped;
use archive::Archive;
use std::io::Read;
use std::path::Path;

/// Where an image comes from.
pub enum Source<'a> {
    /// A file or a directory.
    Path(&'a Path),
    /// A stream, such as standard input. It is written into the store's folder for work first: an archive's manifest may come last.
    Stream(&'a mut (dyn Read + Send)),
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The images, in the archive's order.
    pub images: Vec<Image>,
    /// What of them could not be kept on this machine.
    pub skipped: Vec<Skipped>,
}

impl Store {
    /// Loads all the images of an archive. Either all of them are in the store afterwards, or nothing is.
    ///
    /// Names are the archive's tags or annotations; an image without one is found by its id.
    ///
    /// # Errors
    /// [`Error::NotAnImage`], [`Error::NoMatchingManifest`], [`Error::MissingMember`]; [`Error::WrongDigest`],
    /// [`Error::WrongSize`], [`Error::WrongDiffId`], [`Error::MediaType`] for what is not what its manifest says;
    /// [`Error::Entry`] for a layer that is refused; [`Error::Io`].
    pub fn load(&self, source: Source<'_>) -> Result<Loaded, Error> {
        let mut intake = Intake::begin(self)?;
        let archive = Archive::open(source, intake.folder(), self.limits)?;
        if archive.has("index.json") && archive.has("oci-layout") {
            oci::take(&archive, &mut intake)?;
        } else if archive.has("manifest.json") {
            docker::take(&archive, &mut intake)?;
        } else {
            return Err(Error::NotAnImage { archive: archive.name().to_owned() });
        }
        self.committed(intake)
    }

    pub(crate) fn committed(&self, intake: Intake<'_>) -> Result<Loaded, Error> {
        let (entries, skipped) = intake.commit()?;
        let index = self.layout.read_index()?;
        let mut images: Vec<Image> = Vec::new();
        for entry in &entries {
            let image = Image::read(&self.layout, entry, index.manifests())?;
            if !images.iter().any(|known| known.manifest == image.manifest) {
                images.push(image);
            }
        }
        Ok(Loaded { images, skipped })
    }
}

/// The names that are names; another tool's free text is no reason to refuse its image.
fn names<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Reference> {
    let parsed = texts.into_iter().filter_map(|text| match text.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            tracing::warn!(%error, "loaded without this name");
            None
        }
    });
    parsed.collect()
}
