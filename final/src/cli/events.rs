//! `tara events`.

use super::{Format, print};
use crate::engine::Engine;
use crate::events::{Wanted, follow};
use crate::logs::parse_time;
use anyhow::Result;
use clap::Args;

/// Show what happens: containers that start and end, images that come and go.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Also those since this time: RFC 3339, seconds since 1970, or how long ago (10m).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until this time, then end.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those that fit: type=, event=, container=, image=, label=, volume=, network=.
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// How to write them.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Events {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let mut wanted = Wanted {
            since: self.since.as_deref().map(parse_time).transpose()?,
            until: self.until.as_deref().map(parse_time).transpose()?,
            ..Wanted::default()
        };
        self.filter.iter().try_for_each(|filter| wanted.filter(filter))?;
        follow(engine.dirs(), &wanted, &mut |event| {
            print(&match self.format {
                Format::Table => format!("{}\n", event.in_words()),
                Format::Json => format!("{}\n", serde_json::to_string(event)?),
            });
            Ok(())
        })?;
        Ok(0)
    }
}
