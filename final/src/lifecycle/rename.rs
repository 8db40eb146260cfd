//! `rename`: another name leads to the container, then the old one no longer does.

use crate::container::{Record, Turn, find_id};
use crate::engine::Engine;
use crate::events::Notes;
use crate::names::claim_name;
use crate::network;
use crate::reclaim::gone;
use anyhow::{Context, Result};
use std::fs;

impl Engine {
    /// Gives a container another name.
    ///
    /// # Errors
    /// [`Refusal`](crate::report::Refusal) for a name that another container has.
    pub fn rename(&self, reference: &str, name: &str) -> Result<()> {
        let id = find_id(self.dirs(), reference)?;
        let _turn = Turn::take(self.dirs(), &id, reference)?;
        let mut record = Record::find(self.dirs(), &id, reference)?;
        claim_name(self.dirs(), &id, Some(name))?;
        let names = self.dirs().names();
        let old = std::mem::replace(&mut record.name, name.to_owned());
        // Removed meanwhile: nobody else knows of the new name.
        record.rewrite(self.dirs(), reference).inspect_err(|_| drop(fs::remove_file(names.join(name))))?;
        fs::remove_file(names.join(&old)).or_else(gone).context("give up the old name")?;
        network::rename(self.dirs(), &id, &old, name)?;
        Notes::default().and(&record, "rename", &[("oldName", format!("/{old}"))]).write(self.dirs());
        Ok(())
    }
}
