//! Holes: the bodies that a student fills in, between two lines of the reference's source.
//!
//! ```text
//! pub fn enter(&self) -> Result<(), Failure<'_>> {
//!     // ANCHOR: task1_enter
//!     … the solution …
//!     // ANCHOR_END: task1_enter
//! }
//! ```
//!
//! The lines are mdBook anchors whose names begin with `taskN_`. The starter, the wrong solutions and the last hint are all made
//! from them, so there is no second copy of a solution that could drift.

use anyhow::{Context, Result, ensure};

/// One hole of a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// `task1_enter`.
    pub name: String,
    /// The task that it belongs to.
    pub task: u8,
    /// Where its first line is in the file, from 1.
    pub line: usize,
    /// The solution: whole lines, with their indentation.
    pub body: String,
}

/// The holes of a source text, in order.
///
/// # Errors
/// For an anchor that is not closed, or whose name has no number.
pub fn find(text: &str) -> Result<Vec<Hole>> {
    let mut holes = Vec::new();
    let mut open: Option<Hole> = None;
    for (above, line) in text.lines().enumerate() {
        match (mark(line), open.take()) {
            (Some(Mark::Begin(name)), None) => {
                open = Some(Hole { name: name.to_owned(), task: task(name)?, line: above + 2, body: String::new() });
            }
            (Some(Mark::End(name)), Some(hole)) if hole.name == name => holes.push(hole),
            (None, Some(mut hole)) => {
                hole.body.extend([line, "\n"]);
                open = Some(hole);
            }
            (None, None) => {}
            (Some(Mark::Begin(name) | Mark::End(name)), _) => anyhow::bail!("the anchors of `{name}` do not match"),
        }
    }
    ensure!(open.is_none(), "the anchor of `{}` is not closed", open.map_or_else(String::new, |hole| hole.name));
    Ok(holes)
}

/// The text with the bodies that `replacement` gives in place of the holes' own. The marks stay.
///
/// # Errors
/// As [`find`].
pub fn replace(text: &str, mut replacement: impl FnMut(&Hole) -> Option<String>) -> Result<String> {
    let mut holes = find(text)?.into_iter();
    let (mut result, mut inside) = (String::new(), false);
    for line in text.lines() {
        match mark(line) {
            Some(Mark::Begin(_)) => {
                let hole = holes.next().context("a mark without a hole")?;
                let indent = &line[..line.len() - line.trim_start().len()];
                result.extend([line, "\n"]);
                result.push_str(&replacement(&hole).map_or(hole.body, |body| indented(&body, indent)));
                inside = true;
            }
            Some(Mark::End(_)) => {
                result.extend([line, "\n"]);
                inside = false;
            }
            None if inside => {}
            None => result.extend([line, "\n"]),
        }
    }
    Ok(result)
}

/// `body`, whose first line has no indentation, at `indent`.
fn indented(body: &str, indent: &str) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") };
    body.trim_matches('\n').lines().map(line).collect()
}

/// The body without the indentation that all its lines share.
#[must_use]
pub fn dedented(body: &str) -> String {
    let lines = || body.lines().filter(|line| !line.trim().is_empty());
    let shared = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    body.lines().map(|line| format!("{}\n", line.get(shared..).unwrap_or_default())).collect()
}

enum Mark<'a> {
    Begin(&'a str),
    End(&'a str),
}

fn mark(line: &str) -> Option<Mark<'_>> {
    let comment = line.trim().strip_prefix("// ")?;
    let of = |prefix: &str| comment.strip_prefix(prefix).map(str::trim).filter(|name| name.starts_with("task"));
    of("ANCHOR: ").map(Mark::Begin).or_else(|| of("ANCHOR_END: ").map(Mark::End))
}

fn task(name: &str) -> Result<u8> {
    let number =
        name.strip_prefix("task").and_then(|rest| rest.split_once('_')).and_then(|(number, _)| number.parse().ok());
    number.with_context(|| format!("the anchor `{name}` is not called `taskN_name`"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "fn a() {\n    // ANCHOR: task1_a\n    one();\n    // ANCHOR_END: task1_a\n}\n// ANCHOR: text\n// ANCHOR_END: text\n";

    #[test]
    fn a_body_is_found_and_replaced() {
        let holes = find(TEXT).unwrap();
        assert_eq!(holes, [Hole { name: "task1_a".into(), task: 1, line: 3, body: "    one();\n".into() }]);
        let cut = replace(TEXT, |_| Some("if x {\n    two();\n}".into())).unwrap();
        assert!(cut.contains("    // ANCHOR: task1_a\n    if x {\n        two();\n    }\n    // ANCHOR_END"), "{cut}");
        assert_eq!(replace(TEXT, |_| None).unwrap(), TEXT);
        assert_eq!(replace(&cut, |hole| Some(dedented(&hole.body))).unwrap(), cut);
    }

    #[test]
    fn marks_that_do_not_match_are_refused() {
        for wrong in [
            "// ANCHOR: task1_a\n",
            "// ANCHOR_END: task1_a\n",
            "// ANCHOR: task1_a\n// ANCHOR_END: task1_b\n",
            "// ANCHOR: tasks\n",
        ] {
            assert!(find(wrong).is_err(), "{wrong}");
        }
    }
}
