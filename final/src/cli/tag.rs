//! `tara tag`.

use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Give an image one more name.
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// The image's name or id.
    image: String,
    /// The new name.
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

impl Tag {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        engine.store().tag(&self.image, &self.name)?;
        Ok(0)
    }
}
