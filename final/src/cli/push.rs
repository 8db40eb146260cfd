//! `tara push`.

use super::print;
use super::progress::Display;
use crate::engine::Engine;
use crate::events::note_other;
use anyhow::Result;
use clap::Args;
use step07_images::registry::Registries;
use step07_images::{Error, Reference};

/// Send an image to the registry that its name says.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// All the tags that the repository has here.
    #[arg(short, long)]
    all_tags: bool,
    /// Say nothing but the image's name.
    #[arg(short, long)]
    quiet: bool,
    /// `host:port/name:tag`; `tara tag` gives an image such a name.
    image: String,
}

impl Push {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let registries = Registries::read()?;
        let reference: Reference = self.image.parse()?;
        let references = if self.all_tags { all(engine, &reference)? } else { vec![reference] };
        for reference in &references {
            self.one(engine, &registries, reference)?;
        }
        Ok(0)
    }

    fn one(&self, engine: &Engine, registries: &Registries, reference: &Reference) -> Result<()> {
        let display = Display::new(self.quiet, false).pushing();
        let whole = format!("{}/{}", reference.registry(), reference.path());
        display.line(&format!("The push refers to repository [{whole}]"));
        let pushed = engine.store().push(registries, reference, &display)?;
        drop(display);
        note_other(engine.dirs(), "image", "push", &reference.to_string(), &[]);
        let tag = reference.tag().unwrap_or_default();
        match self.quiet {
            true => print(&format!("{whole}:{tag}\n")),
            false => print(&format!("{tag}: digest: {} size: {}\n", pushed.digest, pushed.size)),
        }
        Ok(())
    }
}

/// The names in the store that are of the repository of `reference`.
fn all(engine: &Engine, reference: &Reference) -> Result<Vec<Reference>> {
    let images = engine.store().list()?;
    let names = images.iter().flat_map(|image| &image.names).filter_map(|name| name.parse::<Reference>().ok());
    let mut names: Vec<_> =
        names.filter(|name| name.tag().is_some() && name.repository() == reference.repository()).collect();
    names.sort();
    if names.is_empty() {
        return Err(Error::NoSuchImage { reference: reference.repository() }.into());
    }
    Ok(names)
}
