//! What is wrong with a Dockerfile, shown at its place.

use std::fmt;

/// A part of a Dockerfile's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's name, as the user gave it.
    pub file: String,
    /// The first line, from 1.
    pub line: usize,
    /// The lines of the instruction as they stand in the file.
    pub text: Vec<String>,
}

/// An error of a Dockerfile: what, where, and what to do.
///
/// Its text has the line and a caret below what is wrong:
///
/// ```text
/// Dockerfile:3: there is no instruction `RNU`
///    3 | RNU echo hi
///      | ^^^
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    what: String,
    place: Place,
    token: Option<String>,
    help: Option<String>,
}

impl Problem {
    /// `what` is wrong with the instruction at `place`.
    pub fn new(place: &Place, what: impl Into<String>) -> Self {
        Self(Box::new(Parts { what: what.into(), place: place.clone(), token: None, help: None }))
    }

    /// Points at the first occurrence of `token` instead of at the whole line.
    #[must_use]
    pub fn at(mut self, token: impl Into<String>) -> Self {
        self.0.token = Some(token.into()).filter(|token| !token.is_empty());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// What to do about it, if that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The line of the instruction, the text before the caret, and the text above it.
    fn spot(&self) -> (usize, usize, usize) {
        if let Some(token) = &self.0.token {
            for (index, line) in self.0.place.text.iter().enumerate() {
                if let Some(at) = line.find(token.as_str()) {
                    return (index, width(&line[..at]), width(token));
                }
            }
        }
        let first = self.0.place.text.first().map_or("", String::as_str);
        let indent = first.len() - first.trim_start().len();
        (0, width(&first[..indent]), width(first.trim()))
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, before, length) = self.spot();
        let number = self.0.place.line + index;
        write!(f, "{}:{number}: {}", self.0.place.file, self.0.what)?;
        let Some(line) = self.0.place.text.get(index) else { return Ok(()) };
        // A tab or an escape sequence of the file must not move the caret, nor speak to the terminal.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "\n{number:>4} | {line}\n     | {}{}", " ".repeat(before), "^".repeat(length.max(1)))
    }
}

impl std::error::Error for Problem {}
