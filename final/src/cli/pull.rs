//! `tara pull`.

use super::print;
use super::progress::Display;
use crate::engine::Engine;
use crate::events::note_other;
use crate::report::Refusal;
use anyhow::Result;
use clap::Args;
use step07_images::registry::{Platform, Registries};
use step07_images::{Error, Reference};

/// Get an image from a registry.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// All tags of the repository.
    #[arg(short, long)]
    all_tags: bool,
    /// Say nothing but the image's name.
    #[arg(short, long)]
    quiet: bool,
    /// The image for this platform (`linux/arm64`), not for this machine.
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    /// `name`, `name:tag`, `name@sha256:…`, with the registry's host before it where it is not Docker Hub.
    image: String,
}

impl Pull {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let registries = Registries::read()?;
        let reference: Reference = self.image.parse()?;
        if !self.all_tags {
            if !self.quiet && !self.image.contains('@') && !names_a_tag(&self.image) {
                print("Using default tag: latest\n");
            }
            one(engine, &registries, &reference, self.platform.as_ref(), self.quiet)?;
            return Ok(0);
        }
        if names_a_tag(&self.image) || reference.digest().is_some() {
            let refusal = Refusal::new("a tag and `--all-tags` cannot both be asked for");
            return Err(refusal.help("leave the tag out, or the option").code(1).into());
        }
        for tag in registries.tags(&reference)? {
            let one_of_them: Reference = format!("{}:{tag}", reference.repository()).parse()?;
            one(engine, &registries, &one_of_them, self.platform.as_ref(), self.quiet)?;
        }
        Ok(0)
    }
}

/// Whether a tag is said, and not only meant.
fn names_a_tag(image: &str) -> bool {
    image.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

pub(super) fn platform(text: &str) -> Result<Platform, &'static str> {
    text.parse()
}

fn one(
    engine: &Engine,
    registries: &Registries,
    reference: &Reference,
    platform: Option<&Platform>,
    quiet: bool,
) -> Result<()> {
    let title = reference.digest().map_or_else(|| reference.tag().unwrap_or("latest").to_owned(), |it| it.to_string());
    let display = Display::new(quiet, false);
    display.line(&format!("{title}: Pulling from {}", reference.path()));
    let pulled = engine.store().pull(registries, reference, platform, &display)?;
    drop(display);
    note_other(engine.dirs(), "image", "pull", &reference.to_string(), &[]);
    for skipped in &pulled.skipped {
        eprintln!("warning: {}: {}", skipped.entry, skipped.what);
    }
    let whole = format!("{}/{}{}", reference.registry(), reference.path(), after_name(reference));
    if !quiet {
        let status = if pulled.is_new { "Downloaded newer image for" } else { "Image is up to date for" };
        print(&format!("Digest: {}\nStatus: {status} {reference}\n", pulled.digest));
    }
    print(&format!("{whole}\n"));
    Ok(())
}

fn after_name(reference: &Reference) -> String {
    reference.to_string().strip_prefix(&reference.repository()).unwrap_or_default().to_owned()
}

/// When `run` and `create` pull their image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Policy {
    /// When it is not here.
    #[default]
    Missing,
    /// Each time.
    Always,
    /// Not at all.
    Never,
}

/// Does what needs the image `name`, and pulls it before, or when it turns out to be missing. The good case costs nothing.
pub(super) fn with_image<T>(
    engine: &Engine,
    name: &str,
    policy: Policy,
    platform: Option<&Platform>,
    action: impl Fn() -> Result<T>,
) -> Result<T> {
    if policy == Policy::Always && !crate::engine::is_demo(name) {
        pull_for(engine, name, platform)?;
    }
    match action() {
        Err(error) if policy == Policy::Missing && is_missing(&error) => {
            let Ok(reference) = name.parse::<Reference>() else { return Err(error) };
            eprintln!("Unable to find image '{reference}' locally");
            pull_for(engine, name, platform)?;
            action()
        }
        result => result,
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::NoSuchImage { .. })))
}

/// On standard error, as docker's: standard output is the program's own.
fn pull_for(engine: &Engine, name: &str, platform: Option<&Platform>) -> Result<()> {
    let reference: Reference = name.parse()?;
    let display = Display::new(false, true);
    let tag = reference.tag().unwrap_or("latest");
    display.line(&format!("{tag}: Pulling from {}", reference.path()));
    let pulled = engine.store().pull(&Registries::read()?, &reference, platform, &display)?;
    drop(display);
    note_other(engine.dirs(), "image", "pull", &reference.to_string(), &[]);
    let status = if pulled.is_new { "Downloaded newer image for" } else { "Image is up to date for" };
    eprintln!("Digest: {}\nStatus: {status} {reference}", pulled.digest);
    Ok(())
}
