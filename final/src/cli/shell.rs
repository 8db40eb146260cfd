//! `tara completion` and `tara man`: from the same definitions as the command line itself.

use super::Cli;
use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::stdout;
use std::path::PathBuf;

/// Write the completion script of a shell to standard output.
///
/// For bash: `source <(tara completion bash)`, or into /etc/bash_completion.d/tara.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual pages into a directory.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Such as /usr/local/share/man/man1; it is made when it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Completion {
    #[allow(clippy::unnecessary_wraps, reason = "every command has this form")]
    pub(crate) fn run(&self) -> Result<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tara", &mut script);
        let _reader_is_gone = std::io::Write::write_all(&mut stdout(), &script);
        Ok(0)
    }
}

impl Man {
    pub(crate) fn run(&self) -> Result<u8> {
        let context = || format!("write the manual pages into `{}`", self.folder.display());
        std::fs::create_dir_all(&self.folder).with_context(context)?;
        clap_mangen::generate_to(Cli::command(), &self.folder).with_context(context)?;
        Ok(0)
    }
}
