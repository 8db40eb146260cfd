//! `tara system`.

use super::df::Df;
use super::start::StartAll;
use super::{Format, print, prune};
use crate::check::{Finding, check, repair};
use crate::engine::Engine;
use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum System {
    /// Name everything that killed processes left behind; the exit code is 1 when there is something.
    Check(Options),
    /// Remove or repair what `check` names.
    Reclaim(Options),
    StartAll(StartAll),
    Df(Df),
    Prune(prune::Everything),
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl System {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        match self {
            Self::Check(options) => {
                let findings = check(engine.dirs(), engine.store())?;
                options.print(&findings, "nothing is left behind\n")?;
                Ok(u8::from(!findings.is_empty()))
            }
            Self::Df(df) => df.run(engine),
            Self::Prune(prune) => prune.run(engine),
            Self::Reclaim(options) => {
                options.print(&repair(engine.dirs(), engine.store())?, "there was nothing to repair\n")?;
                Ok(0)
            }
            Self::StartAll(start) => start.run(engine),
        }
    }
}

impl Options {
    fn print(&self, findings: &[Finding], none: &str) -> Result<()> {
        match self.format {
            Format::Table if findings.is_empty() => print(none),
            Format::Table => findings.iter().for_each(|finding| print(&format!("{}\n", finding.describe()))),
            Format::Json => {
                for finding in findings {
                    print(&format!("{}\n", serde_json::to_string(finding)?));
                }
            }
        }
        Ok(())
    }
}
