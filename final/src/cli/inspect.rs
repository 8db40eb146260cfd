//! `tara inspect`, and the `inspect` of each group.

use super::{print, ps};
use crate::container::Container;
use crate::document;
use crate::engine::Engine;
use crate::format::{Template, listing};
use crate::network::show;
use crate::report::{self, Refusal};
use crate::volumes::Volumes;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, to_value};
use step07_images::Error;

/// Show all about containers, images, networks and volumes, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Only objects of this kind.
    #[arg(long = "type", value_enum)]
    pub(crate) kind: Option<Kind>,
    #[command(flatten)]
    pub(crate) what: What,
}

/// What to show, and how.
#[derive(Debug, Args)]
pub(crate) struct What {
    /// `json`, or a Go template such as `{{.State.Status}}`.
    #[arg(short, long)]
    format: Option<String>,
    /// Also how much a container has written (`SizeRw`, `SizeRootFs`).
    #[arg(short, long)]
    size: bool,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "NAME|ID")]
    objects: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

/// docker's exit code for a template that cannot be read.
const TEMPLATE: u8 = 64;

/// A document in both forms: its fields in docker's order for people, and as a tree for templates.
struct Found {
    text: String,
    tree: Value,
}

impl Inspect {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        self.what.run(engine, self.kind)
    }
}

impl What {
    pub(crate) fn run(&self, engine: &Engine, kind: Option<Kind>) -> Result<u8> {
        let template = match self.format.as_deref() {
            None | Some("json") => None,
            Some(text) => match listing::read(text, TEMPLATE) {
                Ok(template) => Some(template),
                Err(error) => {
                    eprint!("{}", report::text(&error));
                    return Ok(TEMPLATE);
                }
            },
        };
        let mut code = 0;
        let mut found = Vec::new();
        for object in &self.objects {
            match self.find(engine, object, kind) {
                Ok(document) => found.push(document),
                Err(error) => {
                    eprint!("{}", report::text(&error));
                    code = 1;
                }
            }
        }
        print(&self.text(template.as_ref(), &found)?);
        Ok(code)
    }

    fn text(&self, template: Option<&Template>, found: &[Found]) -> Result<String> {
        if let Some(template) = template {
            let rendered = found.iter().map(|document| Ok(template.render(&document.tree)? + "\n"));
            let rendered = rendered.collect::<Result<String, crate::format::template::Error>>();
            return rendered.map_err(|error| listing::refused(&error, 1));
        }
        if self.format.is_some() {
            return Ok(found.iter().map(|document| format!("{}\n", document.tree)).collect());
        }
        // Each is indented by itself, so that the order of its fields stays.
        let indented =
            |document: &Found| document.text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
        let all: Vec<String> = found.iter().map(indented).collect();
        Ok(if all.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", all.join(",\n")) })
    }

    fn find(&self, engine: &Engine, object: &str, kind: Option<Kind>) -> Result<Found> {
        let wanted = |this: Kind| kind.is_none_or(|kind| kind == this);
        if wanted(Kind::Container) {
            match Container::find(engine.dirs(), object) {
                Ok(found) => return self.container(engine, &found),
                Err(error) if kind.is_some() => return Err(error),
                Err(_) => {}
            }
        }
        if wanted(Kind::Image) {
            match engine.store().resolve(object) {
                Ok(image) => return Found::of(&document::image(&image)),
                Err(Error::NoSuchImage { .. } | Error::Reference { .. }) if kind.is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
        if wanted(Kind::Network) {
            match show::network(engine.dirs(), object) {
                Ok(network) => return Found::of(&network),
                Err(error) if kind.is_some() => return Err(error),
                Err(_) => {}
            }
        }
        match Volumes::new(engine.dirs()).find(object) {
            Ok(volume) => Found::of(&document::volume(&volume)),
            Err(error) if kind.is_some() => Err(error),
            Err(_) => {
                let refusal = Refusal::new(format!("no such object: `{object}`"));
                Err(refusal.help("`tara ps -a`, `tara images` and `tara volume ls` list what is there").code(1).into())
            }
        }
    }

    fn container(&self, engine: &Engine, found: &Container) -> Result<Found> {
        let mut document = document::container(engine.dirs(), found);
        if self.size {
            let written = ps::written(engine, &found.record);
            let image = engine.store().resolve(&found.record.image_id).map_or(0, |image| image.size);
            (document.size_rw, document.size_root_fs) = (Some(written), Some(written + image));
        }
        Found::of(&document)
    }
}

impl Found {
    fn of(document: &impl Serialize) -> Result<Self> {
        let mut text = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        document.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indent))?;
        Ok(Self { text: String::from_utf8(text)?, tree: to_value(document)? })
    }
}
