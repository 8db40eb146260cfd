//! `tara exec`.

use super::run::environment;
use crate::engine::Engine;
use crate::exec::ExecRequest;
use crate::report::Refusal;
use anyhow::Result;
use clap::Args;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

/// Run a program in a running container.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Keep standard input open.
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Set an environment variable; NAME alone takes the caller's value.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file, one a line.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// The working directory inside.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The user: name or number, with a group after a colon.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// The container's name, id or beginning of its id.
    container: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        if self.tty && self.interactive && !stdin().is_terminal() {
            let refusal = Refusal::new("the input device is not a terminal");
            return Err(refusal.help("leave out `-t` when standard input is a file or a pipe").code(1).into());
        }
        engine.exec(&ExecRequest {
            container: self.container.clone(),
            command: self.command.clone(),
            env: environment(&self.env_file, &self.env)?,
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            interactive: self.interactive,
            terminal: self.tty,
        })
    }
}
