//! `tara tag`.

use crate::engine::Engine;
use crate::events::note_other;
use anyhow::Result;
use clap::Args;

/// Give an image one more name.
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// The image's name or id.
    #[arg(value_name = "IMAGE")]
    source: String,
    /// The new name; an image that has it loses it.
    #[arg(value_name = "NAME[:TAG]")]
    target: String,
}

impl Tag {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        engine.store().tag(&self.source, &self.target)?;
        let image = engine.store().resolve(&self.target)?.id.to_string();
        note_other(engine.dirs(), "image", "tag", &image, &[("name", self.target.clone())]);
        Ok(0)
    }
}
