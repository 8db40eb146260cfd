//! Files of one JSON document, written whole or not at all.

use anyhow::{Context, Result};
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// When a file has to be on the disk itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Now,
    Later,
}

/// Writes a file that was not there, by one write(2): whoever reads it before that reads nothing, which is no JSON.
pub(super) fn write_new(path: &Path, content: &impl Serialize, sync: Sync) -> Result<()> {
    let context = || format!("write `{}`", path.display());
    let mut file = File::create_new(path).with_context(context)?;
    file.write_all(&serde_json::to_vec(content)?).with_context(context)?;
    if sync == Sync::Now { file.sync_data().with_context(context) } else { Ok(()) }
}

/// Replaces a file as a whole, also across a power cut: whoever reads sees the old one or the new one.
pub(super) fn replace(path: &Path, content: &impl Serialize, sync: Sync) -> Result<()> {
    let temporary = path.with_extension("new");
    let _of_an_earlier_crash = fs::remove_file(&temporary);
    write_new(&temporary, content, sync).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    fs::rename(&temporary, path).with_context(|| format!("write `{}`", path.display()))
}
