//! `tara export`.

use crate::engine::Engine;
use crate::report::Refusal;
use anyhow::{Context, Result};
use clap::Args;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::PathBuf;

/// Write the root file system of a container as a tar.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Write into this file instead of to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The container's name, id or beginning of its id.
    container: String,
}

impl Export {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let Some(path) = &self.output else {
            refuse_terminal()?;
            let mut out = BufWriter::with_capacity(1 << 18, stdout().lock());
            engine.export(&self.container, &mut out)?;
            out.flush().context("write to standard output")?;
            return Ok(0);
        };
        // Whole or not at all: under another name until it is.
        let mut half = path.clone().into_os_string();
        half.push(".part");
        let written = File::create(&half).with_context(|| format!("create `{}`", path.display())).and_then(|file| {
            let mut out = BufWriter::with_capacity(1 << 18, file);
            engine.export(&self.container, &mut out)?;
            out.flush().with_context(|| format!("write `{}`", path.display()))
        });
        let done =
            written.and_then(|()| fs::rename(&half, path).with_context(|| format!("write `{}`", path.display())));
        done.inspect_err(|_| drop(fs::remove_file(&half))).map(|()| 0)
    }
}

/// A tar on a terminal helps nobody.
pub(super) fn refuse_terminal() -> Result<()> {
    if stdout().is_terminal() {
        let refusal = Refusal::new("a tar is not written to a terminal");
        return Err(refusal.help("redirect standard output, or write into a file with `-o`").code(1).into());
    }
    Ok(())
}
