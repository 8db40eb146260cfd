//! The layers of a stage: taken from the cache, or made and sealed while the next instruction runs.

use super::Stage;
use anyhow::{Context as _, Result, anyhow};
use std::path::PathBuf;
use std::thread::ScopedJoinHandle;
use step07_images::Digest;
use step07_images::build::{BuiltLayer, History, Outcome};

/// A layer of the stage, made or in the making.
pub(super) enum Slot<'s> {
    Known(BuiltLayer),
    Making(ScopedJoinHandle<'s, Result<Option<BuiltLayer>>>),
}

impl Stage<'_, '_> {
    /// A new layer of the stage from the upper directory `upper`; it is sealed while the next instruction runs.
    pub(in super::super) fn push(&mut self, key: Digest, upper: PathBuf, by: String) -> Result<()> {
        let empty = std::fs::read_dir(&upper).with_context(|| format!("read `{}`", upper.display()))?.next().is_none();
        let created = self.build.now();
        let (session, latest) = (self.build.session, self.build.epoch.map(|epoch| epoch.as_second()));
        self.remember(by, empty, &created);
        self.state.key = key;
        if empty {
            session.keep(key, &Outcome { layer: None, created });
            return Ok(());
        }
        self.state.dirs.push(upper.clone());
        let seal = move || {
            let layer = session.seal(&upper, latest).context("make a layer")?;
            session.keep(key, &Outcome { layer: layer.clone(), created });
            Ok(layer)
        };
        // Times that are set back have to be so before anybody reads them.
        let slot = match latest {
            Some(_) => seal()?.map(Slot::Known),
            None => Some(Slot::Making(self.scope.spawn(seal))),
        };
        self.slots.extend(slot);
        Ok(())
    }

    /// What an earlier build has made of the same.
    pub(in super::super) fn take(&mut self, key: Digest, by: &str) -> Result<bool> {
        if self.build.request.no_cache {
            return Ok(false);
        }
        let Some(outcome) = self.build.session.cached(key)? else { return Ok(false) };
        self.remember(by.to_owned(), outcome.layer.is_none(), &outcome.created);
        self.state.key = key;
        if let Some(layer) = outcome.layer {
            self.state.dirs.push(self.build.session.layer_dir(layer.diff_id()?));
            self.slots.push(Slot::Known(layer));
        }
        Ok(true)
    }

    fn remember(&mut self, by: String, empty: bool, created: &str) {
        self.state.created = Some(created.to_owned());
        self.history(by, empty);
    }

    pub(super) fn history(&mut self, by: String, empty_layer: bool) {
        let created = self.state.created.clone();
        let history = History { created, created_by: Some(by), empty_layer, ..History::default() };
        self.state.document.history.push(history);
    }

    /// Waits until all the layers are sealed.
    pub(super) fn seal(&mut self) -> Result<()> {
        for slot in std::mem::take(&mut self.slots) {
            let layer = match slot {
                Slot::Known(layer) => Some(layer),
                Slot::Making(thread) => thread.join().map_err(|_| anyhow!("a thread has panicked"))??,
            };
            let Some(layer) = layer else { continue };
            self.state.layers.push(layer.descriptor()?);
            self.state.document.rootfs.diff_ids.push(layer.diff_id.clone());
            self.state.bytes += layer.bytes;
        }
        Ok(())
    }

    /// The directories of the stage, none twice: overlayfs refuses that, and the upper one says all.
    pub(in super::super) fn lower(dirs: &[PathBuf]) -> Vec<PathBuf> {
        let mut lower: Vec<PathBuf> = Vec::new();
        for dir in dirs.iter().rev() {
            if !lower.contains(dir) {
                lower.push(dir.clone());
            }
        }
        lower.reverse();
        lower
    }
}
