//! `container prune`, `image prune`, `system prune`.

use super::{confirmed, images, print, ps, volume};
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::events::note_other;
use crate::filter::Filters;
use crate::format::size;
use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use std::collections::HashSet;

/// Remove the containers that do not run.
#[derive(Debug, Args)]
pub(crate) struct Containers {
    #[command(flatten)]
    options: Options,
}

/// Remove the images that have no name and that no container uses.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Also those with a name that no container uses.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    options: Options,
}

/// Remove the containers that do not run, the networks that nobody is in, and the images without a name that no container uses.
#[derive(Debug, Args)]
pub(crate) struct Everything {
    /// Also the images with a name that no container uses.
    #[arg(short, long)]
    all: bool,
    /// Also the volumes without a name that no container mounts.
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only those that match: `label=a=b`, `until=24h`.
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask first.
    #[arg(short, long)]
    force: bool,
}

/// What was removed, in docker's words, and its bytes.
#[derive(Default)]
struct Removed {
    text: String,
    bytes: u64,
}

impl Options {
    fn filters(&self) -> Result<Filters> {
        Filters::parse(&self.filter, &["label", "label!", "until"])
    }
}

impl Containers {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        if !confirmed(self.options.force, "This will remove all stopped containers.")? {
            return Ok(0);
        }
        Ok(containers(engine, &self.options.filters()?)?.show())
    }
}

impl Images {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let which = if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        };
        if !confirmed(self.options.force, &format!("This will remove {which}."))? {
            return Ok(0);
        }
        Ok(of_images(engine, self.all, &self.options.filters()?)?.show())
    }
}

impl Everything {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let volumes = if self.volumes { "\n  - all anonymous volumes not used by at least one container" } else { "" };
        let which = if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        };
        let warning = format!(
            "This will remove:\n  - all stopped containers\n  - all networks not used by at least one container{volumes}\n  - {which}\n"
        );
        if !confirmed(self.options.force, &warning)? {
            return Ok(0);
        }
        let filters = self.options.filters()?;
        let mut removed = containers(engine, &filters)?;
        if self.volumes {
            print(&volume::prune(engine, false, &filters)?);
        }
        let networks = engine.prune_networks()?;
        if !networks.is_empty() {
            removed.text += &format!("Deleted Networks:\n{}\n\n", networks.join("\n"));
        }
        let images = of_images(engine, self.all, &filters)?;
        removed.text += &images.text;
        removed.bytes += images.bytes;
        Ok(removed.show())
    }
}

impl Removed {
    fn show(&self) -> u8 {
        print(&format!("{}Total reclaimed space: {}\n", self.text, size(self.bytes)));
        0
    }
}

fn containers(engine: &Engine, filters: &Filters) -> Result<Removed> {
    let until = filters.until()?;
    let (mut ids, mut bytes) = (Vec::new(), 0);
    for Container { record, status, .. } in Container::all(engine.dirs())? {
        let at_rest = !matches!(status, Status::Running(_) | Status::Starting);
        if at_rest && filters.labels(&record.asked.labels) && until.is_none_or(|time| record.created < time) {
            let written = ps::written(engine, &record);
            // One that was started at this moment stays.
            if engine.remove(&record.id, false, false).is_ok() {
                bytes += written;
                ids.push(record.id);
            }
        }
    }
    note_prune(engine, "container", bytes);
    let text = if ids.is_empty() { String::new() } else { format!("Deleted Containers:\n{}\n\n", ids.join("\n")) };
    Ok(Removed { text, bytes })
}

fn of_images(engine: &Engine, all: bool, filters: &Filters) -> Result<Removed> {
    let until = filters.until()?;
    let used: HashSet<String> =
        Container::all(engine.dirs())?.into_iter().map(|container| container.record.image_id).collect();
    let mut removed = Removed::default();
    for image in engine.store().list()? {
        let is_old = || image.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let wanted = (all || image.names.is_empty())
            && !used.contains(&image.id.to_string())
            && filters.labels(&images::labels(&image))
            && until.is_none_or(|time| is_old().is_some_and(|created| created < time));
        if wanted {
            let names = if image.names.is_empty() { vec![image.id.to_string()] } else { image.names.clone() };
            let gone = names.iter().all(|name| engine.remove_image(name, false).is_ok());
            if gone {
                removed.bytes += image.size;
                removed.text += &names
                    .iter()
                    .filter(|_| !image.names.is_empty())
                    .map(|name| format!("untagged: {name}\n"))
                    .collect::<String>();
                removed.text += &format!("deleted: {}\n", image.id);
            }
        }
    }
    note_prune(engine, "image", removed.bytes);
    if !removed.text.is_empty() {
        removed.text = format!("Deleted Images:\n{}\n", removed.text);
    }
    Ok(removed)
}

/// That it was done, and how many bytes came of it.
pub(super) fn note_prune(engine: &Engine, kind: &str, bytes: u64) {
    note_other(engine.dirs(), kind, "prune", "", &[("reclaimed", bytes.to_string())]);
}
