//! `tara images`.

use super::{Format, print};
use crate::engine::Engine;
use crate::format::{ago, size, table};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use step07_images::{Image, Reference};

/// List images.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Only the ids.
    #[arg(short, long)]
    quiet: bool,
    /// Do not cut ids short.
    #[arg(long)]
    no_trunc: bool,
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Images {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        print(&self.text(&engine.store().list()?));
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
        let header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned);
        table(&[header].into_iter().chain(rows).collect::<Vec<_>>())
    }

    /// One row for each name; an image without a name has one too.
    fn rows(&self, image: &Image) -> Vec<[String; 5]> {
        let nameless = ("<none>".to_owned(), "<none>".to_owned());
        let mut names: Vec<_> = image.names.iter().map(|name| repository_and_tag(name)).collect();
        if names.is_empty() {
            names.push(nameless);
        }
        let created = image.created.as_deref().and_then(|text| text.parse().ok()).map_or_else(|| "N/A".to_owned(), ago);
        let row = |(repository, tag)| [repository, tag, self.id(image), created.clone(), size(image.size)];
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

fn line([repository, tag, id, created, size]: &[String; 5]) -> String {
    let line = json!({ "Repository": repository, "Tag": tag, "ID": id, "CreatedSince": created, "Size": size });
    format!("{line}\n")
}
