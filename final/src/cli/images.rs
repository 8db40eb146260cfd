//! `tara images`.

use super::print;
use crate::engine::Engine;
use crate::filter::Filters;
use crate::format::{Format, Listing, Row, ago, moment, size};
use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use std::collections::BTreeMap;
use step07_images::{Image, Reference, Store};

/// List images.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Taken as docker takes it: there are no images in between to hide.
    #[arg(short, long)]
    all: bool,
    /// Also the digests of the manifests.
    #[arg(long)]
    digests: bool,
    /// Only those that match: `dangling=true`, `reference=PATTERN`, `label=a=b`, `before=IMAGE`, `since=IMAGE`, `until=24h`.
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Table, `table TEMPLATE`, `json`, or a Go template.
    #[arg(long)]
    format: Option<String>,
    /// Do not cut ids short.
    #[arg(long)]
    no_trunc: bool,
    /// Each image with its layers, and who shares them.
    #[arg(long, conflicts_with_all = ["quiet", "format", "digests"])]
    tree: bool,
    /// Only the ids.
    #[arg(short, long)]
    quiet: bool,
    /// Only the images of this name.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

const FIELDS: [(&str, &str); 12] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("VirtualSize", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Labels", "LABELS"),
];
const TABLE: Listing = Listing { fields: &FIELDS, table: &["Repository", "Tag", "ID", "CreatedSince", "Size"] };
const WITH_DIGESTS: Listing =
    Listing { fields: &FIELDS, table: &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"] };
const FILTERS: [&str; 8] = ["dangling", "label", "label!", "before", "since", "until", "reference", "id"];

impl Images {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let images = self.chosen(engine)?;
        if self.tree {
            let images: Vec<Image> = images.into_iter().map(|(image, _)| image).collect();
            print(&self.as_tree(engine.store(), &images)?);
            return Ok(0);
        }
        if self.quiet && self.format.is_none() {
            print(&images.iter().map(|(image, _)| self.id(image) + "\n").collect::<String>());
            return Ok(0);
        }
        let rows: Vec<Row> = images.iter().flat_map(|(image, names)| self.rows(image, names)).collect();
        let listing = if self.digests { WITH_DIGESTS } else { TABLE };
        print(&listing.write(&format, &rows)?);
        Ok(0)
    }

    /// The images that match, each with those of its names that do.
    fn chosen(&self, engine: &Engine) -> Result<Vec<(Image, Vec<String>)>> {
        let filters = Filters::parse(&self.filter, &FILTERS)?;
        let dangling = filters.flag("dangling")?;
        let store = engine.store();
        let created = |key: &str| match filters.of(key).first() {
            Some(reference) => Ok::<_, anyhow::Error>(Some(store.resolve(reference)?.created.unwrap_or_default())),
            None => Ok(None),
        };
        let (before, since, until) = (created("before")?, created("since")?, filters.until()?);
        let patterns: Vec<&String> = self.reference.iter().chain(filters.of("reference")).collect();
        let mut chosen = Vec::new();
        for image in store.list()? {
            let own = image.created.clone().unwrap_or_default();
            let fits = dangling.is_none_or(|dangling| dangling == image.names.is_empty())
                && filters.labels(&labels(&image))
                && before.as_ref().is_none_or(|time| own < *time)
                && since.as_ref().is_none_or(|time| own > *time)
                && until.is_none_or(|time| own.parse::<Timestamp>().is_ok_and(|own| own < time));
            let mut names = image.names.clone();
            names.retain(|name| patterns.iter().all(|pattern| matches(name, pattern)));
            if fits && (patterns.is_empty() || !names.is_empty()) {
                chosen.push((image, names));
            }
        }
        Ok(chosen)
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
    fn rows(&self, image: &Image, names: &[String]) -> Vec<Row> {
        let none = || "<none>".to_owned();
        let mut names: Vec<_> = names.iter().map(|name| repository_and_tag(name)).collect();
        if names.is_empty() {
            names.push((none(), none()));
        }
        let created = image.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let labels = labels(image);
        let in_line: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let digest = |repository: &str| {
            let of_it = image.repo_digests.iter().find_map(|it| it.strip_prefix(repository)?.strip_prefix('@'));
            of_it.map_or_else(none, str::to_owned)
        };
        let row = |(repository, tag): (String, String)| {
            let digest = if self.digests { digest(&repository) } else { none() };
            let values = vec![
                repository,
                tag,
                digest,
                self.id(image),
                created.map_or_else(|| "N/A".to_owned(), ago),
                created.map_or_else(|| "N/A".to_owned(), moment),
                size(image.size),
                size(image.size),
                "N/A".to_owned(),
                "N/A".to_owned(),
                "N/A".to_owned(),
                in_line.join(","),
            ];
            Row { values, labels: labels.clone() }
        };
        names.into_iter().map(row).collect()
    }

    fn id(&self, image: &Image) -> String {
        if self.no_trunc { image.id.to_string() } else { image.id.short() }
    }
}

pub(super) fn labels(image: &Image) -> BTreeMap<String, String> {
    let labels = image.config.config().as_ref().and_then(|config| config.labels().clone());
    labels.unwrap_or_default().into_iter().collect()
}

/// Whether a name fits a pattern with `*` and `?`, which may leave the tag out.
fn matches(name: &str, pattern: &str) -> bool {
    let (repository, _) = repository_and_tag(name);
    glob(name.as_bytes(), pattern.as_bytes()) || glob(repository.as_bytes(), pattern.as_bytes())
}

/// `*` is anything but a slash, as in docker's patterns.
fn glob(text: &[u8], pattern: &[u8]) -> bool {
    match (text, pattern) {
        ([], []) => true,
        (_, [b'*', rest @ ..]) => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|skipped| glob(&text[skipped..], rest))
        }
        ([_, text @ ..], [b'?', rest @ ..]) => glob(text, rest),
        ([a, text @ ..], [b, rest @ ..]) => a == b && glob(text, rest),
        _ => false,
    }
}

pub(super) fn repository_and_tag(name: &str) -> (String, String) {
    match name.parse::<Reference>() {
        Ok(reference) => (reference.repository(), reference.tag().unwrap_or("<none>").to_owned()),
        Err(_) => (name.to_owned(), "<none>".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_of_names() {
        for (pattern, expected) in [("box", true), ("b*", true), ("box:latest", true), ("b?x:*", true), ("x", false)] {
            assert_eq!(matches("box:latest", pattern), expected, "{pattern}");
        }
        assert!(!matches("a/b:latest", "*"));
    }
}
