//! `kill`.

use super::state::{Folder, Status};
use crate::report::Refusal;
use anyhow::{Result, bail};
use clap::Args;
use nix::sys::signal::Signal;
use std::path::Path;

/// Send a signal to the first process of a container.
#[derive(Debug, Args)]
pub(super) struct Kill {
    /// To all processes of the container.
    #[arg(short, long)]
    all: bool,
    /// The container.
    id: String,
    /// The signal, by name or number.
    #[arg(default_value = "TERM")]
    signal: String,
}

impl Kill {
    pub(super) fn run(&self, root: &Path) -> Result<u8> {
        let signal = number(&self.signal)?;
        let folder = Folder::find(root, &self.id)?;
        let saved = folder.read()?;
        match (folder.status(&saved), saved.process) {
            (Status::Created | Status::Running | Status::Paused, Some(process)) => process.signal(signal)?,
            // containerd looks for these words.
            _ if !self.all => bail!(Refusal::new(format!("container `{}` not running", self.id)).code(1)),
            _ => {}
        }
        Ok(0)
    }
}

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+1`.
fn number(word: &str) -> Result<i32> {
    let name = word.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = || {
        let (base, sign, rest) = match name {
            _ if name.starts_with("RTMIN") => (nix::libc::SIGRTMIN(), 1, name.strip_prefix("RTMIN")?),
            _ => (nix::libc::SIGRTMAX(), -1, name.strip_prefix("RTMAX")?),
        };
        let offset = if rest.is_empty() { 0 } else { rest.get(1..)?.parse::<i32>().ok()? };
        Some(base + sign * offset)
    };
    let known = name
        .parse::<i32>()
        .ok()
        .or_else(|| Some(format!("SIG{name}").parse::<Signal>().ok()? as i32))
        .or_else(real_time);
    match known.filter(|number| (0..=64).contains(number)) {
        Some(number) => Ok(number),
        None => bail!(Refusal::new(format!("unknown signal `{word}`")).code(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_many_spellings() {
        for (word, value) in
            [("TERM", 15), ("SIGTERM", 15), ("sigkill", 9), ("9", 9), ("RTMIN+2", 36), ("SIGRTMAX-1", 63), ("0", 0)]
        {
            assert_eq!(number(word).unwrap(), value, "{word}");
        }
        for wrong in ["", "FOO", "65", "-1", "RTMIN+99"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }
}
