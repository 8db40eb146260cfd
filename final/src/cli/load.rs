//! `tara load`.

use super::print;
use crate::engine::Engine;
use crate::events::note_other;
use crate::report::Refusal;
use anyhow::{Context, Result};
use clap::Args;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;
use step07_images::{Loaded, Source};

/// Load images from an archive: of `docker save`, or an OCI layout (a directory or a tar).
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The archive or directory; without it standard input is read.
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Print only the ids.
    #[arg(short, long)]
    quiet: bool,
}

impl Load {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let loaded = match &self.input {
            Some(path) => {
                let source = engine.store().load(Source::Path(path));
                source.with_context(|| format!("cannot load `{}`", path.display()))?
            }
            None => engine.store().load(Source::Stream(&mut input()?)).context("cannot load standard input")?,
        };
        print(&self.text(&loaded));
        for image in &loaded.images {
            let name = image.names.first().map(ToString::to_string);
            let more = name.map(|name| ("name", name));
            note_other(engine.dirs(), "image", "load", &image.id.to_string(), more.as_slice());
        }
        report_skipped(&loaded);
        Ok(0)
    }

    fn text(&self, loaded: &Loaded) -> String {
        let images = loaded.images.iter();
        if self.quiet {
            return images.map(|image| format!("{}\n", image.id)).collect();
        }
        let said = images.flat_map(|image| match image.names.as_slice() {
            [] => vec![format!("Loaded image ID: {}\n", image.id)],
            names => names.iter().map(|name| format!("Loaded image: {name}\n")).collect(),
        });
        said.collect()
    }
}

/// Standard input, unless somebody would have to type the archive.
pub(super) fn input() -> Result<std::io::Stdin> {
    if stdin().is_terminal() {
        let refusal = Refusal::new("standard input is a terminal, not an archive");
        return Err(refusal.help("name the archive, or send it through a pipe").code(1).into());
    }
    Ok(stdin())
}

/// Says what of an image could not be kept on this machine.
pub(super) fn report_skipped(loaded: &Loaded) {
    for skipped in &loaded.skipped {
        eprintln!("warning: {}: {}", skipped.entry, skipped.what);
    }
}
