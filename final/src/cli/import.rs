//! `tara import`.

use super::load::{input, report_skipped};
use super::print;
use crate::changes::apply;
use crate::engine::Engine;
use crate::events::note_other;
use anyhow::{Context, Result};
use clap::Args;
use oci_spec::image::{Config, ConfigBuilder};
use std::path::Path;
use step07_images::{Reference, Source};

/// Make an image of a file system: a directory, or a tarball (plain, gzip or zstd).
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Change the configuration by an instruction of a Dockerfile, such as `CMD ["sh"]`.
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// The directory or tarball; `-` for standard input.
    #[arg(value_name = "PATH|-")]
    source: String,
    /// The image's name.
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<Reference>,
}

impl Import {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let (store, name) = (engine.store(), self.name.as_ref());
        let config = apply(config()?, &self.change)?;
        let loaded = match self.source.as_str() {
            "-" => store.import(Source::Stream(&mut input()?), name, config),
            path => store.import(Source::Path(Path::new(path)), name, config),
        };
        let loaded = loaded.with_context(|| format!("cannot import `{}`", self.source))?;
        loaded.images.iter().for_each(|image| print(&format!("{}\n", image.id)));
        for image in &loaded.images {
            let name = image.names.first().map(ToString::to_string);
            let more = name.map(|name| ("name", name));
            note_other(engine.dirs(), "image", "import", &image.id.to_string(), more.as_slice());
        }
        report_skipped(&loaded);
        Ok(0)
    }
}

/// A file system says nothing about what to run: its shell is the best guess, and the command line overrides it.
fn config() -> Result<Config> {
    Ok(ConfigBuilder::default().cmd(vec!["sh".to_owned()]).build()?)
}
