//! `tara rmi`.

use super::each;
use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Remove images, or one of an image's names.
#[derive(Debug, Args)]
pub(crate) struct Rmi {
    /// All names of an image; and images that containers use keep their layers but lose their names.
    #[arg(short, long)]
    force: bool,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Rmi {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        Ok(each(&self.images, |image| Ok(engine.remove_image(image, self.force)?.to_string())))
    }
}
