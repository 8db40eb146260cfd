//! `tara kill`.

use super::each;
use crate::engine::Engine;
use crate::lifecycle::parse_signal;
use anyhow::Result;
use clap::Args;

/// Send a signal to the programs of containers.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// The signal, by name or number.
    #[arg(short, long, default_value = "KILL")]
    signal: String,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Kill {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let signal = parse_signal(&self.signal)?;
        Ok(each(&self.containers, |container| engine.kill(container, signal).map(|()| format!("{container}\n"))))
    }
}
