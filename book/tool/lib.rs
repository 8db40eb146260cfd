//! `cargo book`: the pages, what they show, and whether it is so.
//!
//! | module | what it holds |
//! |---|---|
//! | `bars` | a chart of measured times, from JSON |
//! | [`build`] | mdBook as a library; the difference between two files as a listing |
//! | [`pages`] | the pages of the table of contents, and their fenced blocks |
//! | [`casts`] | recorded sessions at a terminal |
//! | [`console`] | blocks of commands and what they print: run, compared, written anew |
//! | `explained` | one start of `tara`, followed call by call: a picture, and what each layer has of it |
//! | `quiz` | the questions of a self-check, with their answers folded |
//! | [`results`] | what the bench has measured |
//! | `tasks` | the tasks of a lab, from the file that the labs are made by |
//! | [`serve`] | the built pages for a browser on this machine |

mod bars;
pub mod build;
pub mod casts;
pub mod console;
mod explained;
pub mod pages;
mod quiz;
pub mod results;
pub mod serve;
mod tasks;

use std::path::Path;

/// The folder of the book: it belongs to this package, wherever a command is given.
#[must_use]
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
