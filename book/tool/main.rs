//! `cargo book`: the book made of its sources, by mdBook as a library.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use mdbook_driver::MDBook;
use std::path::Path;

/// Build the book.
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
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Build => build(),
    }
}

fn build() -> Result<()> {
    // The folder this package was built from: the book belongs to it, wherever the command is given.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let book = MDBook::load(root).with_context(|| format!("read the book in `{}`", root.display()))?;
    book.build().context("make the book's pages")?;
    println!("{}", book.build_dir_for("html").join("index.html").display());
    Ok(())
}
