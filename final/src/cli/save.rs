//! `tara save`.

use crate::beside;
use crate::engine::Engine;
use crate::events::note_other;
use crate::report::Refusal;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::PathBuf;
use step07_images::save::Archive;

/// Write images to an archive, for `tara load`, `docker load`, skopeo and podman.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// The archive, or the new folder; without it standard output.
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// What to write.
    #[arg(long, value_enum, default_value_t)]
    format: Kind,
    /// The images' names or ids.
    #[arg(required = true)]
    images: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Kind {
    /// A tar for `docker load`.
    #[default]
    DockerArchive,
    /// A tar of an OCI layout.
    OciArchive,
    /// An OCI layout in a new folder.
    OciDir,
}

impl Save {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let store = engine.store();
        match (&self.output, self.archive()) {
            (Some(folder), None) => store.save_folder(&self.images, folder)?,
            (None, None) => {
                let refusal = Refusal::new("a folder cannot be written to standard output");
                return Err(refusal.help("name it with `-o`").code(1).into());
            }
            (Some(path), Some(archive)) => beside::write(path, |to| Ok(store.save(&self.images, archive, to)?))?,
            (None, Some(_)) if stdout().is_terminal() => {
                let refusal = Refusal::new("standard output is a terminal");
                return Err(refusal.help("name a file with `-o`, or send it through a pipe").code(1).into());
            }
            (None, Some(archive)) => {
                let mut to = BufWriter::new(stdout().lock());
                store.save(&self.images, archive, &mut to)?;
                to.flush().context("write the archive")?;
            }
        }
        for image in &self.images {
            let id = store.resolve(image)?.id.to_string();
            note_other(engine.dirs(), "image", "save", &id, &[("name", image.clone())]);
        }
        Ok(0)
    }

    fn archive(&self) -> Option<Archive> {
        match self.format {
            Kind::DockerArchive => Some(Archive::Docker),
            Kind::OciArchive => Some(Archive::Oci),
            Kind::OciDir => None,
        }
    }
}
