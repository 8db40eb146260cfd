//! An image of a container: its image and what it has written.

use crate::changes;
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::events::note;
use crate::report::{self, Refusal};
use crate::view::View;
use anyhow::{Context, Result};
use jiff::Timestamp;
use oci_spec::image::Config;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use step07_images::commit::Word;
use step07_images::pack::{Form, Packer};
use step07_images::{Loaded, Reference};

/// What `commit` is asked for.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// The container.
    pub container: String,
    /// The new image's name.
    pub name: Option<Reference>,
    /// By whom.
    pub author: Option<String>,
    /// What for.
    pub message: Option<String>,
    /// Whether its processes are stopped meanwhile: a layer that is written while it is read may be torn.
    pub pause: bool,
    /// Instructions of a Dockerfile that change the configuration.
    pub changes: Vec<String>,
}

impl Engine {
    /// Makes an image of a container's image and its own layer.
    ///
    /// # Errors
    /// When there is no such container, its image is gone, or a change cannot be.
    pub fn commit(&self, request: &CommitRequest) -> Result<Loaded> {
        let container = Container::find(self.dirs(), &request.container)?;
        let record = &container.record;
        let base = self.store().resolve(&record.image_id).context("the container's image is needed for its layers")?;
        let config =
            changes::apply(config(&container, base.config.config().clone().unwrap_or_default()), &request.changes)?;
        let _until_the_layer_is_read = Paused::if_running(self, &container, request.pause)?;
        let upper = self.dirs().container(&record.id).join("diff");
        let upper = File::open(&upper).with_context(|| format!("open `{}`", upper.display()))?;
        let word = Word {
            created: Timestamp::now().to_string(),
            created_by: record.command().join(" "),
            author: request.author.clone(),
            comment: request.message.clone(),
        };
        let made = self.store().commit(&base, upper.as_fd(), config, request.name.as_ref(), &word);
        let made = made.with_context(|| format!("cannot make an image of container `{}`", request.container))?;
        let image = made.images.first().map(|image| image.id.to_string()).unwrap_or_default();
        note(self.dirs(), record, "commit", &[("imageID", image)]);
        Ok(made)
    }

    /// Writes the root file system of a container as a tar, without what is mounted in it.
    ///
    /// # Errors
    /// When there is no such container; when it cannot be read, or `writer` not written.
    pub fn export(&self, reference: &str, writer: impl Write) -> Result<()> {
        let container = Container::find(self.dirs(), reference)?;
        if matches!(container.status, Status::Starting) {
            return Err(Refusal::new(format!("container `{reference}` is just starting")).code(1).into());
        }
        let view = View::alone(self, &container)?;
        let root = crate::copy::open_folder(view.as_fd(), c"/")?;
        let mut packer = Packer::new(writer, Form::Plain);
        packer.children(root.as_fd(), b".").with_context(|| format!("cannot export container `{reference}`"))?;
        packer.finish().with_context(|| format!("cannot export container `{reference}`"))?;
        note(self.dirs(), &container.record, "export", &[]);
        Ok(())
    }
}

/// A container whose processes are stopped, until this is dropped.
struct Paused<'e> {
    engine: &'e Engine,
    id: String,
}

impl<'e> Paused<'e> {
    fn if_running(engine: &'e Engine, container: &Container, wanted: bool) -> Result<Option<Self>> {
        let id = container.record.id.clone();
        match &container.status {
            Status::Running(state) if wanted && !state.paused => match engine.pause(&id) {
                Ok(()) => Ok(Some(Self { engine, id })),
                // It has ended meanwhile, which is as good.
                Err(_) if !matches!(Container::find(engine.dirs(), &id)?.status, Status::Running(_)) => Ok(None),
                Err(error) => {
                    let what = "its processes cannot be stopped meanwhile; `--pause=false` does without";
                    Err(error.context(what))
                }
            },
            _ => Ok(None),
        }
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.engine.unpause(&self.id) {
            eprint!("{}", report::text(&error));
        }
    }
}

/// The image's configuration with what the container was started with.
fn config(container: &Container, mut config: Config) -> Config {
    let record = &container.record;
    let process = record.spec.process().as_ref();
    let env = process.and_then(|process| process.env().clone()).unwrap_or_default();
    let own = [format!("HOSTNAME={}", record.spec.hostname().clone().unwrap_or_default())];
    let made_up = |entry: &String| own.contains(entry) || entry.starts_with("HOME=") || entry.starts_with("TERM=");
    let of_image = config.env().clone().unwrap_or_default();
    config.set_env(Some(env.into_iter().filter(|entry| of_image.contains(entry) || !made_up(entry)).collect()));
    config.set_entrypoint(record.asked.entrypoint.clone());
    config.set_cmd(record.asked.cmd.clone());
    config.set_user(Some(record.asked.user.clone()).filter(|user| !user.is_empty()));
    config.set_labels(Some(record.asked.labels.clone().into_iter().collect()));
    config.set_working_dir(process.map(|process| process.cwd().display().to_string()));
    if !record.asked.volumes.is_empty() {
        config.set_volumes(Some(record.asked.volumes.clone()));
    }
    config
}
