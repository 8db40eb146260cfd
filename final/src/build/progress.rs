//! What a build says while it runs: BuildKit's plain lines, or one line that changes on a terminal.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Line by line.
    Plain,
    /// One line a step; output only of a step that fails.
    Compact,
    /// Nothing.
    Quiet,
}

impl Form {
    /// Compact on a terminal, else plain.
    #[must_use]
    pub fn auto() -> Self {
        if stderr().is_terminal() { Self::Compact } else { Self::Plain }
    }
}

/// Lines of a failed step that the compact form shows.
const LAST: usize = 20;

/// Says what the build does, on standard error.
#[derive(Debug)]
pub struct Progress {
    form: Form,
    number: AtomicUsize,
    turn: Mutex<()>,
}

impl Progress {
    /// Says it in this form.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self { form, number: AtomicUsize::new(1), turn: Mutex::new(()) }
    }

    /// Begins a step.
    pub(super) fn begin(&self, title: &str) -> Vertex<'_> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        // What an instruction says on several lines is one here, and speaks to no terminal.
        let title: String = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match self.form {
            Form::Plain => self.write(&format!("#{number} {title}\n")),
            Form::Compact => self.write(&format!("\r\x1b[K => {title}")),
            Form::Quiet => {}
        }
        Vertex { progress: self, number, title, began: Instant::now(), last: Mutex::default() }
    }

    fn write(&self, text: &str) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _reader_is_gone = stderr().write_all(text.as_bytes());
    }
}

/// A step under way.
#[derive(Debug)]
pub(super) struct Vertex<'a> {
    progress: &'a Progress,
    number: usize,
    title: String,
    began: Instant,
    last: Mutex<VecDeque<String>>,
}

impl Vertex<'_> {
    /// A line of output.
    pub(super) fn output(&self, line: &str) {
        match self.progress.form {
            Form::Plain => {
                let seconds = self.began.elapsed().as_secs_f64();
                self.progress.write(&format!("#{} {seconds:.3} {line}\n", self.number));
            }
            Form::Compact | Form::Quiet => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.len() == LAST {
                    last.pop_front();
                }
                last.push_back(line.to_owned());
            }
        }
    }

    /// Something about it.
    pub(super) fn note(&self, text: &str) {
        if self.progress.form == Form::Plain {
            self.progress.write(&format!("#{} {text}\n", self.number));
        }
    }

    pub(super) fn cached(self) {
        match self.progress.form {
            Form::Plain => self.progress.write(&format!("#{} CACHED\n\n", self.number)),
            Form::Compact => self.progress.write(&format!("\r\x1b[K => CACHED {}\n", self.title)),
            Form::Quiet => {}
        }
    }

    pub(super) fn done(self) {
        let seconds = self.began.elapsed().as_secs_f64();
        match self.progress.form {
            Form::Plain => self.progress.write(&format!("#{} DONE {seconds:.1}s\n\n", self.number)),
            Form::Compact => self.progress.write(&format!("\r\x1b[K => {} {seconds:.1}s\n", self.title)),
            Form::Quiet => {}
        }
    }

    pub(super) fn failed(self, why: &str) {
        match self.progress.form {
            Form::Plain => self.progress.write(&format!("#{} ERROR: {why}\n\n", self.number)),
            Form::Compact | Form::Quiet => {
                let last = self.last.into_inner().unwrap_or_else(PoisonError::into_inner);
                let output: String = last.iter().map(|line| format!("    {line}\n")).collect();
                let front = if self.progress.form == Form::Compact { "\r\x1b[K" } else { "" };
                self.progress.write(&format!("{front} => ERROR {}\n{output}", self.title));
            }
        }
    }
}
