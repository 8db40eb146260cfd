//! `tara diff`.

use super::print;
use crate::container::Container;
use crate::diff::diff;
use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Show what a container has changed: A added, C changed, D deleted.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The container's name, id or beginning of its id.
    container: String,
}

impl Diff {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let changes = diff(engine, &Container::find(engine.dirs(), &self.container)?)?;
        let lines = changes.iter().map(|change| format!("{} {}\n", change.letter, change.path.display()));
        print(&lines.collect::<String>());
        Ok(0)
    }
}
