//! `tara update`.

use super::each;
use super::options::LimitOptions;
use crate::engine::Engine;
use crate::report::Refusal;
use anyhow::Result;
use clap::Args;

/// Change the limits and the restart policy of containers, also while they run.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Names, ids or beginnings of ids.
    #[arg(required = true)]
    containers: Vec<String>,
    #[command(flatten)]
    limits: LimitOptions,
    /// When it is started again: `no`, `on-failure[:N]`, `always` or `unless-stopped`.
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
}

impl Update {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let limits = self.limits.limits()?;
        let restart = self.restart.as_deref().map(str::parse).transpose()?;
        if limits.is_empty() && restart.is_none() {
            let refusal = Refusal::new("nothing to change was given");
            return Err(refusal.help("for example `--memory 128m`, or `--restart always`").code(1).into());
        }
        Ok(each(&self.containers, |container| {
            if !limits.is_empty() {
                engine.update(container, &limits)?;
            }
            if let Some(policy) = restart {
                engine.set_restart_policy(container, policy)?;
            }
            Ok(format!("{container}\n"))
        }))
    }
}
