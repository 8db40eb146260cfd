//! Our terminal in raw mode: every key is the program's.

use anyhow::{Context, Result};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::stdin;

/// Our terminal in raw mode, until this is dropped.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Puts the terminal of standard input into raw mode.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn enter() -> Result<Self> {
        let before = tcgetattr(stdin()).context("ask the terminal for its mode")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSANOW, &raw).context("put the terminal into raw mode")?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _closed_already = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before);
    }
}
