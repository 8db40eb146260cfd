//! `tara wait`.

use super::each;
use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Wait until containers have ended, and print their exit codes.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Wait {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        Ok(each(&self.containers, |container| engine.wait(container).map(|code| format!("{code}\n"))))
    }
}
