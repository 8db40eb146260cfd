//! `tara events`.

use super::print;
use crate::engine::Engine;
use crate::events::{Wanted, follow};
use crate::format::Format;
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
    /// `json`, or a Go template, such as `{{.Type}} {{.Action}} {{.Actor.ID}}`.
    #[arg(long)]
    format: Option<String>,
}

impl Events {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let mut wanted = Wanted {
            since: self.since.as_deref().map(parse_time).transpose()?,
            until: self.until.as_deref().map(parse_time).transpose()?,
            ..Wanted::default()
        };
        self.filter.iter().try_for_each(|filter| wanted.filter(filter))?;
        follow(engine.dirs(), &wanted, &mut |event| {
            print(&format.document(&serde_json::to_value(event)?, || format!("{}\n", event.in_words()))?);
            Ok(())
        })?;
        Ok(0)
    }
}
