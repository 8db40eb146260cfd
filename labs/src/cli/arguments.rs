//! What follows a command.

use crate::catalogue::{LABS, name_of};
use crate::check::Place;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `3`, `step03`, `final`.
fn lab_number(text: &str) -> Result<u8, String> {
    let number = text.strip_prefix("step").unwrap_or(text).parse().ok();
    let known = (1..=LABS).find(|known| number == Some(*known) || name_of(*known) == text);
    known.ok_or_else(|| format!("there is no lab {text}: they are 1 to {LABS}"))
}

#[derive(Args)]
pub(super) struct Number {
    /// Which lab, 1 to 8 [default: the one you began last].
    #[arg(value_parser = lab_number)]
    pub(super) lab: Option<u8>,
}

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) number: Number,
    /// Only this task.
    #[arg(long)]
    pub(super) task: Option<u8>,
    /// Where to run the checks.
    #[arg(long = "where", value_enum, default_value_t)]
    pub(super) place: Place,
}

#[derive(Args)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    pub(super) number: Number,
    /// Look at the files' times instead of asking the kernel.
    #[arg(long)]
    pub(super) poll: bool,
    /// Look when Enter is pressed.
    #[arg(long)]
    pub(super) manual: bool,
}

#[derive(Subcommand)]
pub(super) enum MachineCommand {
    /// Install and build all that is needed later without a network.
    Prepare,
}

#[derive(Args)]
pub(super) struct HintArgs {
    #[command(flatten)]
    pub(super) number: Number,
    /// For this task.
    #[arg(long)]
    pub(super) task: Option<u8>,
}

#[derive(Args)]
pub(super) struct TaskArgs {
    #[command(flatten)]
    pub(super) number: Number,
    /// Only this task.
    #[arg(long)]
    pub(super) task: Option<u8>,
}

#[derive(Args)]
pub(super) struct AttackArgs {
    #[command(flatten)]
    pub(super) number: Number,
    /// All cards against these instead: tara, crun, runc.
    #[arg(long, value_delimiter = ',')]
    pub(super) against: Vec<String>,
}

#[derive(Args)]
pub(super) struct GradeArgs {
    /// The folder with a directory or tarball for each student.
    pub(super) submissions: PathBuf,
    /// Which lab, 1 to 8.
    #[arg(long, value_parser = lab_number)]
    pub(super) lab: u8,
    /// The class: a CSV file whose first column is the name of a submission; who handed nothing in is in the grid.
    #[arg(long)]
    pub(super) roster: Option<PathBuf>,
    /// Where results are kept, so that a second run goes on [default: SUBMISSIONS.graded].
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
    /// Grade these again, whatever is known of them.
    #[arg(long, value_name = "NAME")]
    pub(super) again: Vec<String>,
    /// Where to run the checks.
    #[arg(long = "where", value_enum, default_value_t)]
    pub(super) place: Place,
    /// Seconds for one submission.
    #[arg(long, default_value_t = 180)]
    pub(super) time_limit: u64,
    /// How many at once [default: one a processor].
    #[arg(long)]
    pub(super) jobs: Option<usize>,
    /// Write a table for spreadsheets.
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Write a page with the grid of students and checks.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write GitHub Classroom's results, a file for each student, into this folder.
    #[arg(long, value_name = "DIR")]
    pub(super) github: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct MetaArgs {
    /// Only these labs.
    #[arg(value_parser = lab_number)]
    pub(super) labs: Vec<u8>,
    /// Only what has this in its name (`starter`, `wrong: no-chdir`).
    #[arg(long)]
    pub(super) only: Option<String>,
    /// Where to run the checks.
    #[arg(long = "where", value_enum, default_value_t)]
    pub(super) place: Place,
}
