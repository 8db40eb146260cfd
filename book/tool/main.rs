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
        Command::Test { accept, filter } => test(accept, filter.as_deref()),
    }
}

fn figures(files: &[PathBuf]) -> Result<()> {
    for file in files {
        println!("{}", book::results::take_in(file)?.display());
    }
    // What a page wants and the new results lack is said now.
    book::build::build().map(drop)
}

fn test(accept: bool, filter: Option<&str>) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Process::new(cargo);
    tests.current_dir(book::folder()).args(["test", "--package", "book"]);
    if accept {
        tests.args(["--test", "console", "--quiet"]);
    } else {
        // What else is not so is worth knowing, too.
        tests.arg("--no-fail-fast");
    }
    tests.arg("--").args(filter);
    if !accept {
        let status = tests.status().context("start cargo")?;
        return if status.success() { Ok(()) } else { bail!("the book is not as it says") };
    }
    let report = tests.stderr(Stdio::inherit()).output().context("start cargo")?;
    let count = book::console::accept(&String::from_utf8_lossy(&report.stdout)).context("write the pages")?;
    println!("{count} blocks written; read them: git diff -- book/src");
    Ok(())
}
