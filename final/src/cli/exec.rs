//! `tara exec`.

use super::options::ProcessOptions;
use crate::attach::DetachKeys;
use crate::engine::Engine;
use crate::exec::ExecRequest;
use anyhow::Result;
use clap::Args;

/// Run a program in a running container.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Let it run on by itself, without input and output.
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    process: ProcessOptions,
    /// Give it all capabilities.
    #[arg(long)]
    privileged: bool,
    /// The keys that leave the program running, and its terminal.
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// The container's name, id or beginning of its id.
    container: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        if !self.detach {
            self.process.check_terminal()?;
        }
        engine.exec(&ExecRequest {
            container: self.container.clone(),
            command: self.command.clone(),
            env: self.process.environment()?,
            workdir: self.process.workdir()?,
            user: self.process.user.clone(),
            interactive: self.process.interactive && !self.detach,
            terminal: self.process.tty && !self.detach,
            detached: self.detach,
            keys: DetachKeys::parse(&self.detach_keys)?,
            privileged: self.privileged,
        })
    }
}
