//! `tara system df`.

use super::print;
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::format::{size, table};
use anyhow::Result;
use clap::Args;
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use step07_images::{Digest, Image};

/// How much of the disk images and containers take.
#[derive(Debug, Args)]
pub(crate) struct Df {
    /// Each image and container.
    #[arg(short, long)]
    verbose: bool,
}

/// One part of the store: a blob or an unpacked layer.
type Part = (bool, Digest);

/// What one image takes, together with the others and alone.
struct Usage<'a> {
    image: &'a Image,
    parts: Vec<Part>,
    containers: usize,
}

impl Df {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let images = engine.store().list()?;
        let containers = Container::all(engine.dirs())?;
        let mut sizes: HashMap<Part, u64> = HashMap::new();
        let mut usages = Vec::new();
        for image in &images {
            let mut parts = Vec::new();
            for (blob, bytes) in engine.store().blobs_of(image)? {
                sizes.insert((false, blob), bytes);
                parts.push((false, blob));
            }
            for layer in engine.store().layers_of(image)? {
                sizes.entry((true, layer)).or_insert_with(|| engine.store().layer_size(layer));
                parts.push((true, layer));
            }
            parts.sort();
            parts.dedup();
            let users = containers.iter().filter(|container| container.record.image_id == image.id.to_string());
            usages.push(Usage { image, parts, containers: users.count() });
        }
        let written: Vec<u64> = containers.iter().map(|it| tree(&engine.dirs().container(&it.record.id))).collect();
        print(&summary(&usages, &sizes, &containers, &written));
        if self.verbose {
            print(&format!("\nImages:\n\n{}", of_images(&usages, &sizes)));
            print(&format!("\nContainers:\n\n{}", of_containers(&containers, &written)));
        }
        Ok(0)
    }
}

fn summary(usages: &[Usage<'_>], sizes: &HashMap<Part, u64>, containers: &[Container], written: &[u64]) -> String {
    let total: u64 = sizes.values().sum();
    let used: HashSet<&Part> = usages.iter().filter(|it| it.containers > 0).flat_map(|it| &it.parts).collect();
    let free = total - used.iter().filter_map(|part| sizes.get(part)).sum::<u64>();
    let active = usages.iter().filter(|it| it.containers > 0).count();
    let runs = |container: &&Container| matches!(container.status, Status::Running(_));
    let running = containers.iter().filter(runs).count();
    let all: u64 = written.iter().sum();
    let dead = containers.iter().zip(written).filter(|(it, _)| !runs(it)).map(|(_, bytes)| bytes).sum();
    let row = |kind: &str, count: usize, active: usize, total: u64, free: u64| {
        let percent = if total == 0 { 0 } else { u128::from(free) * 100 / u128::from(total) };
        [kind.to_owned(), count.to_string(), active.to_string(), size(total), format!("{} ({percent}%)", size(free))]
    };
    table(&[
        ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"].map(str::to_owned),
        row("Images", usages.len(), active, total, free),
        row("Containers", containers.len(), running, all, dead),
    ])
}

fn of_images(usages: &[Usage<'_>], sizes: &HashMap<Part, u64>) -> String {
    let mut owners: HashMap<&Part, usize> = HashMap::new();
    usages.iter().flat_map(|usage| &usage.parts).for_each(|part| *owners.entry(part).or_default() += 1);
    let rows = usages.iter().map(|usage| {
        let bytes = |part: &&Part| sizes.get(*part).copied().unwrap_or(0);
        let all: u64 = usage.parts.iter().map(|part| bytes(&part)).sum();
        let own: u64 = usage.parts.iter().filter(|part| owners.get(part) == Some(&1)).map(|part| bytes(&part)).sum();
        let id = usage.image.id.short();
        [usage.image.display_name(), id, size(all), size(all - own), size(own), usage.containers.to_string()]
    });
    let header = ["IMAGE", "IMAGE ID", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"].map(str::to_owned);
    table(&[header].into_iter().chain(rows).collect::<Vec<_>>())
}

fn of_containers(containers: &[Container], written: &[u64]) -> String {
    let rows = containers.iter().zip(written).map(|(container, bytes)| {
        let record = &container.record;
        [record.id.chars().take(12).collect(), record.image.clone(), size(*bytes), record.name.clone()]
    });
    let header = ["CONTAINER ID", "IMAGE", "SIZE", "NAMES"].map(str::to_owned);
    table(&[header].into_iter().chain(rows).collect::<Vec<_>>())
}

/// Bytes on the disk of all files below a folder.
fn tree(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => tree(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}
