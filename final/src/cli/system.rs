//! `tara system`.

use super::start::StartAll;
use super::{Format, print, prune, ps};
use crate::check::{Finding, check, repair};
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::format::{Format as Listed, Listing, Row, size};
use crate::volumes::Volumes;
use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum System {
    /// Name everything that killed processes left behind; the exit code is 1 when there is something.
    Check(Options),
    /// Remove or repair what `check` names.
    Reclaim(Options),
    StartAll(StartAll),
    /// Show what takes how much of the disk.
    Df(Df),
    Prune(prune::Everything),
}

#[derive(Debug, Args)]
pub(crate) struct Df {
    /// Table, `table TEMPLATE`, `json`, or a Go template.
    #[arg(long)]
    format: Option<String>,
}

const DF: Listing = Listing {
    fields: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    table: &["Type", "TotalCount", "Active", "Size", "Reclaimable"],
};

/// How many there are, how many are in use, and the bytes of all and of those that are not.
struct Use {
    kind: &'static str,
    total: usize,
    active: usize,
    bytes: u64,
    idle: u64,
}

impl Use {
    fn of(kind: &'static str, things: impl Iterator<Item = (bool, u64)>) -> Self {
        let mut sum = Self { kind, total: 0, active: 0, bytes: 0, idle: 0 };
        for (is_active, bytes) in things {
            sum.total += 1;
            sum.active += usize::from(is_active);
            sum.bytes += bytes;
            sum.idle += if is_active { 0 } else { bytes };
        }
        sum
    }

    fn row(&self) -> Row {
        let percent = (self.idle * 100).checked_div(self.bytes);
        let share = percent.map_or_else(String::new, |percent| format!(" ({percent}%)"));
        let values = vec![
            self.kind.to_owned(),
            self.total.to_string(),
            self.active.to_string(),
            size(self.bytes),
            format!("{}{share}", size(self.idle)),
        ];
        Row { values, ..Row::default() }
    }
}

impl Df {
    fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Listed::parse(self.format.as_deref())?;
        let containers = Container::all(engine.dirs())?;
        let is_used = |id: &str| containers.iter().any(|container| container.record.image_id == id);
        let images = engine.store().list()?;
        let volumes = Volumes::new(engine.dirs());
        let all = volumes.all()?;
        let uses = [
            Use::of("Images", images.iter().map(|image| (is_used(&image.id.to_string()), image.size))),
            Use::of(
                "Containers",
                containers.iter().map(|container| {
                    (matches!(container.status, Status::Running(_)), ps::written(engine, &container.record))
                }),
            ),
            Use::of(
                "Local Volumes",
                all.iter().map(|volume| (!volumes.users(volume).is_empty(), ps::bytes_below(&volume.data()))),
            ),
        ];
        print(&DF.write(&format, &uses.iter().map(Use::row).collect::<Vec<_>>())?);
        Ok(0)
    }
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
