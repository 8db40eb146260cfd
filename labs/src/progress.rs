//! What a student has done: one plain file, `progress.json`.

use crate::check::Outcome;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;

/// All labs that were begun, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The lab that commands without a number mean.
    pub current: Option<u8>,
    /// By number.
    pub labs: BTreeMap<u8, OfLab>,
}

/// One lab.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct OfLab {
    /// How often it was checked.
    pub checked: u32,
    /// The checks that have passed at the last time.
    pub passed: Vec<String>,
    /// The checks that have failed at the last time.
    pub failed: Vec<String>,
    /// How many hints of each task were shown.
    pub hints: BTreeMap<u8, usize>,
    /// Whether the solution was asked for.
    pub solution: bool,
}

impl Progress {
    /// Reads the file; nothing done without one.
    ///
    /// # Errors
    /// For a file that is not understood.
    pub fn load(workspace: &Workspace) -> Result<Self> {
        let path = workspace.mine.join("progress.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("understand `{}`", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read `{}`", path.display())),
        }
    }

    /// Writes the file, as a whole or not at all.
    ///
    /// # Errors
    /// write(2).
    pub fn save(&self, workspace: &Workspace) -> Result<()> {
        let path = workspace.mine.join("progress.json");
        fs::create_dir_all(&workspace.mine).with_context(|| format!("make `{}`", workspace.mine.display()))?;
        let unfinished = path.with_extension("unfinished");
        let written = fs::write(&unfinished, serde_json::to_string_pretty(self)? + "\n")
            .and_then(|()| fs::rename(&unfinished, &path));
        written.with_context(|| format!("write `{}`", path.display()))
    }

    /// What is known of a lab.
    pub fn of(&mut self, number: u8) -> &mut OfLab {
        self.labs.entry(number).or_default()
    }
}

impl OfLab {
    /// Takes down how checks ended; of those that did not run now it stays as it was.
    pub fn record(&mut self, outcomes: &[Outcome]) {
        self.checked += 1;
        for outcome in outcomes {
            self.passed.retain(|id| *id != outcome.id);
            self.failed.retain(|id| *id != outcome.id);
            match outcome.passed {
                Some(true) => self.passed.push(outcome.id.clone()),
                Some(false) => self.failed.push(outcome.id.clone()),
                None => {}
            }
        }
    }
}
