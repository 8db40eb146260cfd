//! `tara stop` and `tara restart`.

use super::{each_with_code, print};
use crate::engine::Engine;
use crate::report;
use anyhow::Result;
use clap::Args;
use std::time::Duration;

/// Stop containers: ask their programs to end, and kill those that do not.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Seconds to wait before killing.
    #[arg(short, long, default_value_t = 10)]
    time: u32,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Stop containers, and start them again.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    stop: Stop,
}

impl Stop {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let mut code = 0;
        let results = engine.stop(&self.containers, Duration::from_secs(self.time.into()));
        for (container, result) in self.containers.iter().zip(results) {
            match result {
                Ok(()) => print(&format!("{container}\n")),
                Err(error) => {
                    eprint!("{}", report::text(&error));
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}

impl Restart {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let patience = Duration::from_secs(self.stop.time.into());
        for result in engine.stop(&self.stop.containers, patience) {
            result?;
        }
        Ok(each_with_code(&self.stop.containers, |container| engine.start(container)))
    }
}
