//! `tara rm`.

use super::each;
use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Remove containers.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Also containers that run: their programs are killed.
    #[arg(short, long)]
    force: bool,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Rm {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        Ok(each(&self.containers, |container| engine.remove(container, self.force).map(|()| format!("{container}\n"))))
    }
}
