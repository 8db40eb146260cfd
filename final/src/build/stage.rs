//! One stage: its instructions, one after another. `layers` holds what they make, `metadata` what they write into the configuration.

mod layers;
mod metadata;

use super::Build;
use super::arguments::{Variables, at_word};
use super::progress::Vertex;
use super::stages::{Abandoned, Board};
use anyhow::{Result, anyhow};
use layers::Slot;
use oci_spec::image::Descriptor;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread::Scope;
use step07_images::Digest;
use step07_images::build::{Document, Expander, Instruction, Parts, Problem, Step, Target, clean, statements};

/// What a stage has come to.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// The configuration; its layers are filled in at the end of the stage.
    pub(super) document: Document,
    /// The layers below the stage, and those that are made, as a manifest has them.
    pub(super) layers: Vec<Descriptor>,
    /// Their directories, the lowest first.
    pub(super) dirs: Vec<PathBuf>,
    /// Content of their files.
    pub(super) bytes: u64,
    /// What the file system is, by what has made it.
    pub(super) key: Digest,
    /// When the last layer was made.
    pub(super) created: Option<String>,
    pub(super) variables: Variables,
}

impl State {
    /// The same as an image.
    pub(super) fn parts(&self) -> Parts {
        Parts { document: self.document.clone(), layers: self.layers.clone(), bytes: self.bytes }
    }
}

/// A stage at work.
pub(super) struct Stage<'s, 'e> {
    pub(super) build: &'s Build<'s>,
    pub(super) board: &'s Board,
    scope: &'s Scope<'s, 'e>,
    globals: &'s BTreeMap<String, String>,
    pub(super) index: usize,
    pub(super) state: State,
    slots: Vec<Slot<'s>>,
    command_set: bool,
    number: usize,
    total: usize,
}

impl<'s, 'e> Stage<'s, 'e> {
    pub(super) fn new(
        build: &'s Build<'s>,
        board: &'s Board,
        scope: &'s Scope<'s, 'e>,
        globals: &'s BTreeMap<String, String>,
        index: usize,
    ) -> Self {
        let state = State {
            document: Document::scratch(),
            layers: Vec::new(),
            dirs: Vec::new(),
            bytes: 0,
            key: build.begin("scratch"),
            created: None,
            variables: Variables::default(),
        };
        let total = 1 + build.dockerfile.stages[index].steps.iter().filter(|step| is_shown(step)).count();
        Self { build, board, scope, globals, index, state, slots: Vec::new(), command_set: false, number: 0, total }
    }

    /// Does all its instructions.
    pub(super) fn build(mut self) -> Result<State> {
        let result = self.steps();
        // Also when a step fails: what was made before it is kept.
        let sealed = self.seal();
        result?;
        sealed?;
        Ok(self.state)
    }

    fn steps(&mut self) -> Result<()> {
        self.from()?;
        self.default_path();
        let triggers = std::mem::take(&mut self.state.document.config.on_build);
        for trigger in triggers {
            let (directives, found) = statements("ONBUILD", &trigger)?;
            for statement in &found {
                self.step(&Step::parse(statement, directives.escape)?)?;
            }
        }
        let build = self.build;
        build.dockerfile.stages[self.index].steps.iter().try_for_each(|step| self.step(step))
    }

    /// docker's default, where the image has none.
    fn default_path(&mut self) {
        let env = &mut self.state.document.config.env;
        if !env.iter().any(|entry| entry.starts_with("PATH=")) {
            env.push(format!("PATH={}", step01_chroot::DEFAULT_PATH));
        }
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        if self.board.failed() {
            return Err(anyhow!(Abandoned));
        }
        match &step.instruction {
            Instruction::Run(run) => self.run(step, run),
            Instruction::Copy(copy) => self.copy(step, copy),
            Instruction::Workdir(path) => self.workdir(step, path),
            Instruction::Arg(list) => self.arg(step, list),
            other => self.metadata(step, other),
        }
    }

    /// The title of the next step that is shown: `[name 2/4] RUN …`.
    pub(super) fn vertex(&mut self, text: &str) -> Vertex<'s> {
        self.number += 1;
        let stages = &self.build.dockerfile.stages;
        let name = match &stages[self.index].name {
            Some(name) => format!("{name} "),
            None if stages.len() > 1 => format!("stage-{} ", self.index),
            None => String::new(),
        };
        let total = self.total.max(self.number);
        let first = text.lines().next().unwrap_or_default();
        self.build.progress.begin(&format!("[{name}{}/{total}] {first}", self.number))
    }

    fn from(&mut self) -> Result<()> {
        let stage = &self.build.dockerfile.stages[self.index];
        let Instruction::From { platform, .. } = &stage.from.instruction else { return Ok(()) };
        let base = self.build.base_of(self.index, self.globals)?;
        if let Some(earlier) = self.build.dockerfile.stage(&base, self.index) {
            self.state = State::clone(&*self.board.wait(earlier)?);
            self.number += 1;
            return Ok(());
        }
        if base == "scratch" {
            self.number += 1;
            return Ok(());
        }
        let vertex = self.vertex(&format!("FROM {base}"));
        let image = self.build.image(&base, Some(&vertex)).map_err(|error| {
            let what = format!("FROM: {error}");
            error.context(Problem::new(&stage.from.place, what).at(base.clone()))
        })?;
        let parts = self.build.engine.store().parts(&image)?;
        let platform = platform.as_ref().map(|platform| self.global(platform)).transpose()?;
        self.check_platform(&parts.document, platform.as_deref().or(self.build.request.platform.as_deref()))?;
        let identity = parts.document.rootfs.diff_ids.join(" ");
        self.state = State {
            key: self.build.begin(&format!("image {identity}")),
            created: parts.document.created.clone(),
            dirs: image.layers.clone(),
            document: parts.document,
            layers: parts.layers,
            bytes: parts.bytes,
            variables: Variables::default(),
        };
        vertex.done();
        Ok(())
    }

    fn global(&self, text: &str) -> Result<String> {
        let stage = &self.build.dockerfile.stages[self.index];
        let variables = Variables { arguments: self.globals.clone() };
        let escape = self.build.dockerfile.directives.escape;
        let expanded = variables.expand(escape, &[], &BTreeMap::new(), |to| to.word(text));
        expanded.map_err(|why| at_word(&stage.from.place, text, why))
    }

    fn check_platform(&self, document: &Document, wanted: Option<&str>) -> Result<()> {
        let Some(wanted) = wanted else { return Ok(()) };
        let has = format!("{}/{}", document.os, document.architecture);
        if wanted == has || wanted.starts_with(&format!("{has}/")) {
            return Ok(());
        }
        let stage = &self.build.dockerfile.stages[self.index];
        let what = format!("the image is for {has}, not for {wanted}");
        Err(Problem::new(&stage.from.place, what).help("get the image for that platform first").into())
    }

    pub(super) fn expand<T>(
        &self,
        step: &Step,
        word: &str,
        with: impl FnOnce(Expander<'_>, &str) -> Result<T, String>,
    ) -> Result<T> {
        let escape = self.build.dockerfile.directives.escape;
        let (env, given) = (&self.state.document.config.env, &self.build.request.arguments);
        let expanded = self.state.variables.expand(escape, env, given, |to| with(to, word));
        expanded.map_err(|why| at_word(&step.place, word, why))
    }

    pub(super) fn word(&self, step: &Step, word: &str) -> Result<String> {
        self.expand(step, word, |to, word| to.word(word))
    }

    /// An absolute path, from the working directory on.
    pub(super) fn absolute(&self, path: &str) -> String {
        let from = &self.state.document.config.working_dir;
        clean(&if path.starts_with('/') { path.to_owned() } else { format!("/{from}/{path}") })
    }

    fn arg(&mut self, step: &Step, list: &[(String, Option<String>)]) -> Result<()> {
        for (name, default) in list {
            self.build.consume(name);
            let given = self.build.request.arguments.get(name).cloned();
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(self.word(step, default)?),
                (None, None) => self.globals.get(name).cloned(),
            };
            if let Some(value) = value {
                self.state.variables.arguments.insert(name.clone(), value);
            }
        }
        let words = list.iter().map(|(name, _)| match self.state.variables.arguments.get(name) {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        let by = format!("ARG {}", words.collect::<Vec<_>>().join(" "));
        self.history(by, true);
        Ok(())
    }

    fn workdir(&mut self, step: &Step, path: &str) -> Result<()> {
        let path = self.absolute(&self.word(step, path)?);
        let vertex = self.vertex(&step.text);
        self.state.document.config.working_dir.clone_from(&path);
        let by = format!("WORKDIR {path}");
        let key = Digest::of(format!("{}\nworkdir {path}", self.state.key).as_bytes());
        if self.take(key, &by)? {
            vertex.cached();
            return Ok(());
        }
        let upper = self.on_root(|overlay| {
            Target::new(overlay.as_fd(), self.roots()).make_folders(&path)?;
            Ok(())
        })?;
        self.push(key, upper, by)?;
        vertex.done();
        Ok(())
    }
}

/// Those that may make a layer have a line of their own.
fn is_shown(step: &Step) -> bool {
    matches!(step.instruction, Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_))
}
