//! `tara manifest inspect`.

use super::print;
use super::pull::platform;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use step07_images::Reference;
use step07_images::registry::{Platform, Registries};

#[derive(Debug, Subcommand)]
pub(crate) enum Manifest {
    /// Show what a name means at its registry: a manifest, or the index that lists the platforms.
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// From an index, the manifest of this platform.
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    /// `name:tag` or `name@sha256:…`.
    image: Reference,
}

impl Manifest {
    pub(crate) fn run(&self) -> Result<u8> {
        let Self::Inspect(inspect) = self;
        let bytes = Registries::read()?.manifest(&inspect.image, inspect.platform.as_ref())?;
        let json: serde_json::Value = serde_json::from_slice(&bytes).context("the manifest")?;
        print(&format!("{json:#}\n"));
        Ok(0)
    }
}
