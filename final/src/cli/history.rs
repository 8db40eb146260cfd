//! `tara history`.

use super::{Format, print};
use crate::engine::Engine;
use crate::format::{ago, shortened, size, table};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use step07_images::Image;
use step07_images::save::Step;

/// How an image was made, step by step.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Do not cut commands and ids short.
    #[arg(long)]
    no_trunc: bool,
    /// Only the ids.
    #[arg(short, long)]
    quiet: bool,
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The image's name or id.
    image: String,
}

impl History {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let image = engine.image(&self.image)?;
        let steps = engine.store().history(&image)?;
        let rows = steps.iter().enumerate().map(|(number, step)| self.row(&image, number, step));
        if self.quiet {
            rows.for_each(|[id, ..]| print(&format!("{id}\n")));
            return Ok(0);
        }
        if self.format == Format::Json {
            for ([id, since, by, size, comment], step) in rows.zip(&steps) {
                let created = step.created.clone().unwrap_or_default();
                let line = json!({ "ID": id, "CreatedAt": created, "CreatedSince": since, "CreatedBy": by, "Size": size, "Comment": comment });
                print(&format!("{line}\n"));
            }
            return Ok(0);
        }
        let header = ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"].map(str::to_owned);
        print(&table(&[header].into_iter().chain(rows).collect::<Vec<_>>()));
        Ok(0)
    }

    /// Only the newest step is an image of its own, as in docker.
    fn row(&self, image: &Image, number: usize, step: &Step) -> [String; 5] {
        let id = match (number, self.no_trunc) {
            (0, true) => image.id.to_string(),
            (0, false) => image.id.short(),
            _ => "<missing>".to_owned(),
        };
        let created = step.created.as_deref().and_then(|text| text.parse().ok()).map_or_else(|| "N/A".to_owned(), ago);
        // A tab or a newline of the command would break the columns.
        let command = step.created_by.split_whitespace().collect::<Vec<_>>().join(" ");
        let command = if self.no_trunc { command } else { shortened(&command, 45) };
        [id, created, printable(&command), size(step.size), printable(&step.comment)]
    }
}

/// An image's words must not speak to the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
