//! `run`: create, start, wait, delete.

use super::create::{Create, has_terminal};
use super::delete::remove;
use super::start;
use crate::launch::Console;
use anyhow::{Context, Result};
use clap::Args;
use std::path::Path;
use step02_pid_ns::{ForwardedSignals, supervise};
use sys::process::exit_code;

/// Make a container from a bundle, run its program, and remove it when that has ended.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    create: Create,
    /// Let it run on by itself.
    #[arg(short, long)]
    detach: bool,
    /// Leave the container when it has ended.
    #[arg(long)]
    keep: bool,
}

impl Run {
    pub(super) fn run(&self, root: &Path, no_cgroup: bool) -> Result<u8> {
        let signals = (!self.detach).then(ForwardedSignals::block).transpose()?;
        let attended = !self.detach && self.create.console_socket.is_none();
        let created = self.create.create(root, no_cgroup, attended)?;
        let console = match (&created.terminal, attended && has_terminal(&created.spec)) {
            (Some(terminal), true) => {
                Some(Console::of(terminal.master.try_clone().context("duplicate the terminal's master")?, true)?)
            }
            _ => None,
        };
        if let Err(error) = start::start(&created.folder, &created.saved) {
            super::create::undo(&created.folder)?;
            return Err(error);
        }
        let Some(signals) = signals else { return Ok(0) };
        drop(created.terminal);
        let status = match console {
            Some(console) => console.relay(&created.running, &signals)?,
            None => supervise(&created.running, &signals)?,
        };
        if !self.keep {
            remove(&created.folder, &created.saved)?;
        }
        exit_code(status).context("the program did not end")
    }
}
