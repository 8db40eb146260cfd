//! `tara pause`, `tara unpause`.

use super::each;
use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Stop all processes of containers for a while.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Names, ids or beginnings of ids.
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Let the processes of paused containers go on.
#[derive(Debug, Args)]
pub(crate) struct Unpause {
    /// Names, ids or beginnings of ids.
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Pause {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        Ok(each(&self.containers, |container| engine.pause(container).map(|()| format!("{container}\n"))))
    }
}

impl Unpause {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        Ok(each(&self.containers, |container| engine.unpause(container).map(|()| format!("{container}\n"))))
    }
}
