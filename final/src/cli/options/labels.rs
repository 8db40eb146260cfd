//! Labels, and other pairs of a name and a value.

use crate::report::Refusal;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The labels of files, one a line, and the given ones: a later one replaces an earlier one.
pub(crate) fn labels(files: &[PathBuf], given: &[String]) -> Result<BTreeMap<String, String>> {
    let mut lines = Vec::new();
    for file in files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read the label file `{}`", file.display()))?;
        let entries = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.extend(entries.map(str::to_owned));
    }
    lines.extend(given.iter().cloned());
    pairs(&lines)
}

/// `NAME=VALUE` or `NAME` alone, which has an empty value.
pub(crate) fn pairs(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.trim().is_empty() {
            return Err(Refusal::new(format!("`{text}` has no name")).help("write NAME=VALUE").into());
        }
        Ok((name.trim().to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}
