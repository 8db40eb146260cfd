//! `tara volume`.

use super::inspect::{Kind, What};
use super::options::pairs;
use super::{confirmed, each, print};
use crate::engine::Engine;
use crate::filter::Filters;
use crate::format::{Format, Listing, Row, size};
use crate::report::Refusal;
use crate::volumes::{Volume as Found, Volumes};
use anyhow::Result;
use clap::{Args, Subcommand};

/// Look after volumes.
#[derive(Debug, Subcommand)]
pub(crate) enum Volume {
    Create(Create),
    /// Show all about volumes.
    Inspect(What),
    #[command(visible_alias = "list")]
    Ls(Ls),
    Prune(Prune),
    #[command(visible_alias = "remove")]
    Rm(Rm),
}

/// Make a volume.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The driver; there is one, `local`.
    #[arg(short, long, default_value = "local")]
    driver: String,
    /// Give it a label.
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// An option of the driver: `type=none`, `o=bind` and `device=/DIR` bind a directory of the host.
    #[arg(short, long = "opt", value_name = "NAME=VALUE")]
    opt: Vec<String>,
    /// Its name; without one it gets 64 digits.
    name: Option<String>,
}

/// List volumes.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only those that match, such as `dangling=true`, `name=data`, `label=a=b`.
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Table, `table TEMPLATE`, `json`, or a Go template.
    #[arg(long)]
    format: Option<String>,
    /// Only the names.
    #[arg(short, long)]
    quiet: bool,
}

/// Remove the volumes that no container mounts.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Also those with a name.
    #[arg(short, long)]
    all: bool,
    /// Only those that match, such as `label=a=b`.
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask first.
    #[arg(short, long)]
    force: bool,
}

/// Remove volumes.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// A volume that is not there is no error.
    #[arg(short, long)]
    force: bool,
    /// Their names.
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

const LISTING: Listing = Listing {
    fields: &[
        ("Driver", "DRIVER"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Availability", "AVAILABILITY"),
        ("Group", "GROUP"),
        ("Status", "STATUS"),
    ],
    table: &["Driver", "Name"],
};

impl Volume {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        match self {
            Self::Create(create) => create.run(engine),
            Self::Inspect(what) => what.run(engine, Some(Kind::Volume)),
            Self::Ls(ls) => ls.run(engine),
            Self::Prune(prune) => prune.run(engine),
            Self::Rm(rm) => Ok(rm.run(engine)),
        }
    }
}

impl Create {
    fn run(&self, engine: &Engine) -> Result<u8> {
        if self.driver != "local" {
            let what = format!("the volume driver `{}` is not there", self.driver);
            return Err(Refusal::new(what).help("leave `-d` out: the driver is `local`").code(1).into());
        }
        let (labels, options) = (pairs(&self.label)?, pairs(&self.opt)?);
        let volume = Volumes::new(engine.dirs()).create(self.name.as_deref(), &labels, &options)?;
        print(&format!("{}\n", volume.name));
        Ok(0)
    }
}

impl Ls {
    fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let filters = Filters::parse(&self.filter, &["dangling", "driver", "label", "label!", "name"])?;
        let volumes = Volumes::new(engine.dirs());
        let dangling = filters.flag("dangling")?;
        let mut chosen = volumes.all()?;
        chosen.retain(|volume| {
            filters.any("name", |part| volume.name.contains(part.as_str()))
                && filters.any("driver", |driver| driver == "local")
                && filters.labels(&volume.record.labels)
                && dangling.is_none_or(|dangling| dangling == volumes.users(volume).is_empty())
        });
        if self.quiet && self.format.is_none() {
            print(&chosen.iter().map(|volume| format!("{}\n", volume.name)).collect::<String>());
            return Ok(0);
        }
        print(&LISTING.write(&format, &chosen.iter().map(row).collect::<Vec<_>>())?);
        Ok(0)
    }
}

fn row(volume: &Found) -> Row {
    let labels: Vec<String> = volume.record.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let not_known = || "N/A".to_owned();
    let values = vec![
        "local".to_owned(),
        volume.name.clone(),
        "local".to_owned(),
        volume.data().display().to_string(),
        labels.join(","),
        not_known(),
        not_known(),
        not_known(),
        not_known(),
        not_known(),
    ];
    Row { values, labels: volume.record.labels.clone() }
}

impl Prune {
    fn run(&self, engine: &Engine) -> Result<u8> {
        let kind = if self.all { "all" } else { "anonymous" };
        if !confirmed(
            self.force,
            &format!("This will remove {kind} local volumes not used by at least one container."),
        )? {
            return Ok(0);
        }
        let filters = Filters::parse(&self.filter, &["all", "label", "label!"])?;
        let all = self.all || filters.flag("all")? == Some(true);
        print(&prune(engine, all, &filters)?);
        Ok(0)
    }
}

/// Removes the volumes that nobody mounts: what docker says about it.
pub(super) fn prune(engine: &Engine, all: bool, filters: &Filters) -> Result<String> {
    let volumes = Volumes::new(engine.dirs());
    let (mut removed, mut freed) = (Vec::new(), 0);
    for volume in volumes.all()? {
        let wanted = (all || volume.record.anonymous) && filters.labels(&volume.record.labels);
        if wanted && volumes.users(&volume).is_empty() {
            let bytes = super::ps::bytes_below(&volume.data());
            // Somebody may mount it at this moment: then it stays.
            if volumes.remove(&volume.name).is_ok() {
                freed += bytes;
                removed.push(volume.name);
            }
        }
    }
    super::prune::note_prune(engine, "volume", freed);
    let list = if removed.is_empty() { String::new() } else { format!("Deleted Volumes:\n{}\n\n", removed.join("\n")) };
    Ok(format!("{list}Total reclaimed space: {}\n", size(freed)))
}

impl Rm {
    fn run(&self, engine: &Engine) -> u8 {
        let volumes = Volumes::new(engine.dirs());
        each(&self.volumes, |name| {
            if self.force && volumes.find(name).is_err() {
                return Ok(String::new());
            }
            volumes.remove(name).map(|()| format!("{name}\n"))
        })
    }
}
