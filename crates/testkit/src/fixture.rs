//! What takes long to make or comes over the network: made once, outside of the fake host, which has no network.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A file that a test reads and does not make itself.
#[derive(Debug, Clone, Copy)]
pub struct Fixture {
    /// Where it is kept for the next run: a path below `env!("CARGO_TARGET_TMPDIR")`.
    pub path: &'static str,
    /// Makes it at the path that it is given. An error fails the test: what could not be made was not tested.
    pub make: fn(&Path) -> Result<(), String>,
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Fixture {
    /// Makes it unless it is there. It appears as a whole or not at all.
    pub(crate) fn ensure(&self) -> Result<(), String> {
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if Path::new(self.path).exists() {
            return Ok(());
        }
        let unfinished = PathBuf::from(format!("{}.unfinished", self.path));
        (self.make)(&unfinished)
            .and_then(|()| fs::rename(&unfinished, self.path).map_err(|error| error.to_string()))
            .map_err(|why| format!("cannot make the fixture `{}`: {why}", self.path))
    }
}
