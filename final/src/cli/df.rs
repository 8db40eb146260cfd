//! `tara system df`.

use super::images::repository_and_tag;
use super::{print, ps};
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::format::{Format, Listing, Row, ago, shortened, size};
use crate::volumes::{Volume, Volumes};
use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use std::collections::HashMap;
use step07_images::{Digest, Image};

/// Show what takes how much of the disk.
#[derive(Debug, Args)]
pub(crate) struct Df {
    /// Each image, container and volume.
    #[arg(short, long, conflicts_with = "format")]
    verbose: bool,
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
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let containers = Container::all(engine.dirs())?;
        let is_used = |id: &str| containers.iter().any(|container| container.record.image_id == id);
        let images = engine.store().list()?;
        let volumes = Volumes::new(engine.dirs());
        let all = volumes.all()?;
        if self.verbose {
            let parts = [
                ("Images", IMAGES.write(&format, &of_images(engine, &images, &containers)?)?),
                ("Containers", CONTAINERS.write(&format, &of_containers(engine, &containers))?),
                ("Local Volumes", VOLUMES.write(&format, &of_volumes(&volumes, &all))?),
            ];
            print(&parts.map(|(name, table)| format!("{name} space usage:\n\n{table}")).join("\n"));
            return Ok(0);
        }
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

const IMAGES: Listing = Listing {
    fields: &[
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("ID", "IMAGE ID"),
        ("CreatedSince", "CREATED"),
        ("Size", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
    table: &["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"],
};

const CONTAINERS: Listing = Listing {
    fields: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Size", "SIZE"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("Names", "NAMES"),
    ],
    table: &["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"],
};

const VOLUMES: Listing = Listing {
    fields: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
    table: &["Name", "Links", "Size"],
};

/// A row for each name; a layer that several images have is in the shared size of each.
fn of_images(engine: &Engine, images: &[Image], containers: &[Container]) -> Result<Vec<Row>> {
    let store = engine.store();
    let layers = images.iter().map(|image| store.layers_of(image)).collect::<Result<Vec<_>, _>>()?;
    let mut owners: HashMap<Digest, usize> = HashMap::new();
    layers.iter().flatten().for_each(|layer| *owners.entry(*layer).or_default() += 1);
    let mut rows = Vec::new();
    for (image, layers) in images.iter().zip(&layers) {
        let common = layers.iter().filter(|layer| owners.get(layer).is_some_and(|owners| *owners > 1));
        let shared: u64 = common.map(|layer| store.layer_size(*layer)).sum();
        let id = image.id.to_string();
        let users = containers.iter().filter(|container| container.record.image_id == id).count();
        let created = image.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let mut names: Vec<_> = image.names.iter().map(|name| repository_and_tag(name)).collect();
        if names.is_empty() {
            names.push(("<none>".to_owned(), "<none>".to_owned()));
        }
        rows.extend(names.into_iter().map(|(repository, tag)| {
            row(vec![
                repository,
                tag,
                image.id.short(),
                created.map_or_else(|| "N/A".to_owned(), ago),
                size(image.size),
                size(shared),
                size(image.size.saturating_sub(shared)),
                users.to_string(),
            ])
        }));
    }
    Ok(rows)
}

fn of_containers(engine: &Engine, containers: &[Container]) -> Vec<Row> {
    let of = |container: &Container| {
        let record = &container.record;
        row(vec![
            record.id.chars().take(12).collect(),
            record.image.clone(),
            format!("{:?}", shortened(&record.command().join(" "), 20)),
            record.mounts.iter().filter(|mount| mount.name.is_some()).count().to_string(),
            size(ps::written(engine, record)),
            ago(record.created),
            ps::status_in_words(container),
            record.name.clone(),
        ])
    };
    containers.iter().map(of).collect()
}

fn of_volumes(volumes: &Volumes<'_>, all: &[Volume]) -> Vec<Row> {
    let of = |volume: &Volume| {
        let links = volumes.users(volume).len().to_string();
        row(vec![volume.name.clone(), links, size(ps::bytes_below(&volume.data()))])
    };
    all.iter().map(of).collect()
}

fn row(values: Vec<String>) -> Row {
    Row { values, ..Row::default() }
}
