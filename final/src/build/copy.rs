//! `COPY` and `ADD`: files from the context, another stage or an image, written through an overlay over the stage. `place` holds
//! where each goes.

mod place;

use super::fetch::{Remote, is_remote};
use super::stage::{Stage, State};
use crate::engine::Engine;
use anyhow::{Context as _, Result};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use step03_mount_overlay::{Layers, Overlay};
use step06_capabilities::User;
use step07_images::Digest;
use step07_images::build::{Copy, How, Known, Missing, Problem, Session, Source, Step, Target, digest};

/// Before Linux 6.5 an overlay is mounted from a certain working directory, and that is the whole process's.
static MOUNTING: Mutex<()> = Mutex::new(());

/// An overlay of `dirs` with what is written going to `upper`, attached nowhere.
pub(super) fn overlay(stage: &Stage<'_, '_>, dirs: &[PathBuf], upper: &Path) -> Result<Overlay> {
    overlay_of(stage.build.engine, stage.build.session, dirs, upper)
}

pub(super) fn overlay_of(engine: &Engine, session: &Session<'_>, dirs: &[PathBuf], upper: &Path) -> Result<Overlay> {
    let work = session.new_folder("work")?;
    let mut lower = Stage::lower(dirs);
    if lower.is_empty() {
        lower.push(session.new_folder("nothing")?);
    }
    let userxattr = engine.privilege().in_user_namespace;
    let _turn = MOUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let layers = Layers { lower: &lower, upper, work: &work, volatile: true, userxattr };
    Ok(Overlay::prepare(&layers, session.folder())?)
}

/// Where the files of a `COPY` come from.
enum From {
    Context,
    Stage(Box<State>),
}

impl Stage<'_, '_> {
    /// Does something with the stage's root, and gives the directory of what was written.
    pub(super) fn on_root(&self, action: impl FnOnce(&Overlay) -> Result<()>) -> Result<PathBuf> {
        let upper = self.build.session.new_folder("upper")?;
        action(&overlay(self, &self.state.dirs, &upper)?)?;
        Ok(upper)
    }

    /// Everything is root's, and no time later than is wanted.
    pub(super) fn roots(&self) -> How {
        How { owner: Some((0, 0)), latest: self.build.epoch.map(|epoch| epoch.as_second()), ..How::default() }
    }

    pub(super) fn copy(&mut self, step: &Step, copy: &Copy) -> Result<()> {
        let copy = self.expanded(step, copy)?;
        let vertex = self.vertex(&step.text);
        let from = self.copied_from(step, &copy)?;
        let result = match &from {
            From::Context => {
                let context = self.build.context;
                let source = Source::new(context.fd(), Some(&context.ignore));
                let build = self.build;
                self.copy_from(step, &copy, &source, &build.known, false, "context")
            }
            From::Stage(state) => {
                let upper = self.build.session.new_folder("unused")?;
                let overlay = overlay(self, &state.dirs, &upper)?;
                let source = Source::new(overlay.as_fd(), None);
                self.copy_from(step, &copy, &source, &Known::default(), true, &state.key.to_string())
            }
        };
        match result {
            Ok(true) => vertex.cached(),
            Ok(false) => vertex.done(),
            Err(error) => {
                vertex.failed(error.to_string().lines().next().unwrap_or_default());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Variables put in everywhere.
    fn expanded(&self, step: &Step, copy: &Copy) -> Result<Copy> {
        let word = |word: &String| self.word(step, word);
        let maybe = |text: &Option<String>| text.as_ref().map(word).transpose();
        let mut expanded = copy.clone();
        expanded.sources = copy.sources.iter().map(word).collect::<Result<_>>()?;
        expanded.destination = word(&copy.destination)?;
        expanded.from = maybe(&copy.from)?;
        expanded.chown = maybe(&copy.chown)?;
        expanded.chmod = maybe(&copy.chmod)?;
        expanded.exclude = copy.exclude.iter().map(word).collect::<Result<_>>()?;
        for document in expanded.documents.iter_mut().filter(|document| document.expand) {
            document.content = self.expand(step, &document.content.clone(), |to, text| to.document(text))?;
        }
        Ok(expanded)
    }

    fn copied_from(&self, step: &Step, copy: &Copy) -> Result<From> {
        match &copy.from {
            None => Ok(From::Context),
            Some(name) => self.root_of(step, name).map(|state| From::Stage(Box::new(state))),
        }
    }

    /// The root of another stage, or of an image.
    pub(super) fn root_of(&self, step: &Step, name: &str) -> Result<State> {
        if let Some(index) = self.build.dockerfile.stage(name, self.index) {
            return Ok(State::clone(&*self.board.wait(index)?));
        }
        let image = self.build.image(name, None).map_err(|error| {
            let what = format!("`{name}` is neither a stage above this one nor an image: {error}");
            error.context(Problem::new(&step.place, what).at(name.to_owned()))
        })?;
        let parts = self.build.engine.store().parts(&image)?;
        Ok(State {
            key: self.build.begin(&format!("image {}", parts.document.rootfs.diff_ids.join(" "))),
            dirs: image.layers.clone(),
            created: None,
            document: parts.document,
            layers: parts.layers,
            bytes: parts.bytes,
            variables: super::arguments::Variables::default(),
        })
    }

    /// Copies, unless an earlier build did the same; whether it did.
    fn copy_from(
        &mut self,
        step: &Step,
        copy: &Copy,
        source: &Source<'_>,
        known: &Known,
        owners: bool,
        identity: &str,
    ) -> Result<bool> {
        let destination = self.destination(copy);
        let mut found = Vec::new();
        let mut remotes = self.remotes(step, copy)?;
        for text in copy.sources.iter().filter(|text| !copy.add || !is_remote(text)) {
            found.extend(source.select(text).map_err(|why| missing(step, text, why))?);
        }
        self.check_destination(step, copy, found.len() + remotes.len())?;
        let mut key = format!(
            "{}\ncopy {destination} {:?} {:?} {} {} {:?} {}",
            self.state.key, copy.chown, copy.chmod, copy.parents, copy.add, copy.exclude, owners
        );
        key.extend(copy.unpack.map(|unpack| format!(" unpack={unpack}")));
        key.extend(remotes.iter().map(Remote::key));
        for document in &copy.documents {
            key += &format!("\ndocument {:?} {:?}", document.name, document.content);
        }
        for found in &found {
            let inputs = match owners {
                // What has made the stage says as much as reading all of it.
                true => Digest::of(identity.as_bytes()),
                false => digest(source, found, known, false).context("read the context")?,
            };
            key += &format!("\nfile {:?} {inputs}", String::from_utf8_lossy(&found.path));
        }
        let key = Digest::of(key.as_bytes());
        let by = self.by(copy, &destination);
        if self.take(key, &by)? {
            return Ok(true);
        }
        let upper = self.on_root(|overlay| {
            let how = self.how(step, copy, overlay, owners)?;
            let mut target = Target::new(overlay.as_fd(), how);
            self.place(step, copy, source, &found, &destination, &mut target, overlay)?;
            remotes
                .iter_mut()
                .try_for_each(|remote| self.place_remote(step, copy, remote, &destination, &mut target, overlay))
        })?;
        self.push(key, upper, by)?;
        Ok(false)
    }

    fn by(&self, copy: &Copy, destination: &str) -> String {
        let keyword = if copy.add { "ADD" } else { "COPY" };
        let mut words = vec![keyword.to_owned()];
        words.extend(copy.chown.iter().map(|chown| format!("--chown={chown}")));
        words.extend(copy.chmod.iter().map(|chmod| format!("--chmod={chmod}")));
        words.extend(copy.sources.iter().cloned());
        words.extend(copy.documents.iter().map(|document| format!("<<{}", document.name)));
        let destination = if copy.destination.starts_with('/') { &copy.destination } else { destination };
        words.push(destination.to_owned());
        words.join(" ")
    }

    /// Absolute; with a slash at its end when it has to be a folder.
    fn destination(&self, copy: &Copy) -> String {
        let folder = copy.destination.ends_with('/')
            || [".", ".."]
                .iter()
                .any(|dots| copy.destination == *dots || copy.destination.ends_with(&format!("/{dots}")));
        let path = self.absolute(&copy.destination);
        if folder && path != "/" { path + "/" } else { path }
    }

    fn check_destination(&self, step: &Step, copy: &Copy, found: usize) -> Result<()> {
        let several = found + copy.documents.len() > 1;
        let folder = self.destination(copy).ends_with('/');
        if several && !folder {
            let what = "several sources need a folder as their destination";
            let problem = Problem::new(&step.place, what).at(copy.destination.clone());
            return Err(problem.help(format!("write `{}/`", copy.destination)).into());
        }
        Ok(())
    }

    fn how(&self, step: &Step, copy: &Copy, overlay: &Overlay, owners: bool) -> Result<How> {
        let owner = match &copy.chown {
            Some(chown) => Some(owner(overlay, chown).map_err(|error| {
                let what = format!("`--chown={chown}`: {error:#}");
                error.context(Problem::new(&step.place, what).at(chown.clone()))
            })?),
            None => (!owners).then_some((0, 0)),
        };
        let mode = match &copy.chmod {
            Some(chmod) => Some(octal(chmod).ok_or_else(|| {
                let what = format!("`--chmod={chmod}` is not a mode");
                Problem::new(&step.place, what).at(chmod.clone()).help("write it in octal: 755, 0644")
            })?),
            None => None,
        };
        Ok(How { owner, mode, attributes: owners, latest: self.build.epoch.map(|epoch| epoch.as_second()) })
    }
}

fn missing(step: &Step, text: &str, why: Missing) -> anyhow::Error {
    let problem = Problem::new(&step.place, why.to_string()).at(text.to_owned());
    match &why {
        Missing::Nothing(_) | Missing::NoMatch(_) => {
            problem.help("paths are relative to the context (with `--from`, to that root)").into()
        }
        Missing::Ignored(_) => problem.help("put an exception (`!…`) for it into `.dockerignore`").into(),
        _ => problem.into(),
    }
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777 && !text.starts_with('+'))
}

/// By the stage's own passwd and group. A number alone is the group's too.
fn owner(overlay: &Overlay, text: &str) -> Result<(u32, u32)> {
    let text = match text.parse::<u32>() {
        Ok(_) => format!("{text}:{text}"),
        Err(_) => text.to_owned(),
    };
    let user = User::lookup(overlay.as_fd(), &text)?;
    Ok((user.uid.as_raw(), user.gid.as_raw()))
}
