//! What a pull or push shows: a bar for each layer on a terminal, plain lines elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use step07_images::Digest;
use step07_images::registry::{Progress, Step};

/// Shows the layers of one image on their way.
pub(super) struct Display {
    quiet: bool,
    /// For `run`, whose standard output is the program's.
    on_stderr: bool,
    pushing: bool,
    bars: Option<MultiProgress>,
    layers: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Display {
    pub(super) fn new(quiet: bool, on_stderr: bool) -> Self {
        let terminal = if on_stderr { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        let target = if on_stderr { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::stdout() };
        let bars = (terminal && !quiet).then(|| MultiProgress::with_draw_target(target));
        Self { quiet, on_stderr, pushing: false, bars, layers: Mutex::default() }
    }

    pub(super) fn pushing(self) -> Self {
        Self { pushing: true, ..self }
    }

    /// A line of its own, above the bars.
    pub(super) fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        let _reader_is_gone = match self.on_stderr {
            true => writeln!(std::io::stderr(), "{text}"),
            false => writeln!(std::io::stdout(), "{text}"),
        };
    }

    fn words(&self, step: Step) -> &'static str {
        match (step, self.pushing) {
            (Step::Waiting, false) => "Pulling fs layer",
            (Step::Waiting, true) => "Preparing",
            (Step::Moving { .. }, false) => "Downloading",
            (Step::Moving { .. }, true) => "Pushing",
            (Step::Exists, false) => "Already exists",
            (Step::Exists, true) => "Layer already exists",
            (Step::Mounted, _) => "Mounted from another repository",
            (Step::Done, false) => "Pull complete",
            (Step::Done, true) => "Pushed",
        }
    }

    fn bar(&self, bars: &MultiProgress, layer: Digest, step: Step) {
        let words = self.words(step);
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = layers.entry(layer).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_prefix(layer.short());
            bar.set_style(style("{prefix}: {msg}"));
            bar
        });
        match step {
            Step::Moving { done, total } => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                    bar.set_style(style("{prefix}: {msg} [{bar:40}] {bytes}/{total_bytes}").progress_chars("=> "));
                    bar.set_message(words);
                }
                bar.set_position(done);
            }
            Step::Waiting => bar.set_message(words),
            _ => {
                bar.set_style(style("{prefix}: {msg}"));
                bar.finish_with_message(words);
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Display {
    fn layer(&self, layer: Digest, step: Step) {
        if let Some(bars) = &self.bars {
            return self.bar(bars, layer, step);
        }
        if matches!(step, Step::Moving { .. }) {
            return;
        }
        self.line(&format!("{}: {}", layer.short(), self.words(step)));
    }
}
