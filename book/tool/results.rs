//! What the bench has measured, as the pages show it: `bench/results/KIND.json`, and `explained.json` of `tara run --explain`.
//!
//! No number of a page is typed by hand: a directive names a subject, and the numbers are those of the newest run that
//! was taken in by `cargo book figures`.

use crate::folder;
use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// One run of the bench: of its form, what the book needs.
#[derive(Debug, Deserialize)]
pub(crate) struct Results {
    kind: String,
    when: String,
    machine: Machine,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    kernel: String,
    processors: usize,
    cgroups: String,
}

/// A subject and what was measured of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    unit: String,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Summary {
    count: usize,
    median: f64,
    p90: f64,
}

/// A start, followed call by call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explained {
    pub(crate) command: Vec<String>,
    pub(crate) calls: Vec<Call>,
}

/// One system call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// `host`, `thread`, `child`.
    pub(crate) by: String,
    /// Microseconds after the begin of the program.
    pub(crate) at: f64,
    /// Microseconds.
    pub(crate) took: f64,
    pub(crate) name: String,
    pub(crate) why: Option<Why>,
}

/// Why it was made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Why {
    pub(crate) doing: String,
    pub(crate) step: Option<u8>,
}

fn stored(name: &str) -> PathBuf {
    folder().join("../bench/results").join(name).with_extension("json")
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` has not the form of the bench", path.display()))
}

/// Takes a file in, by what it holds, and gives where it is now.
///
/// # Errors
/// When it is neither a run of the bench nor an explained start.
pub fn take_in(path: &Path) -> Result<PathBuf> {
    if let Ok(explained) = read::<Explained>(path) {
        // Without the arguments: they are most of the file, and no page shows them.
        let to = stored("explained");
        fs::write(&to, serde_json::to_string(&explained)? + "\n")
            .with_context(|| format!("write `{}`", to.display()))?;
        return Ok(to);
    }
    let kind = read::<Results>(path)?.kind;
    ensure!(kind.chars().all(|letter| letter.is_ascii_lowercase()), "`{kind}` is no kind of the bench");
    let to = stored(&kind);
    if !(to.exists() && fs::canonicalize(path)? == fs::canonicalize(&to)?) {
        fs::copy(path, &to).with_context(|| format!("copy it to `{}`", to.display()))?;
    }
    Ok(to)
}

impl Explained {
    /// The start that is kept.
    pub(crate) fn stored() -> Result<Self> {
        read(&stored("explained"))
    }
}

impl Results {
    /// The newest run of this kind.
    pub(crate) fn stored(kind: &str) -> Result<Self> {
        read(&stored(kind))
    }

    /// The subject called `name`.
    pub(crate) fn row(&self, name: &str) -> Result<&Row> {
        let found = self.rows.iter().find(|row| row.name == name);
        found.with_context(|| format!("the bench's `{}` has no subject `{name}`", self.kind))
    }

    /// When, where, and how far the times can be trusted.
    pub(crate) fn note(&self) -> String {
        let rounds = self.rows.iter().map(|row| row.summary.count).max().unwrap_or_default();
        let day = self.when.get(..10).unwrap_or_default();
        let Machine { kernel, processors, cgroups } = &self.machine;
        let kernel: Vec<&str> = kernel.split(['.', '-']).take(2).collect();
        let version = kernel.join(".");
        let mut note =
            format!("medians of {rounds} rounds, {day}, {processors} processors, Linux {version}, cgroups {cgroups}");
        if self.is_noisy() {
            note.push_str("; other programs were at work, so read the ratios and not the times");
        }
        note
    }

    /// A program that does nothing takes the same time each time, unless others are in the way.
    fn is_noisy(&self) -> bool {
        self.row("the program alone").is_ok_and(|row| row.summary.p90 > 1.5 * row.summary.median)
    }
}

impl Row {
    /// Milliseconds.
    pub(crate) fn ms(&self) -> Result<f64> {
        match self.unit.as_str() {
            "µs" => Ok(self.summary.median / 1e3),
            other => bail!("`{}` is measured in {other}", self.name),
        }
    }
}

/// Two or three digits that count: more would be noise.
pub(crate) fn rounded(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{:.0}", (value / 10.0).round() * 10.0),
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_they_are_good_for() {
        let rounded: Vec<String> = [349.82, 10.18, 4.44, 0.254].map(rounded).into();
        assert_eq!(rounded, ["350", "10", "4.4", "0.25"]);
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        let error = take_in(&folder().join("book.toml")).expect_err("no results");
        assert!(format!("{error:#}").contains("has not the form of the bench"), "{error:#}");
    }

    #[test]
    fn the_stored_run_says_where_it_was_made() {
        let results = Results::stored("startup").expect("it is in the repository");
        assert!(results.note().contains("processors, Linux 6."), "{}", results.note());
        assert!(results.row("tara, bridge").expect("a subject").ms().expect("a time") > 0.0);
        assert!(results.row("no such").is_err());
    }
}
