//! `tara ps`.

use super::print;
use crate::container::{Container, Record, Status};
use crate::engine::Engine;
use crate::filter::{self, Filters};
use crate::format::{Format, Listing, Row, ago, moment, shortened, since, size};
use crate::network::show::{self, Ports, all_ports};
use crate::volumes::MountPoint;
use anyhow::Result;
use clap::Args;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// List containers.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Also those that have ended.
    #[arg(short, long)]
    all: bool,
    /// Only those that match, such as `status=exited`, `name=web`, `label=a=b`, `ancestor=IMAGE`, `volume=NAME`.
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Table, `table TEMPLATE`, `json`, or a Go template.
    #[arg(long)]
    format: Option<String>,
    /// The newest N, whatever they are doing.
    #[arg(short = 'n', long, value_name = "N", default_value_t = -1, hide_default_value = true, allow_negative_numbers = true)]
    last: i64,
    /// The newest, whatever it is doing.
    #[arg(short, long)]
    latest: bool,
    /// Do not cut ids and commands short.
    #[arg(long)]
    no_trunc: bool,
    /// Only the ids.
    #[arg(short, long)]
    quiet: bool,
    /// Also how much each has written, and how large it is with its image.
    #[arg(short, long)]
    size: bool,
}

/// docker's fields of a container, and the headers of their columns.
const FIELDS: [(&str, &str); 14] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Size", "SIZE"),
    ("CreatedAt", "CREATED AT"),
    ("State", "STATE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
];
const TABLE: Listing =
    Listing { fields: &FIELDS, table: &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"] };
const WITH_SIZE: Listing =
    Listing { fields: &FIELDS, table: &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"] };

impl Ps {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let containers = self.chosen(engine)?;
        if self.quiet && self.format.is_none() {
            let ids = containers.iter().map(|container| self.id(&container.record) + "\n");
            print(&ids.collect::<String>());
            return Ok(0);
        }
        let listing = if self.size { WITH_SIZE } else { TABLE };
        let with_size = self.size || self.format.as_ref().is_some_and(|format| format.contains(".Size"));
        // Asked only where it is shown: `ps -q` needs no word with the kernel.
        let ports = all_ports(engine.dirs());
        let row = |container| self.row(engine, container, &ports, with_size);
        let rows: Vec<Row> = containers.iter().map(row).collect();
        print(&listing.write(&format, &rows)?);
        Ok(0)
    }

    fn chosen(&self, engine: &Engine) -> Result<Vec<Container>> {
        let filters = Filters::parse(&self.filter, &filter::OF_CONTAINERS)?;
        let all = Container::all(engine.dirs())?;
        let matches = filter::of_containers(engine, &filters, &all)?;
        let last = if self.latest { Some(1) } else { usize::try_from(self.last).ok().filter(|count| *count > 0) };
        let whatever = self.all || last.is_some() || filters.has("status") || filters.has("exited");
        let is_up = |status: &Status| matches!(status, Status::Running(_) | Status::Starting | Status::Restarting(_));
        let mut chosen: Vec<Container> =
            all.into_iter().filter(|container| (whatever || is_up(&container.status)) && matches(container)).collect();
        chosen.truncate(last.unwrap_or(usize::MAX));
        Ok(chosen)
    }

    fn row(&self, engine: &Engine, container: &Container, ports: &Ports, with_size: bool) -> Row {
        let Container { record, status, .. } = container;
        let runs = matches!(status, Status::Running(_) | Status::Starting);
        let published = ports.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        let labels: Vec<String> = record.asked.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        // A tmpfs has neither a name nor a source.
        let mounts = record.mounts.iter().map(MountPoint::display_name).filter(|name| !name.is_empty());
        let mounts: Vec<String> = mounts.map(|name| self.cut(name, 15)).collect();
        let volumes = record.mounts.iter().filter(|mount| mount.name.is_some()).count();
        let networks = record.networking.names();
        let values = vec![
            self.id(record),
            record.image.clone(),
            format!("{:?}", self.cut(&record.command().join(" "), 20)),
            ago(record.created),
            status_in_words(container),
            if runs { show::in_words(record, published) } else { String::new() },
            record.name.clone(),
            if with_size { sizes(engine, record) } else { "0B".to_owned() },
            moment(record.created),
            status.word().to_owned(),
            labels.join(","),
            volumes.to_string(),
            mounts.join(","),
            networks.join(","),
        ];
        Row { values, labels: record.asked.labels.clone() }
    }

    fn id(&self, record: &Record) -> String {
        if self.no_trunc { record.id.clone() } else { record.id.chars().take(12).collect() }
    }

    fn cut(&self, text: &str, width: usize) -> String {
        if self.no_trunc { text.to_owned() } else { shortened(text, width) }
    }
}

/// The STATUS column: what it is doing, and its health.
pub(super) fn status_in_words(container: &Container) -> String {
    let words = in_words(&container.status);
    match container.health.as_ref().map(|health| health.status.as_str()) {
        Some("starting") => format!("{words} (health: starting)"),
        Some(health) => format!("{words} ({health})"),
        None => words,
    }
}

fn in_words(status: &Status) -> String {
    match status {
        Status::Created | Status::Starting => "Created".to_owned(),
        Status::Running(state) => {
            format!("Up {}{}", since(state.started), if state.paused { " (Paused)" } else { "" })
        }
        Status::Restarting(exit) => format!("Restarting ({}) {}", exit.code, ago(exit.finished)),
        Status::Exited(exit) => format!("Exited ({}) {}", exit.code, ago(exit.finished)),
        Status::Abandoned(_) => "Dead".to_owned(),
    }
}

/// `12kB (virtual 4.3MB)`: what the container has written, and that with its image.
fn sizes(engine: &Engine, record: &Record) -> String {
    let written = written(engine, record);
    let image = engine.store().resolve(&record.image_id).map_or(0, |image| image.size);
    format!("{} (virtual {})", size(written), size(written + image))
}

/// Bytes of the files in the container's own layer.
pub(super) fn written(engine: &Engine, record: &Record) -> u64 {
    bytes_below(&engine.dirs().container(&record.id).join("diff"))
}

/// Bytes of the files below a folder, hard links once; what vanishes meanwhile counts as nothing.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    fn below(folder: &Path, seen: &mut HashSet<u64>) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let sizes = entries.map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => below(&entry.path(), seen),
            Ok(data) if data.is_file() && (data.nlink() == 1 || seen.insert(data.ino())) => data.len(),
            _ => 0,
        });
        sizes.sum()
    }
    below(folder, &mut HashSet::new())
}
