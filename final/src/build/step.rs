//! The process of one `RUN`: `tara build-step`, with its task as JSON on standard input. It makes a container like any other; afterwards
//! the upper directory is the build's.

use crate::engine::{Engine, Finished, RunRequest};
use anyhow::{Context as _, Result};
use oci_spec::image::{ImageConfiguration, ImageConfigurationBuilder, RootFsBuilder};
use serde::{Deserialize, Serialize};
use std::io::stdin;
use std::path::PathBuf;
use step07_images::{Digest, Image};

/// What to run over which layers, and where what it writes is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) request: RunRequest,
    pub(super) layers: Vec<PathBuf>,
    pub(super) upper: PathBuf,
}

/// The process itself.
///
/// # Errors
/// What kept the program from running.
pub(crate) fn main(engine: &Engine) -> Result<Finished> {
    // A build that is killed takes its containers along.
    step02_pid_ns::die_with_parent().map_err(|failure| anyhow::anyhow!("{failure}"))?;
    let task: Task = serde_json::from_reader(stdin().lock()).context("read the task")?;
    let image = Image {
        id: Digest::of(b"a step of a build"),
        manifest: Digest::of(b"a step of a build"),
        names: Vec::new(),
        repo_digests: Vec::new(),
        config: configuration()?,
        layers: task.layers,
        size: 0,
        created: None,
    };
    engine.run_step(&task.request, &image, &task.upper)
}

/// Nothing: the request says all.
fn configuration() -> Result<ImageConfiguration> {
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids(Vec::<String>::new()).build()?;
    Ok(ImageConfigurationBuilder::default().rootfs(rootfs).build()?)
}
