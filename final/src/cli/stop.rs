//! `tara stop` and `tara restart`.

use super::{each, each_with_code};
use crate::container::Container;
use crate::engine::Engine;
use crate::events::note;
use crate::lifecycle::StopRequest;
use anyhow::Result;
use clap::Args;
use std::time::Duration;

/// Stop containers: ask their programs to end, and kill those that do not.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Seconds to wait before killing, -1 for ever [default: the container's own, 10].
    #[arg(
        short = 't',
        long = "timeout",
        visible_alias = "time",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    time: Option<i64>,
    /// The signal that asks, in place of the container's own.
    #[arg(short, long)]
    signal: Option<String>,
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
    fn request(&self) -> StopRequest {
        // A negative time is no end.
        let patience = self.time.map(|seconds| u64::try_from(seconds).ok().map(Duration::from_secs));
        StopRequest { signal: self.signal.clone(), patience, to_start_again: false }
    }

    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let mut stopped = engine.stop(&self.containers, &self.request()).into_iter();
        Ok(each(&self.containers, |container| {
            stopped.next().transpose()?;
            Ok(format!("{container}\n"))
        }))
    }
}

impl Restart {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let request = StopRequest { to_start_again: true, ..self.stop.request() };
        let stopped = engine.stop(&self.stop.containers, &request);
        let mut stopped = stopped.into_iter();
        Ok(each_with_code(&self.stop.containers, |container| {
            stopped.next().transpose()?;
            let started = engine.start(container)?;
            if started.is_ok() {
                note(engine.dirs(), &Container::find(engine.dirs(), container)?.record, "restart", &[]);
            }
            Ok(started)
        }))
    }
}
