//! One stage: its instructions, one after another.

use super::Build;
use super::arguments::{Variables, at_word};
use super::progress::Vertex;
use super::stages::{Abandoned, Board};
use anyhow::{Context as _, Result, anyhow};
use oci_spec::image::Descriptor;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread::{Scope, ScopedJoinHandle};
use step07_images::Digest;
use step07_images::build::{
    BuiltLayer, CommandForm, Document, Empty, Expander, Healthcheck, History, Instruction, Outcome, Parts, Problem,
    Step, Target, clean, statements,
};

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

/// A layer of the stage, made or in the making.
enum Slot<'s> {
    Known(BuiltLayer),
    Making(ScopedJoinHandle<'s, Result<Option<BuiltLayer>>>),
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
            key: Digest::of(b"scratch"),
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
            key: Digest::of(format!("image {identity}").as_bytes()),
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

    // ---- layers

    /// A new layer of the stage from the upper directory `upper`; it is sealed while the next instruction runs.
    pub(super) fn push(&mut self, key: Digest, upper: PathBuf, step: &Step, by: String) -> Result<()> {
        let empty = std::fs::read_dir(&upper).with_context(|| format!("read `{}`", upper.display()))?.next().is_none();
        let created = self.build.now();
        let (session, latest) = (self.build.session, self.build.epoch.map(|epoch| epoch.as_second()));
        self.remember(step, by, empty, &created);
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
    pub(super) fn take(&mut self, key: Digest, step: &Step, by: &str) -> Result<bool> {
        if self.build.request.no_cache {
            return Ok(false);
        }
        let Some(outcome) = self.build.session.cached(key)? else { return Ok(false) };
        self.remember(step, by.to_owned(), outcome.layer.is_none(), &outcome.created);
        self.state.key = key;
        if let Some(layer) = outcome.layer {
            self.state.dirs.push(self.build.session.layer_dir(layer.diff_id()?));
            self.slots.push(Slot::Known(layer));
        }
        Ok(true)
    }

    fn remember(&mut self, _step: &Step, by: String, empty: bool, created: &str) {
        self.state.created = Some(created.to_owned());
        self.history(by, empty);
    }

    fn history(&mut self, by: String, empty_layer: bool) {
        let created = self.state.created.clone();
        let history = History { created, created_by: Some(by), empty_layer, ..History::default() };
        self.state.document.history.push(history);
    }

    /// Waits until all the layers are sealed.
    fn seal(&mut self) -> Result<()> {
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
    pub(super) fn lower(dirs: &[PathBuf]) -> Vec<PathBuf> {
        let mut lower: Vec<PathBuf> = Vec::new();
        for dir in dirs.iter().rev() {
            if !lower.contains(dir) {
                lower.push(dir.clone());
            }
        }
        lower.reverse();
        lower
    }

    // ---- words

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

    // ---- instructions that change the configuration

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
        if self.take(key, step, &by)? {
            vertex.cached();
            return Ok(());
        }
        let upper = self.on_root(|overlay| {
            Target::new(overlay.as_fd(), self.roots()).make_folders(&path)?;
            Ok(())
        })?;
        self.push(key, upper, step, by)?;
        vertex.done();
        Ok(())
    }

    fn metadata(&mut self, step: &Step, instruction: &Instruction) -> Result<()> {
        let by = match instruction {
            Instruction::Env(pairs) => self.env(step, pairs)?,
            Instruction::Label(pairs) => self.label(step, pairs)?,
            Instruction::Cmd(form) => {
                let command = self.with_shell(form);
                self.command_set = true;
                let by = format!("CMD {}", quoted(&command));
                self.state.document.config.cmd = Some(command);
                by
            }
            Instruction::Entrypoint(form) => {
                let command = self.with_shell(form);
                let by = format!("ENTRYPOINT {}", quoted(&command));
                self.state.document.config.entrypoint = Some(command).filter(|command| !command.is_empty());
                if !self.command_set {
                    self.state.document.config.cmd = None;
                }
                by
            }
            Instruction::Maintainer(author) => {
                self.state.document.author = Some(author.clone());
                format!("MAINTAINER {author}")
            }
            Instruction::Expose(words) => self.expose(step, words)?,
            Instruction::Volume(paths) => self.volume(step, paths)?,
            Instruction::User(user) => {
                let user = self.word(step, user)?;
                self.state.document.config.user.clone_from(&user);
                format!("USER {user}")
            }
            Instruction::StopSignal(signal) => self.stop_signal(step, signal)?,
            Instruction::Healthcheck(health) => {
                self.state.document.config.healthcheck = Some(Healthcheck {
                    test: health.test.clone(),
                    interval: health.interval,
                    timeout: health.timeout,
                    start_period: health.start_period,
                    start_interval: health.start_interval,
                    retries: health.retries,
                });
                step.text.clone()
            }
            Instruction::Shell(list) => {
                self.state.document.config.shell = Some(list.clone());
                format!("SHELL {}", quoted(list))
            }
            Instruction::Onbuild(text) => {
                self.state.document.config.on_build.push(text.clone());
                format!("ONBUILD {text}")
            }
            _ => step.text.clone(),
        };
        self.history(by, true);
        Ok(())
    }

    /// The shell form is a line for the image's shell.
    pub(super) fn with_shell(&self, form: &CommandForm) -> Vec<String> {
        let default = || ["/bin/sh", "-c"].map(str::to_owned).to_vec();
        match form {
            CommandForm::Exec(list) => list.clone(),
            CommandForm::Shell(line) => {
                let mut command = self.state.document.config.shell.clone().unwrap_or_else(default);
                command.push(line.clone());
                command
            }
        }
    }

    /// All values are those from before the instruction.
    fn env(&mut self, step: &Step, pairs: &[(String, String)]) -> Result<String> {
        let pair = |(name, value): &(String, String)| Ok((self.word(step, name)?, self.word(step, value)?));
        let pairs: Vec<(String, String)> = pairs.iter().map(pair).collect::<Result<_>>()?;
        let env = &mut self.state.document.config.env;
        for (name, value) in &pairs {
            let entry = format!("{name}={value}");
            match env.iter_mut().find(|known| known.split_once('=').is_some_and(|(known, _)| known == name)) {
                Some(known) => *known = entry,
                None => env.push(entry),
            }
        }
        Ok(format!("ENV {}", joined(&pairs)))
    }

    fn label(&mut self, step: &Step, pairs: &[(String, String)]) -> Result<String> {
        let pair = |(name, value): &(String, String)| Ok((self.word(step, name)?, self.word(step, value)?));
        let pairs: Vec<(String, String)> = pairs.iter().map(pair).collect::<Result<_>>()?;
        self.state.document.config.labels.extend(pairs.iter().cloned());
        Ok(format!("LABEL {}", joined(&pairs)))
    }

    fn expose(&mut self, step: &Step, words: &[String]) -> Result<String> {
        let mut all = Vec::new();
        for word in words {
            for port in self.expand(step, word, |to, word| to.words(word))? {
                let ports = ports(&port).ok_or_else(|| {
                    let what = format!("`{port}` is not a port");
                    Problem::new(&step.place, what).at(word.clone()).help("write `80`, `80/udp` or `8000-8010/tcp`")
                })?;
                self.state.document.config.exposed_ports.extend(ports.into_iter().map(|port| (port, Empty {})));
                all.push(port);
            }
        }
        Ok(format!("EXPOSE [{}]", all.join(" ")))
    }

    fn volume(&mut self, step: &Step, paths: &[String]) -> Result<String> {
        let paths: Vec<String> = paths.iter().map(|path| self.word(step, path)).collect::<Result<_>>()?;
        self.state.document.config.volumes.extend(paths.iter().map(|path| (path.clone(), Empty {})));
        Ok(format!("VOLUME [{}]", paths.join(" ")))
    }

    fn stop_signal(&mut self, step: &Step, signal: &str) -> Result<String> {
        let signal = self.word(step, signal)?;
        let name = signal.to_ascii_uppercase();
        let known = nix::sys::signal::Signal::iterator().any(|known| {
            let known = known.as_str();
            known == name || known.strip_prefix("SIG") == Some(&name)
        });
        let number = signal.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
        if !known && !number && !name.starts_with("SIGRTM") {
            return Err(Problem::new(&step.place, format!("there is no signal `{signal}`")).at(signal).into());
        }
        self.state.document.config.stop_signal = Some(signal.clone());
        Ok(format!("STOPSIGNAL {signal}"))
    }
}

/// Those that may make a layer have a line of their own.
fn is_shown(step: &Step) -> bool {
    matches!(step.instruction, Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_))
}

fn joined(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// As BuildKit's history shows a list.
fn quoted(list: &[String]) -> String {
    format!("[{}]", list.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" "))
}

/// `80`, `80/udp`, `8000-8002`: as `80/tcp`, each for itself.
fn ports(text: &str) -> Option<Vec<String>> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return None;
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then(|| (first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
