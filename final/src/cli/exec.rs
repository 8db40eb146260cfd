//! `tara exec`.

use super::options::ProcessOptions;
use crate::engine::Engine;
use crate::exec::ExecRequest;
use anyhow::Result;
use clap::Args;

/// Run a program in a running container.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    process: ProcessOptions,
    /// Give it all capabilities.
    #[arg(long)]
    privileged: bool,
    /// The container's name, id or beginning of its id.
    container: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        self.process.check_terminal()?;
        engine.exec(&ExecRequest {
            container: self.container.clone(),
            command: self.command.clone(),
            env: self.process.environment()?,
            workdir: self.process.workdir()?,
            user: self.process.user.clone(),
            interactive: self.process.interactive,
            terminal: self.process.tty,
            privileged: self.privileged,
        })
    }
}
