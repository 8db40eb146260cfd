//! `tara attach`, and how the commands that attach end.

use super::options::AttachOptions;
use crate::attach::End;
use crate::attach::frame::Wish;
use crate::engine::Engine;
use anyhow::Result;
use clap::Args;

/// Attach to a running container: its output is shown, what is typed is its input.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Do not pass standard input on.
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    how: AttachOptions,
    /// The container's name, id or beginning of its id.
    container: String,
}

impl Attach {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        // Wrong keys are refused before anything else.
        let session = self.how.session(false, false, Wish::STDOUT.and(Wish::STDERR))?;
        let end = engine.attach(&self.container, |terminal, interactive| {
            let input = interactive && !self.no_stdin;
            crate::attach::Session { terminal, input, ..session }
        })?;
        Ok(code(end))
    }
}

/// The exit code of an end; a report is for the user.
pub(crate) fn code(end: End) -> u8 {
    match end {
        End::Exited(code) => code,
        End::Detached => {
            eprintln!("\ndetached; the container runs on");
            0
        }
        End::Failed(failed) => {
            eprint!("{}", failed.report);
            failed.code
        }
    }
}
