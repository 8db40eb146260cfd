//! `tara build`: step 7's Dockerfiles, with `RUN` as `tara run`.
//!
//! Stages are a graph; each one that the target needs has a thread, and waits only where it needs another. A thread never
//! clones a container: for each `RUN` this program is started again (`step.rs`), which makes the container in the way of every
//! other. The upper directory of the container's overlay becomes the layer; its tar is written and hashed while the next
//! instruction runs.

mod arguments;
mod base;
mod context;
mod copy;
mod fetch;
mod mounts;
mod output;
mod progress;
mod run;
mod stage;
mod stages;
mod step;

use crate::engine::Engine;
use crate::network::Networking;
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use step07_images::build::{Dockerfile, Known, Session, kept_at};
use step07_images::{Digest, Reference};

pub use context::Context;
pub use mounts::Secret;
pub use output::Output;
pub use progress::{Form, Progress};
pub(crate) use step::main as step_main;

/// What `build` is asked for.
#[derive(Debug, Default)]
pub struct Request {
    /// The Dockerfile; without it the context's. `-` is standard input.
    pub file: Option<PathBuf>,
    /// The names of the image.
    pub names: Vec<Reference>,
    /// The stage to build; without it the last.
    pub target: Option<String>,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    /// Nothing is taken from earlier builds.
    pub no_cache: bool,
    /// Whether images are asked for at their registries also when they are here.
    pub pull: bool,
    /// `--platform`: `linux/amd64`.
    pub platform: Option<String>,
    /// Labels, on top of the Dockerfile's.
    pub labels: BTreeMap<String, String>,
    /// Secrets by their ids.
    pub secrets: BTreeMap<String, Secret>,
    /// The network of `RUN`.
    pub networking: Networking,
    /// `--cgroup-parent` of the containers of `RUN`.
    pub cgroup_parent: Option<String>,
    /// Where the result goes besides, or in place of, the store.
    pub output: Option<Output>,
}

/// What all the stages of a build share.
pub(super) struct Build<'a> {
    pub(super) engine: &'a Engine,
    pub(super) request: &'a Request,
    pub(super) dockerfile: &'a Dockerfile,
    pub(super) context: &'a Context,
    pub(super) known: Known,
    pub(super) session: &'a Session<'a>,
    pub(super) progress: &'a Progress,
    /// `SOURCE_DATE_EPOCH`.
    pub(super) epoch: Option<Timestamp>,
    /// Build arguments that an `ARG` has asked for.
    pub(super) consumed: Mutex<BTreeSet<String>>,
}

impl Build<'_> {
    /// The key of what a stage begins with. A time that is set is in all that is made on top of it.
    pub(super) fn begin(&self, with: &str) -> Digest {
        let epoch = self.epoch.map(|epoch| format!("\nuntil {}", epoch.as_second())).unwrap_or_default();
        Digest::of(format!("{with}{epoch}").as_bytes())
    }

    /// The time that is written into the image.
    pub(super) fn now(&self) -> String {
        self.epoch.unwrap_or_else(Timestamp::now).to_string()
    }
}

impl Engine {
    /// Builds an image: its id. What was made before a step that fails, the next build begins with.
    ///
    /// # Errors
    /// [`step07_images::build::Problem`] for the Dockerfile and for instructions that fail.
    pub fn build(&self, request: &Request, context: &Context, progress: &Progress) -> Result<Digest> {
        let dockerfile = context.dockerfile(request.file.as_deref(), progress)?;
        let session = self.store().build()?;
        let contexts = self.store().cache_dir().join("contexts");
        std::fs::create_dir_all(&contexts).with_context(|| format!("make `{}`", contexts.display()))?;
        let build = Build {
            engine: self,
            request,
            dockerfile: &dockerfile,
            context,
            known: Known::read(kept_at(&contexts, &context.path)),
            session: &session,
            progress,
            epoch: epoch()?,
            consumed: Mutex::default(),
        };
        let built = build.target();
        build.known.keep();
        let consumed = build.consumed.into_inner().unwrap_or_default();
        match built {
            Ok(state) => {
                warn_of_unused(request, &consumed);
                output::finish(self, session, &state, request, progress)
            }
            Err(error) => {
                // What was done is kept; that it could not be is less than why the build failed.
                let _the_next_build_takes_longer = session.finish(None, &[]);
                Err(error)
            }
        }
    }
}

fn warn_of_unused(request: &Request, consumed: &BTreeSet<String>) {
    let unused: Vec<&str> = request
        .arguments
        .keys()
        .filter(|name| !consumed.contains(*name) && !arguments::is_proxy(name))
        .map(String::as_str)
        .collect();
    if !unused.is_empty() {
        eprintln!("warning: no ARG asks for the build arguments [{}]", unused.join(" "));
    }
}

/// Source: reproducible-builds.org, "SOURCE_DATE_EPOCH".
fn epoch() -> Result<Option<Timestamp>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds = text.to_str().and_then(|text| text.parse::<i64>().ok());
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map(Some).with_context(|| format!("SOURCE_DATE_EPOCH is seconds since 1970, not `{}`", text.display()))
}
