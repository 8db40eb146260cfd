//! `kill`.

use super::state::{Folder, Saved, Status};
use crate::report::Refusal;
use anyhow::{Context, Result, bail};
use clap::Args;
use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
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
            (Status::Created | Status::Running | Status::Paused, Some(process)) => {
                match process.signal(signal) {
                    Err(error) if self.all && error.downcast_ref() == Some(&Errno::ESRCH) => {}
                    sent => sent?,
                }
                if signal == SIGKILL {
                    saved.thaw()?;
                }
            }
            // containerd looks for these words.
            _ if !self.all => bail!(Refusal::new(format!("container `{}` not running", self.id)).code(1)),
            _ => {}
        }
        if self.all {
            signal_all(&saved, signal)?;
        }
        Ok(0)
    }
}

/// To every process of the cgroup: where the PID namespace is somebody else's they do not end with the first one.
fn signal_all(saved: &Saved, signal: i32) -> Result<()> {
    let Some(mut cgroup) = saved.share()? else { return Ok(()) };
    if signal == SIGKILL {
        // Also those that fork meanwhile.
        return Ok(cgroup.kill()?);
    }
    for pid in cgroup.processes()?.into_iter().filter(|pid| saved.process.is_none_or(|first| first.host_pid != *pid)) {
        match sys::process::pidfd_open(Pid::from_raw(pid)).and_then(|process| sys::process::pidfd_send(process, signal))
        {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno).with_context(|| format!("send signal {signal} to process {pid}")),
        }
    }
    Ok(())
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
