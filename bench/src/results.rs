//! What was measured, as it is written to a file and read again.

use crate::facts::Facts;
use crate::rounds::Measured;
use crate::statistics::{Summary, ratio};
use crate::subject::{Group, Missing};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The form of the file. It changes when an older program would misread it.
const VERSION: u32 = 1;

/// One run of the bench.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// The subcommand.
    pub(crate) kind: String,
    /// When.
    pub(crate) when: String,
    /// Where.
    pub(crate) machine: Facts,
    /// Subjects, in groups.
    pub(crate) rows: Vec<Row>,
    /// Curves of `scaling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) curves: Vec<Curve>,
    /// The parts of one start, of `tara run --explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<Part>,
    /// Who did not take part, and why.
    pub(crate) missing: Vec<Missing>,
}

/// A subject and its measurements.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The subject.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) group: Group,
    /// What the numbers count: `µs`, `KiB`.
    pub(crate) unit: String,
    /// In a few numbers.
    pub(crate) summary: Summary,
    /// The floor of the same set-up, how often it is that, and the interval of 95 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<Ratio>,
    /// All of them, in the order of the rounds.
    pub(crate) samples: Vec<f64>,
}

/// A quotient of medians.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// The subject that is 1.
    pub(crate) to: String,
    /// How often.
    pub(crate) is: f64,
    /// The interval of 95 %.
    pub(crate) interval: (f64, f64),
}

/// How a number grows with another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Curve {
    /// What is measured.
    pub(crate) name: String,
    /// What grows: `layers`.
    pub(crate) axis: String,
    /// (how many, microseconds).
    pub(crate) points: Vec<(f64, Summary)>,
}

/// What belongs together of a start: the calls with the same words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    /// `host`, `thread`, `child`.
    pub(crate) by: String,
    /// The words.
    pub(crate) doing: String,
    /// Microseconds after the beginning.
    pub(crate) at: f64,
    /// From the begin of its first call to the end of its last.
    pub(crate) took: f64,
}

impl Results {
    /// None yet.
    pub(crate) fn new(kind: &str, missing: Vec<Missing>) -> Self {
        let when = jiff::Timestamp::now().to_string();
        Self {
            version: VERSION,
            kind: kind.to_owned(),
            when,
            machine: Facts::here(),
            rows: Vec::new(),
            curves: Vec::new(),
            parts: Vec::new(),
            missing,
        }
    }

    /// Reads a file that this program wrote.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
        let results: Self =
            serde_json::from_str(&text).with_context(|| format!("`{}` holds no results", path.display()))?;
        if results.version != VERSION {
            bail!("`{}` has version {} of the form, this program knows {VERSION}", path.display(), results.version);
        }
        Ok(results)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("write `{}`", path.display()))
    }
}

impl Row {
    /// A row for each, in the order of the groups; the quotients are to floors of the same rounds.
    pub(crate) fn of(all: &[Measured]) -> Vec<Self> {
        let mut rows: Vec<Self> = all.iter().filter_map(|one| Self::new(one, all)).collect();
        rows.sort_by_key(|row| row.group);
        rows
    }

    fn new(one: &Measured, all: &[Measured]) -> Option<Self> {
        let to = all.iter().find(|other| Some(other.subject.name.as_str()) == one.subject.floor);
        let ratio = to.map(|to| {
            let (is, interval) = ratio(&one.samples, &to.samples);
            Ratio { to: to.subject.name.clone(), is, interval }
        });
        Some(Self { ratio, ..Self::plain(&one.subject.name, one.subject.group, "µs", &one.samples)? })
    }

    /// A row with nothing to compare with.
    pub(crate) fn plain(name: &str, group: Group, unit: &str, samples: &[f64]) -> Option<Self> {
        let summary = Summary::of(samples)?;
        let (name, unit, samples) = (name.to_owned(), unit.to_owned(), samples.to_vec());
        Some(Self { name, group, unit, summary, ratio: None, samples })
    }
}
