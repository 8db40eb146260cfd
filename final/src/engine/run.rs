//! From a request to a container: made, and started or left for later.

use super::end::{Finished, Ran};
use super::{Engine, RunRequest};
use crate::container::{Lock, new_id};
use crate::events::{Notes, note};
use crate::monitor::Monitor;
use crate::network::Begun;
use crate::reclaim::{put_to_rest, reclaim_with_volumes};
use crate::upkeep::HealthCheck;
use anyhow::{Context, Result};
use std::path::Path;
use step02_pid_ns::ForwardedSignals;
use step07_images::Image;
use sys::explain::phase;

impl Engine {
    /// Runs a container in the foreground, to its end.
    ///
    /// # Errors
    /// What kept its program from running; nothing of the container is left then.
    pub fn run(&self, request: &RunRequest) -> Result<Finished> {
        self.run_new(request, None)
    }

    /// Makes a container and stays with it until it has ended: in the foreground, or as its monitor.
    pub(crate) fn run_new(&self, request: &RunRequest, mut monitor: Option<&mut Monitor>) -> Result<Finished> {
        phase("take the signals that will be the container's, choose its id, lock its folder");
        // From here on signals are the container's: none may end us between its parts.
        let signals = ForwardedSignals::block()?;
        let id = new_id()?;
        // First of all: what the network takes from here on, a lock says whose it is.
        let lock = Lock::create(&self.dirs, &id)?;
        let own_users = request.arguments.security.own_users;
        // A network of a user namespace is its own: it is made with that, and connected then.
        let begun = if own_users { Ok(None) } else { self.plan(&id, None, &request.networking).begin_early() };
        // A network that was begun is waited for when something fails: see [`Begun`].
        phase("find the image: its configuration and its layers");
        let started = self.image(&request.image).and_then(|image| {
            let started = begun.and_then(|begun| {
                self.make_and_start(request, &image, &id, begun, &lock, &signals, monitor.as_deref_mut())
            });
            let called = request.name.as_deref().or(id.get(..12)).unwrap_or_default();
            started.with_context(|| format!("cannot start container `{called}`"))
        });
        match started {
            Ok(ran) => self.end(ran, lock, &signals, monitor),
            Err(error) => Err(self.undo(&id, lock, error)),
        }
    }

    /// Runs a step of a build over the layers of `image`. When it has ended well, what it has written is the folder `upper`.
    pub(crate) fn run_step(&self, request: &RunRequest, image: &Image, upper: &Path) -> Result<Finished> {
        let signals = ForwardedSignals::block()?;
        let id = new_id()?;
        let lock = Lock::create(&self.dirs, &id)?;
        let begun = self.plan(&id, None, &request.networking).begin_early();
        let started = begun.and_then(|begun| self.make_and_start(request, image, &id, begun, &lock, &signals, None));
        match started {
            Ok(mut ran) => {
                // The next step will find them below its own overlay.
                ran.namespaces.clear();
                let from = self.dirs.container(&id).join("diff");
                std::fs::rename(&from, upper).with_context(|| format!("take `{}`", from.display()))?;
                self.end(ran, lock, &signals, None)
            }
            Err(error) => Err(self.undo(&id, lock, error.context("cannot run the step"))),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what a start needs and nobody owns")]
    fn make_and_start(
        &self,
        request: &RunRequest,
        image: &Image,
        id: &str,
        begun: Option<Begun>,
        lock: &Lock,
        signals: &ForwardedSignals,
        mut monitor: Option<&mut Monitor>,
    ) -> Result<Ran> {
        let (mut record, overlay) = self.make(request, image, id)?;
        // Without a monitor nobody is there to look after its health.
        if let Some(monitor) = &mut monitor {
            record.upkeep = record.upkeep.with_image(self.health_check_of(image));
            monitor.prepare(&record, lock)?;
        }
        let notes = Notes::default().and(&record, "create", &[]);
        self.start_made(record, &overlay, begun, signals, monitor, notes)
    }

    /// Makes a container whose program does not run yet.
    ///
    /// # Errors
    /// What cannot be had; nothing of the container is left then.
    pub fn create(&self, request: &RunRequest) -> Result<String> {
        let image = self.image(&request.image)?;
        let id = new_id()?;
        let lock = Lock::create(&self.dirs, &id)?;
        let written = self.make(request, &image, &id).and_then(|(mut record, _)| {
            record.upkeep = record.upkeep.with_image(self.health_check_of(&image));
            record.write(&self.dirs)?;
            Ok(record)
        });
        match written {
            Ok(record) => {
                note(&self.dirs, &record, "create", &[]);
                put_to_rest(&self.dirs, &id, lock)?;
                Ok(id)
            }
            Err(error) => Err(self.undo(&id, lock, error.context("cannot create the container"))),
        }
    }

    /// docker's field of an image's configuration, which the OCI's types do not have.
    fn health_check_of(&self, image: &Image) -> Option<HealthCheck> {
        let blob = self.dirs.root.join("images/blobs").join(image.id.to_string().replace(':', "/"));
        HealthCheck::of_image(&std::fs::read(blob).unwrap_or_default())
    }

    /// Removes what was made of a container before `error`. What failed first is what the user has to know; what stays,
    /// `system check` names.
    pub(crate) fn undo(&self, id: &str, lock: Lock, error: anyhow::Error) -> anyhow::Error {
        match reclaim_with_volumes(&self.dirs, id, Some(lock)) {
            Ok(()) => error,
            Err(leftover) => error.context(format!("{leftover:#}")),
        }
    }
}
