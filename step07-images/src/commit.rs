//! An image of an image and one more layer: what `commit` makes, and each step of a build.

use crate::error::{Doing, Error};
use crate::image::Image;
use crate::intake::{Added, Intake};
use crate::load::{Loaded, docker};
use crate::pack::{Form, Packer};
use crate::reference::Reference;
use crate::store::Store;
use oci_spec::image::{Config, Descriptor, History, HistoryBuilder};
use std::fs::File;
use std::os::fd::BorrowedFd;

/// What is said about a new layer.
#[derive(Debug, Clone, Default)]
pub struct Word {
    /// When it was made, RFC 3339.
    pub created: String,
    /// By what: the command.
    pub created_by: String,
    /// By whom.
    pub author: Option<String>,
    /// What for.
    pub comment: Option<String>,
}

impl Store {
    /// Makes an image of `base` and the upper directory of an overlay over it. The layer is compressed with gzip, which every tool reads.
    ///
    /// # Errors
    /// [`Error::Io`] for a directory that cannot be read, or a full disk; nothing is left then.
    pub fn commit(
        &self,
        base: &Image,
        upper: BorrowedFd<'_>,
        config: Config,
        name: Option<&Reference>,
        word: &Word,
    ) -> Result<Loaded, Error> {
        let mut intake = Intake::begin(self)?;
        let path = intake.folder().join("upper.tar.gz");
        let file = File::create(&path).doing("create", &path)?;
        let buffered = std::io::BufWriter::with_capacity(1 << 18, file);
        let gzip = flate2::write::GzEncoder::new(buffered, flate2::Compression::fast());
        let mut packer = Packer::new(gzip, Form::Upper);
        packer.children(upper, b"")?;
        let (gzip, skipped) = packer.finish()?;
        let buffered = gzip.finish().doing("write", &path)?;
        buffered.into_inner().map_err(std::io::IntoInnerError::into_error).doing("write", &path)?;
        intake.skip(skipped);
        let layer = self.stored_layer(&mut intake, &path, "what the container has written".to_owned())?;
        self.with_layer(intake, base, layer, config, name, word)
    }

    fn with_layer(
        &self,
        mut intake: Intake<'_>,
        base: &Image,
        layer: Added,
        config: Config,
        name: Option<&Reference>,
        word: &Word,
    ) -> Result<Loaded, Error> {
        let mut image = base.config.clone();
        let mut rootfs = image.rootfs().clone();
        let mut diff_ids = rootfs.diff_ids().clone();
        diff_ids.push(layer.diff_id.to_string());
        rootfs.set_diff_ids(diff_ids);
        image.set_rootfs(rootfs);
        image.set_config(Some(config));
        image.set_created(Some(word.created.clone()));
        if word.author.is_some() {
            image.set_author(word.author.clone());
        }
        let history: Vec<History> = image.history().iter().flatten().cloned().chain([history(word)]).collect();
        image.set_history(Some(history));
        let what = "write the configuration".to_owned();
        let bytes = serde_json::to_vec(&image).map_err(|source| Error::Json { what, source })?;
        let unpacked = base.size + layer.bytes;
        let layers: Vec<Descriptor> = self.blobs_of(base)?.into_iter().chain([layer.descriptor]).collect();
        let manifest = docker::manifest_of(&bytes, layers, &mut intake)?;
        intake.image(manifest, name.map(std::slice::from_ref).unwrap_or_default(), unpacked);
        self.committed(intake)
    }

    /// The layers of an image as its manifest has them.
    fn blobs_of(&self, image: &Image) -> Result<Vec<Descriptor>, Error> {
        let index = self.layout.read_index()?;
        let (descriptor, _) = self.find(index.manifests(), &image.manifest.to_string())?;
        Ok(self.layout.manifest(descriptor)?.layers().clone())
    }
}

fn history(word: &Word) -> History {
    let mut history = HistoryBuilder::default().created(word.created.clone()).created_by(word.created_by.clone());
    if let Some(author) = &word.author {
        history = history.author(author.clone());
    }
    if let Some(comment) = &word.comment {
        history = history.comment(comment.clone());
    }
    history.build().expect("nothing of it is required")
}
