//! `tara images`.

use super::{Format, print};
use crate::engine::Engine;
use crate::format::{ago, size, table};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use step07_images::{Image, Reference, Store};

/// List images.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Only the ids.
    #[arg(short, long)]
    quiet: bool,
    /// Do not cut ids short.
    #[arg(long)]
    no_trunc: bool,
    /// The digests that the images have at their registries, too.
    #[arg(long)]
    digests: bool,
    /// Each image with its layers, and who shares them.
    #[arg(long, conflicts_with_all = ["quiet", "format", "digests"])]
    tree: bool,
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Images {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let images = engine.store().list()?;
        match self.tree {
            true => print(&self.as_tree(engine.store(), &images)?),
            false => print(&self.text(&images)),
        }
        Ok(0)
    }

    fn text(&self, images: &[Image]) -> String {
        if self.quiet {
            return images.iter().map(|image| self.id(image) + "\n").collect();
        }
        let rows = images.iter().flat_map(|image| self.rows(image));
        if self.format == Format::Json {
            return rows.map(|row| line(&row)).collect();
        }
        if self.digests {
            let header = ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned);
            return table(&[header].into_iter().chain(rows).collect::<Vec<_>>());
        }
        let header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned);
        let rows = rows.map(|[repository, tag, _, id, created, size]| [repository, tag, id, created, size]);
        table(&[header].into_iter().chain(rows).collect::<Vec<_>>())
    }

    /// Each image, and below it its layers, the base first.
    fn as_tree(&self, store: &Store, images: &[Image]) -> Result<String> {
        let layers = images.iter().map(|image| store.layers_of(image)).collect::<Result<Vec<_>, _>>()?;
        let mut text = String::new();
        for (image, own) in images.iter().zip(&layers) {
            text += &format!("{}  {}  {}\n", image.display_name(), self.id(image), size(image.size));
            for (number, layer) in own.iter().enumerate() {
                let branch = if number + 1 == own.len() { "└─" } else { "├─" };
                let others = layers.iter().filter(|layers| layers.contains(layer)).count() - 1;
                let shared = if others == 0 { String::new() } else { format!("  shared with {others} more") };
                let name = if self.no_trunc { layer.to_string() } else { layer.short() };
                text += &format!("{branch} {name}  {}{shared}\n", size(store.layer_size(*layer)));
            }
        }
        Ok(text)
    }

    /// One row for each name; an image without a name has one too.
    fn rows(&self, image: &Image) -> Vec<[String; 6]> {
        let nameless = ("<none>".to_owned(), "<none>".to_owned());
        let mut names: Vec<_> = image.names.iter().map(|name| repository_and_tag(name)).collect();
        if names.is_empty() {
            names.push(nameless);
        }
        let created = image.created.as_deref().and_then(|text| text.parse().ok()).map_or_else(|| "N/A".to_owned(), ago);
        let digest = |repository: &str| {
            let of_it = image.repo_digests.iter().find_map(|it| it.strip_prefix(repository)?.strip_prefix('@'));
            of_it.unwrap_or("<none>").to_owned()
        };
        let row = |(repository, tag): (String, String)| {
            let digest = digest(&repository);
            [repository, tag, digest, self.id(image), created.clone(), size(image.size)]
        };
        names.into_iter().map(row).collect()
    }

    fn id(&self, image: &Image) -> String {
        if self.no_trunc { image.id.to_string() } else { image.id.short() }
    }
}

fn repository_and_tag(name: &str) -> (String, String) {
    match name.parse::<Reference>() {
        Ok(reference) => (reference.repository(), reference.tag().unwrap_or("<none>").to_owned()),
        Err(_) => (name.to_owned(), "<none>".to_owned()),
    }
}

fn line([repository, tag, digest, id, created, size]: &[String; 6]) -> String {
    let line = json!({ "Repository": repository, "Tag": tag, "Digest": digest, "ID": id, "CreatedSince": created, "Size": size });
    format!("{line}\n")
}
