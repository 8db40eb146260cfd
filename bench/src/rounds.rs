//! Interleaved rounds: A B C, C A B, B C A. What drifts on the machine hits all subjects alike.

use crate::statistics::Random;
use crate::subject::{Missing, Subject};
use anyhow::Result;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    /// Rounds that count.
    pub(crate) count: usize,
    /// Rounds before, which do not.
    pub(crate) warm_up: usize,
    /// Time between two runs, in which the kernel takes away what the last one left.
    pub(crate) gap: Duration,
}

/// A subject's measurements in microseconds, in the order of the rounds.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// What was measured.
    pub(crate) subject: Subject,
    /// How long it took.
    pub(crate) samples: Vec<f64>,
}

impl Rounds {
    /// Runs them all. A subject that fails is taken out, with the reason.
    pub(crate) fn run(self, subjects: Vec<Subject>, missing: &mut Vec<Missing>) -> Result<Vec<Measured>> {
        let (progress, mut random) = (Progress::default(), Random::default());
        let mut all: Vec<Measured> =
            subjects.into_iter().map(|subject| Measured { subject, samples: Vec::new() }).collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        let mut failed = vec![false; all.len()];
        for round in 0..self.warm_up + self.count {
            random.shuffle(&mut order);
            for (done, &index) in order.iter().enumerate() {
                let counts = round.checked_sub(self.warm_up);
                let Measured { subject, samples } = &mut all[index];
                if failed[index] || counts.is_some_and(|round| !round.is_multiple_of(subject.every)) {
                    continue;
                }
                let (of, name) = (self.warm_up + self.count, &subject.name);
                progress.show(&format!("round {}/{of}, {}/{}: {name}", round + 1, done + 1, order.len()));
                std::thread::sleep(self.gap);
                match subject.run() {
                    Ok(took) => samples.extend(counts.map(|_| took.as_secs_f64() * 1e6)),
                    Err(error) => {
                        failed[index] = true;
                        missing.push(Missing { name: name.clone(), why: format!("it failed: {error:#}") });
                    }
                }
            }
        }
        progress.show("");
        let mut failed = failed.into_iter();
        all.retain(|measured| !failed.next().unwrap_or(true) && !measured.samples.is_empty());
        Ok(all)
    }
}

/// One line on the terminal that is written over; nothing elsewhere.
#[derive(Debug)]
pub(crate) struct Progress(bool);

impl Default for Progress {
    fn default() -> Self {
        Self(std::io::stderr().is_terminal())
    }
}

impl Progress {
    /// Says what is being done; nothing clears the line.
    pub(crate) fn show(&self, text: &str) {
        if self.0 {
            let _nobody_looks = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }
}
