//! Images into files: archives that docker, skopeo, podman and [`Store::load`] read.
//!
//! All are an OCI layout; a docker archive has a `manifest.json` beside it, as docker writes it since version 25. Blobs go as
//! they are, so nothing is compressed or hashed again, and the same images give the same bytes.

use crate::build::Parts;
use crate::digest::Digest;
use crate::error::{Doing, Error};
use crate::image::{Image, name_of, renamed};
use crate::import::tarball::{Item, TarWriter};
use crate::layout::{Layout, parse};
use crate::load::docker::manifest_bytes;
use crate::reference::Reference;
use crate::store::Store;
use oci_spec::image::{Descriptor, ImageManifest};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tar::EntryType;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Archive {
    /// For `docker load`.
    #[default]
    Docker,
    /// A tar of an OCI layout.
    Oci,
}

impl Store {
    /// Writes images as one archive: each under the name that it was asked for by, and without one when that was an id.
    ///
    /// # Errors
    /// As [`Store::resolve`]; [`Error::Io`].
    pub fn save(&self, references: &[String], archive: Archive, to: &mut dyn Write) -> Result<(), Error> {
        let mut tar = Tar(TarWriter::new(to));
        self.put(references, archive == Archive::Docker, &mut tar)?;
        tar.0.finish().map(drop).doing("write", "the archive")
    }

    /// Writes images as an OCI layout into a new folder.
    ///
    /// # Errors
    /// As [`Store::save`]; [`Error::Io`] also when there is something at `folder`.
    pub fn save_folder(&self, references: &[String], folder: &Path) -> Result<(), Error> {
        DirBuilder::new().create(folder).doing("create", folder)?;
        self.put(references, false, &mut Folder(folder.to_owned()))
    }

    /// Writes an image that was built and is under no name in the store, as an archive.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_built(
        &self,
        parts: &Parts,
        names: &[Reference],
        archive: Archive,
        to: &mut dyn Write,
    ) -> Result<(), Error> {
        let mut tar = Tar(TarWriter::new(to));
        self.put_built(parts, names, archive == Archive::Docker, &mut tar)?;
        tar.0.finish().map(drop).doing("write", "the archive")
    }

    /// The same as an OCI layout in a new folder.
    ///
    /// # Errors
    /// [`Error::Io`] also when there is something at `folder`.
    pub fn save_built_folder(&self, parts: &Parts, names: &[Reference], folder: &Path) -> Result<(), Error> {
        DirBuilder::new().create(folder).doing("create", folder)?;
        self.put_built(parts, names, false, &mut Folder(folder.to_owned()))
    }

    fn put_built(&self, parts: &Parts, names: &[Reference], for_docker: bool, to: &mut dyn Put) -> Result<(), Error> {
        let config = parts.document.bytes();
        let (manifest, entry) = manifest_bytes(&config, parts.layers.clone())?;
        let mut entries: Vec<_> = names.iter().map(|name| renamed(&entry, Some(name))).collect();
        if entries.is_empty() {
            entries.push(entry.clone());
        }
        let parsed = parse(&manifest, || "the manifest".to_owned())?;
        let tags = names.iter().map(ToString::to_string).collect();
        put_heads(&entries, for_docker.then(|| vec![for_load(&parsed, tags)]), to)?;
        to.put(&member(Digest::of(&config)), &config)?;
        to.put(&member(Digest::of(&manifest)), &manifest)?;
        let layers = parts.layers.iter().map(|layer| Digest::try_from(layer.digest()));
        self.put_blobs(layers.collect::<Result<Vec<_>, _>>()?, to)
    }

    fn put(&self, references: &[String], for_docker: bool, to: &mut dyn Put) -> Result<(), Error> {
        let index = self.layout.read_index()?;
        let (mut entries, mut docker) = (Vec::new(), Vec::new());
        for reference in references {
            let (found, by_name) = self.find(index.manifests(), reference)?;
            let entry = if by_name { found.clone() } else { renamed(found, None) };
            let names = name_of(&entry).into_iter().map(str::to_owned).collect();
            docker.push(for_load(&self.layout.manifest(&entry)?, names));
            entries.push(entry);
        }
        put_heads(&entries, for_docker.then_some(docker), to)?;
        let all = entries.iter().map(|entry| blobs(&self.layout, entry)).collect::<Result<Vec<_>, _>>()?;
        self.put_blobs(all.concat(), to)
    }

    /// Each once.
    fn put_blobs(&self, blobs: Vec<Digest>, to: &mut dyn Put) -> Result<(), Error> {
        let mut written = HashSet::new();
        for digest in blobs.into_iter().filter(|digest| written.insert(*digest)) {
            let path = self.layout.blob(digest);
            let file = File::open(&path).doing("open", &path)?;
            let size = file.metadata().doing("look at", &path)?.len();
            to.put_from(&member(digest), size, &mut &file)?;
        }
        Ok(())
    }

    /// What the image was made of, newest first, with the bytes that each step added.
    ///
    /// # Errors
    /// [`Error::Digest`] for a damaged configuration.
    pub fn history(&self, image: &Image) -> Result<Vec<Step>, Error> {
        let mut layers = crate::layout::diff_ids(&image.config)?.into_iter();
        let steps = image.config.history().iter().flatten().map(|step| {
            let layer = if step.empty_layer().unwrap_or(false) { None } else { layers.next() };
            Step {
                created: step.created().clone(),
                created_by: step.created_by().clone().unwrap_or_default(),
                comment: step.comment().clone().unwrap_or_default(),
                size: layer.map_or(0, |layer| self.layer_size(layer)),
            }
        });
        let mut steps: Vec<_> = steps.collect();
        // Layers that nobody has said a word about.
        let silent = layers.map(|layer| Step { size: self.layer_size(layer), ..Step::default() });
        steps.extend(silent);
        steps.reverse();
        Ok(steps)
    }

    /// Bytes of the files of one unpacked layer.
    #[must_use]
    pub fn layer_size(&self, layer: Digest) -> u64 {
        crate::intake::tree_size(&self.layout.layer(layer))
    }

    /// The layers of an image, base first, by their diff-ids.
    ///
    /// # Errors
    /// [`Error::Digest`] for a damaged configuration.
    pub fn layers_of(&self, image: &Image) -> Result<Vec<Digest>, Error> {
        crate::layout::diff_ids(&image.config)
    }

    /// The blobs of an image (manifest, configuration, compressed layers) and their sizes.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Json`] for a damaged store.
    pub fn blobs_of(&self, image: &Image) -> Result<Vec<(Digest, u64)>, Error> {
        let index = self.layout.read_index()?;
        let (entry, _) = self.find(index.manifests(), &image.id.hex())?;
        let size = |digest| (digest, fs::metadata(self.layout.blob(digest)).map_or(0, |data| data.len()));
        Ok(blobs(&self.layout, entry)?.into_iter().map(size).collect())
    }
}

/// A step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// When, RFC 3339, by the image's own word.
    pub created: Option<String>,
    /// The command.
    pub created_by: String,
    /// What the builder says about it.
    pub comment: String,
    /// Bytes of the files that it added.
    pub size: u64,
}

fn blobs(layout: &Layout, entry: &Descriptor) -> Result<Vec<Digest>, Error> {
    let manifest = layout.manifest(entry)?;
    let all = [entry, manifest.config()].into_iter().chain(manifest.layers());
    all.map(|descriptor| Digest::try_from(descriptor.digest())).collect()
}

fn member(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// What a reader looks at first.
fn put_heads(entries: &[Descriptor], docker: Option<Vec<Value>>, to: &mut dyn Put) -> Result<(), Error> {
    to.put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    to.put("index.json", index.to_string().as_bytes())?;
    docker.map_or(Ok(()), |docker| to.put("manifest.json", Value::from(docker).to_string().as_bytes()))
}

/// An entry of docker's `manifest.json`.
fn for_load(manifest: &ImageManifest, names: Vec<String>) -> Value {
    let path = |descriptor: &Descriptor| descriptor.digest().to_string().replace(':', "/");
    let layers: Vec<_> = manifest.layers().iter().map(|layer| format!("blobs/{}", path(layer))).collect();
    let names: Vec<_> = names.into_iter().filter(|name| !name.contains('@')).collect();
    json!({ "Config": format!("blobs/{}", path(manifest.config())), "RepoTags": names, "Layers": layers })
}

/// Where an archive goes.
trait Put {
    fn put_from(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<(), Error>;

    fn put(&mut self, name: &str, mut content: &[u8]) -> Result<(), Error> {
        self.put_from(name, content.len() as u64, &mut content)
    }
}

struct Tar<'a>(TarWriter<&'a mut dyn Write>);

impl Put for Tar<'_> {
    fn put_from(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let item = Item {
            name: name.as_bytes().to_vec(),
            link: Vec::new(),
            kind: EntryType::Regular,
            mode: 0o644,
            owner: (0, 0),
            mtime: (0, 0),
            size,
            device: (0, 0),
            attributes: Vec::new(),
        };
        self.0.add(&item, content).doing("write", "the archive")
    }
}

struct Folder(PathBuf);

impl Put for Folder {
    fn put_from(&mut self, name: &str, _: u64, content: &mut dyn Read) -> Result<(), Error> {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).create(parent).doing("create", parent)?;
        }
        let mut file = File::create_new(&path).doing("create", &path)?;
        std::io::copy(content, &mut file).map(drop).doing("write", path)
    }
}
