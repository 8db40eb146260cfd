//! Where the result goes.

use super::Request;
use super::progress::Progress;
use super::stage::State;
use crate::engine::Engine;
use crate::report::Refusal;
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use step07_images::Digest;
use step07_images::build::Session;

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
    parts.document.config.labels.extend(request.labels.clone());
    parts.document.created.clone_from(&state.created);
    if let Some(output) = &request.output {
        let id = Digest::of(&parts.document.bytes());
        session.finish(None, &[]).context("keep what was built")?;
        files(engine, state, output, progress)?;
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

fn files(_engine: &Engine, _state: &State, output: &Output, _progress: &Progress) -> Result<()> {
    let what = format!("the output {output:?} is not there yet");
    Err(Refusal::new(what).code(1).into())
}
