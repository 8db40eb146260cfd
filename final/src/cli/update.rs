//! `tara update`.

use super::each;
use super::options::LimitOptions;
use crate::engine::Engine;
use crate::report::Refusal;
use anyhow::Result;
use clap::Args;

/// Change the limits of containers, also while they run.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Names, ids or beginnings of ids.
    #[arg(required = true)]
    containers: Vec<String>,
    #[command(flatten)]
    limits: LimitOptions,
}

impl Update {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let limits = self.limits.limits()?;
        if limits.is_empty() {
            return Err(Refusal::new("no limit was given").help("for example `--memory 128m`").code(1).into());
        }
        Ok(each(&self.containers, |container| engine.update(container, &limits).map(|()| format!("{container}\n"))))
    }
}
