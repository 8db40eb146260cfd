//! `tara logs`.

use crate::engine::Engine;
use crate::logs::{Wanted, is_error, parse_time};
use anyhow::Result;
use clap::Args;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Show what the program of a container wrote.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on until the container ends.
    #[arg(short, long)]
    follow: bool,
    /// Only this many of the last lines.
    #[arg(short = 'n', long, value_name = "N|all", default_value = "all")]
    tail: String,
    /// With the time before each line.
    #[arg(short, long)]
    timestamps: bool,
    /// Only from this time on: RFC 3339, seconds since 1970, or how long ago (10m).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The container's name, id or beginning of its id.
    container: String,
}

impl Logs {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let wanted = Wanted {
            follow: self.follow,
            tail: self.tail.parse().ok(),
            since: self.since.as_deref().map(parse_time).transpose()?,
            until: self.until.as_deref().map(parse_time).transpose()?,
        };
        let shown = engine.logs(&self.container, &wanted, &mut |record| {
            let time = if self.timestamps { format!("{} ", record.time) } else { String::new() };
            let text = format!("{time}{}", record.log);
            let written = if is_error(record) {
                stderr().write_all(text.as_bytes())
            } else {
                stdout().write_all(text.as_bytes())
            };
            Ok(written?)
        });
        match shown {
            // `| head` has seen enough.
            Err(error)
                if error.downcast_ref().is_some_and(|error: &std::io::Error| error.kind() == ErrorKind::BrokenPipe) =>
            {
                Ok(0)
            }
            result => result.and_then(|()| Ok(stdout().flush()?)).map(|()| 0),
        }
    }
}
