//! `tara run --explain`: every kernel call of this start, with its time, its arguments and its reason.
//!
//! This program starts itself once more and follows it from system call to system call (ptrace). What a call is for does not stand here:
//! it is the words beside the call in the code (`whilst("attach the overlay on", …)`, `phase("…")`), which the followed process
//! hands over while it runs, with the file they are in; and the file's step is the book's chapter. See [`sys::explain`].

mod call;
mod html;
mod text;
mod tracer;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;
use std::ffi::OsString;
use std::path::Path;

pub use tracer::trace;

/// How an explanation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Two columns, ours and the container's, for a terminal.
    Text,
    /// For programs.
    Json,
    /// A page with a waterfall, in one file.
    Html,
}

/// A start, explained.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The command line.
    pub command: Vec<String>,
    /// What it says about itself.
    pub note: &'static str,
    /// All calls in the order of their begin.
    pub calls: Vec<Call>,
}

/// One system call.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// Who made it.
    pub by: By,
    /// Its begin in microseconds after that of the program.
    pub at: f64,
    /// How long it took, in microseconds.
    pub took: f64,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: String,
    /// What it gave: a number, or the errno's name.
    pub result: String,
    /// Why it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
}

/// The words beside a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What was being done.
    pub doing: String,
    /// Where that is written: file and line.
    pub at: String,
    /// The step that teaches it: the book's chapter. `None` is the engine's own.
    pub step: Option<u8>,
}

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// `tara`.
    Host,
    /// A second thread of `tara`.
    Thread,
    /// The container's first process, until it becomes the program.
    Child,
}

impl By {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "tara",
            Self::Thread => "thread",
            Self::Child => "container",
        }
    }
}

const NOTE: &str = "followed by ptrace: each call takes some microseconds longer than by itself, and the whole some times as long; `bench startup` measures";

/// Whether this process is the one that is followed.
#[must_use]
pub fn is_explained() -> bool {
    std::env::var_os(sys::explain::VARIABLE).is_some()
}

/// Runs this command line once more, followed; its exit code. The explanation goes to `file`, or to standard error.
///
/// # Errors
/// When this process may not trace its child; when the file cannot be written.
pub fn run(form: Form, file: Option<&Path>) -> Result<u8> {
    let command: Vec<OsString> = std::env::args_os().collect();
    let (calls, code) = trace(&command).context("follow the start")?;
    let command = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let explanation = Explanation { command, note: NOTE, calls };
    let text = match form {
        Form::Text => text::write(&explanation),
        Form::Json => serde_json::to_string_pretty(&explanation)? + "\n",
        Form::Html => html::write(&explanation),
    };
    match file {
        Some(file) => std::fs::write(file, text).with_context(|| format!("write `{}`", file.display()))?,
        None => eprint!("{text}"),
    }
    Ok(code)
}

impl Reason {
    /// The step is in the file's name: `step03-mount-overlay/src/overlay.rs`.
    fn new(doing: String, file: &str, line: usize) -> Self {
        let step = file.split('/').find_map(|part| part.strip_prefix("step"));
        let step = step.and_then(|rest| rest.get(..2)?.parse().ok());
        Self { doing, at: format!("{file}:{line}"), step }
    }

    /// The chapter, in a word.
    #[must_use]
    pub fn chapter(&self) -> String {
        self.step.map_or_else(|| "engine".to_owned(), |step| format!("step {step}"))
    }
}
