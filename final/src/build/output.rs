//! Where the result goes.

use super::Request;
use super::copy::overlay_of;
use super::progress::Progress;
use super::stage::State;
use crate::engine::Engine;
use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use step03_mount_overlay::Overlay;
use step07_images::Digest;
use step07_images::build::{Document, History, How, Session, Source, Target};
use step07_images::pack::{Form, Packer};

/// `-o`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The files, into a folder.
    Local(PathBuf),
    /// The files, as a tar.
    Tar(PathBuf),
}

impl std::str::FromStr for Output {
    type Err = anyhow::Error;

    /// `type=local,dest=DIR`, or the folder alone.
    fn from_str(text: &str) -> Result<Self> {
        if !text.contains('=') {
            return Ok(if text == "-" { Self::Tar("-".into()) } else { Self::Local(text.into()) });
        }
        let value = |key: &str| text.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let dest = value("dest").map(PathBuf::from);
        match (value("type").unwrap_or("local"), dest) {
            ("local", Some(dest)) => Ok(Self::Local(dest)),
            ("tar", Some(dest)) => Ok(Self::Tar(dest)),
            ("local" | "tar", None) => bail!("`dest=` is missing"),
            (other, _) => bail!("`{other}` is not known: it is local or tar"),
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
    if let Some(output) = &request.output {
        let id = Digest::of(&parts.document.bytes());
        files(&Merged::new(engine, &session, state)?, output, progress)?;
        session.finish(None, &[]).context("keep what was built")?;
        return Ok(id);
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
fn files(build: &Merged<'_>, output: &Output, progress: &Progress) -> Result<()> {
    let vertex = progress.begin("exporting to client");
    match output {
        Output::Local(folder) => {
            fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
            let into = File::open(folder).with_context(|| format!("open `{}`", folder.display()))?;
            let source = Source::new(build.overlay.as_fd(), None);
            let all = source.select("/").context("the result")?.into_iter().next().context("the result has no root")?;
            let how = How { owner: None, attributes: true, ..How::default() };
            Target::new(into.as_fd(), how).copy(&source, &all, "").context("write the files")?;
        }
        Output::Tar(path) if path.as_os_str() == "-" => write_tar(build, std::io::stdout().lock())?,
        Output::Tar(path) => {
            let file = File::create(path).with_context(|| format!("create `{}`", path.display()))?;
            write_tar(build, file)?;
        }
    }
    vertex.done();
    Ok(())
}

fn write_tar(build: &Merged<'_>, into: impl Write) -> Result<()> {
    let mut packer = Packer::new(BufWriter::with_capacity(1 << 18, into), Form::Plain);
    packer.children(build.overlay.as_fd(), b"").context("write the tar")?;
    packer.finish()?.0.flush().context("write the tar")
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
