//! The commands.

mod answers;
mod arguments;
mod attacks;
mod checking;
mod class;
mod crates;
mod machine;

use crate::catalogue::Lab;
use crate::kit::DoesNotCompile;
use crate::progress::Progress;
use crate::workspace::Workspace;
use crate::{attack, grade};
use anyhow::{Context, Result};
use arguments::{AttackArgs, CheckArgs, GradeArgs, HintArgs, MachineCommand, MetaArgs, Number, TaskArgs, WatchArgs};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const WAY: &str = "A lab goes: doctor, start, check (red), hint, check (green), attack, and on to the next.
Exit codes: 0 done, or green; 1 red; 2 it could not be done.";

/// The steps of the workshop as exercises.
#[derive(Parser)]
#[command(name = "lab", bin_name = "cargo lab", version, max_term_width = 100)]
#[command(arg_required_else_help = true, after_help = WAY)]
struct Cli {
    /// The folder of your crates and your progress [default: my-labs in the workshop].
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The labs, what you have done of each, and what comes next.
    #[command(visible_alias = "progress")]
    List,
    /// What works here, what does not, why, and what to do.
    Doctor,
    /// Begin a lab: its crate with holes is put into your folder.
    Start(Number),
    /// Build your crate and look whether it does what it should.
    Check(CheckArgs),
    /// Look again on each save; shows the first check that fails.
    Watch(WatchArgs),
    /// One more hint for the task that fails first.
    Hint(HintArgs),
    /// Your crate against the solution.
    Diff(Number),
    /// The solution of one task, or of the lab, on standard output.
    Solution(TaskArgs),
    /// Put the solution of one task, or of the lab, into your crate.
    CatchUp(TaskArgs),
    /// Begin again; your crate is kept beside the new one.
    Reset(Number),
    /// What the step before cannot stop and this one can; and what still works.
    Attack(AttackArgs),
    /// A prompt inside the lab machine: root, with a kernel of its own; `exit` switches it off.
    Shell,
    /// The lab machine.
    #[command(subcommand)]
    Machine(MachineCommand),
    /// Remove what was built for the labs and what killed checks have left; your crates stay.
    Cleanup,
    /// For instructors: grade submissions, directories or tarballs, each in a cell of its own.
    Grade(GradeArgs),
    /// Inside a cell: reads what to grade from standard input.
    #[command(hide = true)]
    Cell {
        /// `outer`, `inner`, `grade` or `exec`.
        stage: String,
        /// A program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<std::ffi::OsString>,
    },
    /// For who carries the workshop on: walk the student's way through starters, solutions, wrong solutions.
    MetaCheck(MetaArgs),
}

/// `cargo lab check | head`: what nobody reads is no error of the labs. As a shell shows an end by SIGPIPE.
fn end_quietly_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload().downcast_ref::<String>();
        if words.is_some_and(|words| words.starts_with("failed printing to stdout")) {
            std::process::exit(128 + nix::libc::SIGPIPE);
        }
        usual(panic);
    }));
}

/// Does what the command line says. 0: done, or all is green; 1: something is red; 2: it could not be done.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = attack::stage() {
        return code;
    }
    end_quietly_when_nobody_reads();
    let cli = Cli::parse();
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(DoesNotCompile(said)) = error.downcast_ref() {
                eprintln!("\n{said}");
            }
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    let workspace = Workspace::find(cli.dir.as_deref())?;
    let (here, json) = (&workspace, cli.json);
    let lab = |number: &Number| Lab::load(here, chosen(here, number)?);
    match &cli.command {
        Command::List => crates::list(here, json),
        Command::Start(number) => crates::start(here, &lab(number)?, json),
        Command::CatchUp(args) => crates::catch_up(here, &lab(&args.number)?, args.task, json),
        Command::Reset(number) => crates::reset(here, &lab(number)?, json),
        Command::Check(args) => checking::check(here, &lab(&args.number)?, args, json),
        Command::Watch(args) => checking::watch(here, &lab(&args.number)?, args, json),
        Command::Hint(args) => answers::hint(here, &lab(&args.number)?, args.task, json),
        Command::Diff(number) => answers::diff(here, &lab(number)?, json),
        Command::Solution(args) => answers::solution(here, &lab(&args.number)?, args.task, json),
        Command::Attack(args) => attacks::attack(here, args, json),
        Command::Doctor => machine::doctor(here, json),
        Command::Shell => machine::shell(),
        Command::Machine(MachineCommand::Prepare) => machine::prepare(here, json),
        Command::Cleanup => machine::cleanup(here, json),
        Command::Grade(args) => class::grade(here, args, json),
        Command::MetaCheck(args) => class::meta(here, args, json),
        Command::Cell { stage, program } => grade::cell::main(here, stage, program),
    }
}

fn chosen(workspace: &Workspace, number: &Number) -> Result<u8> {
    let progress = Progress::load(workspace)?;
    number.lab.or(progress.current).context("which lab? `cargo lab list` shows them; `cargo lab start 1` begins")
}

/// A path as short as it can be said from here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
