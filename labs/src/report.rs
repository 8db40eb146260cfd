//! Outcomes for people.

use crate::catalogue::Lab;
use crate::check::{Outcome, Place, first_failure, points, short};
use std::io::IsTerminal;

/// Colours, where standard output is a terminal and nobody has asked for none.
#[derive(Debug, Clone, Copy)]
pub struct Ink(bool);

impl Ink {
    /// For standard output.
    #[must_use]
    pub fn of_stdout() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.0
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Good.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Bad.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Beside the point.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// A heading.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// The result of `cargo lab check`.
#[must_use]
pub fn outcomes(lab: &Lab, outcomes: &[Outcome], ink: Ink) -> String {
    let first = first_failure(outcomes);
    let mut text = format!("{}\n", ink.bold(&format!("lab {} · {}", lab.number, lab.title)));
    for task in &lab.tasks {
        let of_task: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.task == task.number).collect();
        if of_task.is_empty() {
            continue;
        }
        text += &format!("\ntask {} · {}\n", task.number, task.title);
        of_task.iter().for_each(|outcome| text += &line(outcome, first, ink));
    }
    text += "\n";
    outcomes.iter().filter(|outcome| outcome.task == 0).for_each(|outcome| text += &line(outcome, first, ink));
    let (had, possible) = points(outcomes);
    let left_out = outcomes.iter().filter(|outcome| outcome.passed.is_none()).count();
    text += &format!("\n{had} of {possible} points");
    if left_out == 1 {
        text += ", 1 check could not run here";
    } else if left_out > 1 {
        text += &format!(", {left_out} checks could not run here");
    }
    text + "\n"
}

fn line(outcome: &Outcome, first: Option<&Outcome>, ink: Ink) -> String {
    let place = if outcome.place == Place::Machine { " (in the machine)" } else { "" };
    let points = ink.dim(&format!("{} point{}{place}", outcome.points, if outcome.points == 1 { "" } else { "s" }));
    match outcome.passed {
        Some(true) => format!("  {} {:<34} {points}\n", ink.green("✓"), outcome.id),
        None => format!(
            "  {} {:<34} could not run here: {}\n",
            ink.dim("–"),
            outcome.id,
            outcome.message.lines().next().unwrap_or_default()
        ),
        Some(false) if !outcome.waits_for.is_empty() => {
            format!(
                "  {} {:<34} {}\n",
                ink.red("✗"),
                outcome.id,
                ink.dim(&format!("after {}", outcome.waits_for.join(", ")))
            )
        }
        Some(false) if first == Some(outcome) => {
            format!("  {} {:<34} {points}\n{}", ink.red("✗"), outcome.id, details(outcome))
        }
        Some(false) => format!("  {} {:<34} {points}\n", ink.red("✗"), outcome.id),
    }
}

/// Why a check failed.
#[must_use]
pub fn details(outcome: &Outcome) -> String {
    let mut text = format!("      {}\n", outcome.says);
    if let Some(words) = short(&outcome.message) {
        text += &format!("      {words}\n");
    }
    if let (Some(expected), Some(observed)) = (&outcome.expected, &outcome.observed) {
        text += &format!("      expected  {expected}\n      observed  {observed}\n");
    }
    text
}
