//! `tara rename`.

use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Give a container another name.
#[derive(Debug, Args)]
pub(crate) struct Rename {
    /// The container's name, id or beginning of its id.
    container: String,
    /// The new name.
    name: String,
}

impl Rename {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        engine.rename(&self.container, &self.name).map(|()| 0)
    }
}
