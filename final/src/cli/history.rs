//! `tara history`.

use super::{print, ps};
use crate::engine::Engine;
use crate::format::{Format, Listing, Row, ago, shortened, size};
use anyhow::Result;
use clap::Args;
use jiff::Timestamp;

/// Show how an image was made, the last step first.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Table, `table TEMPLATE`, `json`, or a Go template.
    #[arg(long)]
    format: Option<String>,
    /// Do not cut ids and commands short.
    #[arg(long)]
    no_trunc: bool,
    /// Only the ids.
    #[arg(short, long)]
    quiet: bool,
    /// The image's name or id.
    image: String,
}

const LISTING: Listing = Listing {
    fields: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
        ("CreatedAt", "CREATED AT"),
    ],
    table: &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
};

impl History {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let image = engine.store().resolve(&self.image)?;
        let mut layers = image.config.rootfs().diff_ids().iter();
        let mut rows = Vec::new();
        for step in image.config.history().iter().flatten() {
            let layer = if step.empty_layer().unwrap_or(false) { None } else { layers.next() };
            let folder = layer.and_then(|id| Some(engine.dirs().root.join("layers").join(id.split_once(':')?.1)));
            let created = step.created().as_deref().and_then(|text| text.parse::<Timestamp>().ok());
            let command = step.created_by().clone().unwrap_or_default();
            let values = vec![
                "<missing>".to_owned(),
                created.map_or_else(|| "N/A".to_owned(), ago),
                if self.no_trunc { command } else { shortened(&command, 45) },
                size(folder.map_or(0, |folder| ps::bytes_below(&folder))),
                step.comment().clone().unwrap_or_default(),
                created.map_or_else(|| "N/A".to_owned(), |time| time.to_string()),
            ];
            rows.push(Row { values, labels: std::collections::BTreeMap::new() });
        }
        rows.reverse();
        if let Some(first) = rows.first_mut() {
            first.values[0] = if self.no_trunc { image.id.to_string() } else { image.id.short() };
        }
        if self.quiet && self.format.is_none() {
            print(&rows.iter().map(|row| format!("{}\n", row.values[0])).collect::<String>());
            return Ok(0);
        }
        print(&LISTING.write(&format, &rows)?);
        Ok(0)
    }
}
