//! `cargo book`: build, serve and test the book.

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};

/// Build the book, and run every command that it shows.
#[derive(Parser)]
#[command(name = "cargo book")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the pages and say where they are. They need no server: open the first one in a browser.
    Build,
    /// Show the pages to a browser on this machine, and build them again when a source has changed.
    Serve {
        /// The port on 127.0.0.1; 0 is any that is free.
        #[arg(long, default_value_t = 3000)]
        port: u16,
    },
    /// Take in what was measured: files of `bench --json`, of `tara run --explain=json`. Charts and numbers of the pages are theirs.
    Figures {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Type the script of a cast anew and keep what the terminal shows. As root.
    Cast {
        /// The name of a script in `book/casts`; without it, all of them.
        name: Option<String>,
    },
    /// Run every command of every page in a sandbox and compare what it prints; check links, sizes and pictures.
    Test {
        /// Write what the commands print now into the pages: read the difference before you commit it.
        #[arg(long)]
        accept: bool,
        /// Only the pages (or checks) with this in their name.
        filter: Option<String>,
    },
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Build => {
            println!("{}", book::build::build()?.display());
            Ok(())
        }
        Command::Serve { port } => book::serve::serve(port),
        Command::Figures { files } => figures(&files),
        Command::Cast { name } => accept(&["casts"], name.as_deref(), true),
        Command::Test { accept: true, filter } => accept(&["console", "casts"], filter.as_deref(), false),
        Command::Test { accept: false, filter } => test(filter.as_deref()),
    }
}

fn figures(files: &[PathBuf]) -> Result<()> {
    for file in files {
        println!("{}", book::results::take_in(file)?.display());
    }
    // What a page wants and the new results lack is said now.
    book::build::build().map(drop)
}

fn cargo_test() -> Process {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Process::new(cargo);
    tests.current_dir(book::folder()).args(["test", "--package", "book"]);
    tests
}

fn test(filter: Option<&str>) -> Result<()> {
    // What else is not so is worth knowing, too.
    let status = cargo_test().args(["--no-fail-fast", "--"]).args(filter).status().context("start cargo")?;
    if status.success() { Ok(()) } else { bail!("the book is not as it says") }
}

/// Runs these tests and writes down what they complain about.
fn accept(programs: &[&str], filter: Option<&str>, all: bool) -> Result<()> {
    let mut tests = cargo_test();
    tests.args(["--quiet", "--no-fail-fast"]).args(programs.iter().flat_map(|name| ["--test", name]));
    tests.envs(all.then_some((book::casts::ANEW, "1"))).arg("--").args(filter);
    let report = tests.stderr(Stdio::inherit()).output().context("start cargo")?;
    let count = book::console::accept(&String::from_utf8_lossy(&report.stdout)).context("write what is new")?;
    println!("{count} written; read the difference: git diff -- book");
    Ok(())
}
