//! `tara start`.

use super::each_with_code;
use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Start containers that do not run.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Start {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        Ok(each_with_code(&self.containers, |container| engine.start(container)))
    }
}
