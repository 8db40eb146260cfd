//! Where the result goes.

use super::Request;
use super::copy::overlay_of;
use super::progress::Progress;
use super::stage::State;
use crate::beside;
use crate::engine::Engine;
use crate::report::Refusal;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use step03_mount_overlay::Overlay;
use step07_images::build::{Document, History, How, Parts, Session, Source, Target};
use step07_images::pack::{Form, Packer};
use step07_images::save::Archive;
use step07_images::{Digest, Reference, Store};

/// `-o`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The files, into a folder.
    Local(PathBuf),
    /// The files, as a tar.
    Tar(PathBuf),
    /// The image, as an archive.
    Archive(Archive, PathBuf),
    /// The image, as an OCI layout in a new folder.
    Layout(PathBuf),
    /// The image, into the store: as without `-o`.
    Store,
}

impl std::str::FromStr for Output {
    type Err = anyhow::Error;

    /// `type=local,dest=DIR`, or the folder alone; `-` is standard output.
    fn from_str(text: &str) -> Result<Self> {
        if !text.contains('=') {
            return Ok(if text == "-" { Self::Tar("-".into()) } else { Self::Local(text.into()) });
        }
        let mut options = BTreeMap::new();
        for pair in text.split(',') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "type" | "dest" | "tar" => drop(options.insert(key, value)),
                "name" => bail!("give the image its name with `-t`"),
                _ => bail!("`{key}` is not known: there are type, dest and tar"),
            }
        }
        let dest = options.get("dest").map(PathBuf::from);
        let plain = options.get("tar").is_some_and(|value| *value == "false");
        match (options.get("type").copied().unwrap_or("local"), dest) {
            ("local", Some(dest)) => Ok(Self::Local(dest)),
            ("tar", Some(dest)) => Ok(Self::Tar(dest)),
            ("oci", Some(dest)) if plain => Ok(Self::Layout(dest)),
            ("oci", dest) => Ok(Self::Archive(Archive::Oci, dest.unwrap_or_else(|| "-".into()))),
            ("docker", Some(dest)) => Ok(Self::Archive(Archive::Docker, dest)),
            ("docker" | "image", None) => Ok(Self::Store),
            ("local" | "tar", None) => bail!("`dest=` is missing"),
            (other, _) => bail!("`{other}` is not known: it is local, tar, oci, docker or image"),
        }
    }
}

/// Puts the image into the store, and its files where they are wanted.
pub(super) fn finish(
    engine: &Engine,
    session: Session<'_>,
    state: &State,
    request: &Request,
    progress: &Progress,
) -> Result<Digest> {
    let mut parts = state.parts();
    label(&mut parts.document, request, state);
    parts.document.created.clone_from(&state.created);
    if let Some(output) = request.output.as_ref().filter(|output| **output != Output::Store) {
        let vertex = progress.begin("exporting to client");
        if matches!(output, Output::Local(_) | Output::Tar(_)) {
            files(&Merged::new(engine, &session, state)?, output)?;
        }
        session.finish(None, &[]).context("keep what was built")?;
        // Its layers are in the store by now, as what the next build begins with.
        image(engine.store(), &parts, &request.names, output)?;
        vertex.done();
        return Ok(Digest::of(&parts.document.bytes()));
    }
    let vertex = progress.begin("exporting to image");
    let id = session.finish(Some(&parts), &request.names).context("put the image into the store")?;
    let id = id.context("the image has no id")?;
    vertex.note(&format!("writing image {id} done"));
    for name in &request.names {
        vertex.note(&format!("naming to {name} done"));
    }
    vertex.done();
    Ok(id)
}

/// `--label`, as if the Dockerfile ended in them, one after another.
fn label(document: &mut Document, request: &Request, state: &State) {
    document.config.labels.extend(request.labels.clone());
    for (name, value) in &request.labels {
        let (created, created_by) = (state.created.clone(), Some(format!("LABEL {name}={value}")));
        document.history.push(History { created, created_by, empty_layer: true, ..History::default() });
    }
}

/// The files of the result: all layers as one tree.
fn files(build: &Merged<'_>, output: &Output) -> Result<()> {
    match output {
        Output::Local(folder) => {
            fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
            let into = File::open(folder).with_context(|| format!("open `{}`", folder.display()))?;
            let source = Source::new(build.overlay.as_fd(), None);
            let all = source.select("/").context("the result")?.into_iter().next().context("the result has no root")?;
            let how = How { owner: None, attributes: true, ..How::default() };
            Ok(Target::new(into.as_fd(), how).copy(&source, &all, "").context("write the files")?)
        }
        Output::Tar(path) => to(path, |to| write_tar(build, to)),
        _ => Ok(()),
    }
}

/// The result as an image that is in no store.
fn image(store: &Store, parts: &Parts, names: &[Reference], output: &Output) -> Result<()> {
    match output {
        Output::Archive(archive, path) => to(path, |to| Ok(store.save_built(parts, names, *archive, to)?)),
        Output::Layout(folder) => Ok(store.save_built_folder(parts, names, folder)?),
        _ => Ok(()),
    }
}

/// Writes a file, or to standard output for `-`.
fn to(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    if path.as_os_str() != "-" {
        return beside::write(path, write);
    }
    if stdout().is_terminal() {
        bail!(
            Refusal::new("standard output is a terminal").help("name a file with `dest=`, or send it through a pipe")
        );
    }
    let mut to = BufWriter::with_capacity(1 << 18, stdout().lock());
    write(&mut to)?;
    to.flush().context("write the result")
}

fn write_tar(build: &Merged<'_>, into: &mut dyn Write) -> Result<()> {
    let mut packer = Packer::new(into, Form::Plain);
    packer.children(build.overlay.as_fd(), b"").context("write the tar")?;
    packer.finish().map(drop).context("write the tar")
}

/// An overlay of the result, attached nowhere.
struct Merged<'a> {
    overlay: Overlay,
    _folder: &'a Session<'a>,
}

impl<'a> Merged<'a> {
    fn new(engine: &Engine, session: &'a Session<'a>, state: &State) -> Result<Self> {
        let overlay = overlay_of(engine, session, &state.dirs, &session.new_folder("unused")?)?;
        Ok(Self { overlay, _folder: session })
    }
}
