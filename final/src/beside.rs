//! Files that are there whole, or not at all.

use anyhow::{Context as _, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes a file beside its place and moves it there when it is whole.
pub(crate) fn write(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut name = path.file_name().context("the archive has no name")?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = path.with_file_name(name);
    let create = File::create_new(&unfinished).with_context(|| format!("cannot write `{}`", path.display()))?;
    let mut to = BufWriter::with_capacity(1 << 18, create);
    let written = write(&mut to).and_then(|()| to.flush().context("write the archive"));
    let moved = written.and_then(|()| fs::rename(&unfinished, path).context("put the archive in its place"));
    moved.inspect_err(|_| drop(fs::remove_file(&unfinished)))
}
