//! The graph of stages: those that the target needs, each on a thread of its own.

use super::Build;
use super::arguments::{Variables, at_word, of_platform};
use super::stage::{Stage, State};
use anyhow::{Result, anyhow};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use step07_images::build::{Copy, Instruction, Problem, Run};

/// The results of stages, as they come.
pub(super) struct Board {
    slots: Mutex<Vec<Slot>>,
    changed: Condvar,
}

#[derive(Clone)]
enum Slot {
    Waiting,
    Done(Arc<State>),
    /// The reason is reported by the stage itself.
    Failed,
}

impl Board {
    /// Waits for the stage `index`.
    pub(super) fn wait(&self, index: usize) -> Result<Arc<State>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match slots.get(index) {
                Some(Slot::Done(state)) => return Ok(Arc::clone(state)),
                Some(Slot::Waiting) => slots = self.changed.wait(slots).unwrap_or_else(PoisonError::into_inner),
                _ => return Err(anyhow!(Abandoned)),
            }
        }
    }

    fn set(&self, index: usize, slot: Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = slots.get_mut(index) {
            *place = slot;
        }
        self.changed.notify_all();
    }

    /// Whether some stage has failed: then nothing new is begun.
    pub(super) fn failed(&self) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().any(|slot| matches!(slot, Slot::Failed))
    }
}

/// A stage that was given up because another one failed.
#[derive(Debug, thiserror::Error)]
#[error("another stage has failed")]
pub(super) struct Abandoned;

impl Build<'_> {
    /// Builds the target.
    pub(super) fn target(&self) -> Result<Arc<State>> {
        let globals = self.globals()?;
        let target = self.target_index()?;
        let needed = self.needed(target, &globals)?;
        let board =
            Board { slots: Mutex::new(vec![Slot::Waiting; self.dockerfile.stages.len()]), changed: Condvar::new() };
        let mut errors: Vec<anyhow::Error> = std::thread::scope(|scope| {
            let (others, globals, board) = (needed.iter().copied().filter(|index| *index != target), &globals, &board);
            let build = |index: usize| {
                let built = Stage::new(self, board, scope, globals, index).build();
                match built {
                    Ok(state) => {
                        board.set(index, Slot::Done(Arc::new(state)));
                        None
                    }
                    Err(error) => {
                        board.set(index, Slot::Failed);
                        Some(error)
                    }
                }
            };
            let threads: Vec<_> = others.map(|index| scope.spawn(move || build(index))).collect();
            let own = build(target);
            let of_others = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Some(anyhow!("a thread has panicked"))));
            of_others.chain([own]).flatten().collect()
        });
        // The first that is a reason of its own.
        let own = errors.iter().position(|error| !error.is::<Abandoned>());
        match own.map(|index| errors.swap_remove(index)) {
            Some(error) => Err(error),
            None => board.wait(target),
        }
    }

    fn target_index(&self) -> Result<usize> {
        let stages = &self.dockerfile.stages;
        let Some(word) = &self.request.target else { return Ok(stages.len() - 1) };
        self.dockerfile.stage(word, stages.len()).ok_or_else(|| {
            let names: Vec<&str> = stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
            let refusal = crate::report::Refusal::new(format!("the Dockerfile has no stage `{word}`"));
            refusal.help(format!("its stages are [{}]", names.join(" "))).into()
        })
    }

    /// `ARG`s before the first `FROM`, and what the platform says.
    fn globals(&self) -> Result<BTreeMap<String, String>> {
        let stage = self.request.target.as_deref().unwrap_or("default");
        let platform = of_platform(self.request.platform.as_deref(), stage);
        let mut variables = Variables { arguments: platform };
        for step in &self.dockerfile.arguments {
            let Instruction::Arg(list) = &step.instruction else { continue };
            for (name, default) in list {
                self.consume(name);
                let value = match (self.request.arguments.get(name), default) {
                    (Some(given), _) => Some(given.clone()),
                    (None, Some(default)) => {
                        let escape = self.dockerfile.directives.escape;
                        let expanded = variables.expand(escape, &[], &self.request.arguments, |to| to.word(default));
                        Some(expanded.map_err(|why| at_word(&step.place, default, why))?)
                    }
                    (None, None) => None,
                };
                if let Some(value) = value {
                    variables.arguments.insert(name.clone(), value);
                }
            }
        }
        Ok(variables.arguments)
    }

    pub(super) fn consume(&self, name: &str) {
        self.consumed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    /// The image that a `FROM` names, variables put in.
    pub(super) fn base_of(&self, index: usize, globals: &BTreeMap<String, String>) -> Result<String> {
        let stage = &self.dockerfile.stages[index];
        let Instruction::From { image, .. } = &stage.from.instruction else { return Ok(String::new()) };
        let variables = Variables { arguments: globals.clone() };
        let escape = self.dockerfile.directives.escape;
        let expanded = variables.expand(escape, &[], &BTreeMap::new(), |to| to.word(image));
        let expanded = expanded.map_err(|why| at_word(&stage.from.place, image, why))?;
        if expanded.is_empty() {
            let what = format!("FROM: `{image}` is empty");
            return Err(Problem::new(&stage.from.place, what).at(image.clone()).help("give the ARG a value").into());
        }
        Ok(expanded)
    }

    /// The target and all that it needs.
    fn needed(&self, target: usize, globals: &BTreeMap<String, String>) -> Result<BTreeSet<usize>> {
        let mut needed = BTreeSet::new();
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            if !needed.insert(index) {
                continue;
            }
            open.extend(self.dockerfile.stage(&self.base_of(index, globals)?, index));
            for step in &self.dockerfile.stages[index].steps {
                let words: Vec<String> = match &step.instruction {
                    Instruction::Copy(Copy { from: Some(from), .. }) => vec![from.clone()],
                    Instruction::Run(Run { mounts, .. }) => mounts.iter().filter_map(|mount| from_of(mount)).collect(),
                    _ => Vec::new(),
                };
                for word in words {
                    // Names of stages are known before anything runs: only global arguments count here.
                    let variables = Variables { arguments: globals.clone() };
                    let escape = self.dockerfile.directives.escape;
                    let name = variables.expand(escape, &[], &BTreeMap::new(), |to| to.word(&word)).unwrap_or(word);
                    open.extend(self.dockerfile.stage(&name, index));
                }
            }
        }
        Ok(needed)
    }
}

/// `from=` of a `--mount`.
fn from_of(mount: &str) -> Option<String> {
    mount.split(',').find_map(|pair| pair.strip_prefix("from=")).map(str::to_owned)
}
