//! The pages of the table of contents, and their fenced blocks.

use crate::folder;
use anyhow::{Context, Result};
use regex::Regex;
use std::fs;
use std::path::PathBuf;

/// One page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its file's name without `.md`.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Its source.
    pub text: String,
}

/// A fenced block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// What stands behind the fence: `console,needs=root`.
    pub info: String,
    /// What is between the fences.
    pub lines: Vec<String>,
}

/// The pages that `SUMMARY.md` names, in its order.
///
/// # Errors
/// A page that is not there.
pub fn pages() -> Result<Vec<Page>> {
    let source = folder().join("src");
    let summary = fs::read_to_string(source.join("SUMMARY.md")).context("read the table of contents")?;
    let link = Regex::new(r"\]\(([^)]+)\.md\)").expect("a regular expression");
    let names = link.captures_iter(&summary).map(|found| found[1].to_owned());
    names
        .map(|name| {
            let path = source.join(format!("{name}.md"));
            let text = fs::read_to_string(&path).with_context(|| format!("read the page `{}`", path.display()))?;
            Ok(Page { name, path, text })
        })
        .collect()
}

impl Page {
    /// Its fenced blocks, in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => {
                    open = Some(Block { line: index + 1, info: info.trim().to_owned(), lines: Vec::new() });
                }
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => block.lines.push(line.to_owned()),
                (None, None) => {}
            }
        }
        blocks
    }
}
