//! `tara start`.

use super::attach::code;
use super::options::AttachOptions;
use super::{each_with_code, print};
use crate::attach::frame::Wish;
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::monitor::{self, Task};
use crate::report::Refusal;
use anyhow::{Result, bail};
use clap::Args;
use step02_pid_ns::ForwardedSignals;

/// Start containers that do not run.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Show the output, and end with the program.
    #[arg(short, long)]
    attach: bool,
    /// Pass standard input on.
    #[arg(short, long)]
    interactive: bool,
    #[command(flatten)]
    how: AttachOptions,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Start {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        match self.containers.as_slice() {
            [container] if self.attach || self.interactive => self.attached(engine, container),
            _ if self.attach || self.interactive => {
                bail!(Refusal::new("only one container can be started and attached to").code(1))
            }
            containers => Ok(each_with_code(containers, |container| engine.start(container))),
        }
    }

    fn attached(&self, engine: &Engine, reference: &str) -> Result<u8> {
        let Container { record, status, .. } = Container::find(engine.dirs(), reference)?;
        let input = self.interactive && record.interactive;
        let wish = Wish::STDOUT.and(Wish::STDERR);
        if matches!(status, Status::Running(_)) {
            let session = self.how.session(record.has_terminal(), input, wish)?;
            return Ok(code(engine.attach(reference, |_, _| session)?));
        }
        let session = self.how.session(record.has_terminal(), input, wish.and(Wish::OWNER))?;
        let signals = ForwardedSignals::block()?;
        let raw = session.enter_terminal()?;
        let end = match monitor::start(engine, Task::Start(record.id), Some(&session))? {
            Ok(started) => started.relay(session, &signals),
            Err(failed) => Ok(crate::attach::End::Failed(failed)),
        };
        drop(raw);
        Ok(code(end?))
    }
}

/// Start the containers whose restart policy is `always`, or `unless-stopped` and nobody has stopped them: after a reboot.
#[derive(Debug, Args)]
pub(crate) struct StartAll {}

impl StartAll {
    #[allow(clippy::unused_self, reason = "every command is called so")]
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let mut code = 0;
        for (name, started) in engine.start_all()? {
            let report = match started {
                Ok(Ok(())) => {
                    print(&format!("{name}\n"));
                    continue;
                }
                Ok(Err(failed)) => failed.report,
                Err(error) => crate::report::text(&error),
            };
            eprint!("{report}");
            code = 1;
        }
        Ok(code)
    }
}
