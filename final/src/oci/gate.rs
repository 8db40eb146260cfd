//! The gate: a created container's first process waits at it, and `start` opens it.
//!
//! It is a FIFO in the container's folder. The child half reads a byte from a descriptor that it has had since before clone3; a writer
//! without a reader is refused by the kernel (ENXIO), so a dead container cannot be started.

use crate::report::Refusal;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, write};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Makes the gate, closed, and the child's end of it.
pub(super) fn make(path: &Path) -> Result<OwnedFd> {
    let context = || format!("make the gate `{}`", path.display());
    mkfifo(path, Mode::from_bits_truncate(0o600)).with_context(context)?;
    // A writer that is open all the time, so that the reader waits for a byte instead of reading the end of file.
    open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).with_context(context)
}

/// Opens the gate: once, whoever is first.
pub(super) fn open_wide(path: &Path, id: &str) -> Result<()> {
    let not_created =
        || Refusal::new(format!("cannot start container `{id}`: it is not in the state `created`")).code(1);
    let opened = path.with_extension("opened");
    if fs::rename(path, &opened).is_err() {
        bail!(not_created());
    }
    let writer = match open(&opened, OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENXIO) => bail!(not_created().help("its process has ended")),
        writer => writer.context("open the gate")?,
    };
    write(&writer, b"1").context("open the gate")?;
    fs::remove_file(&opened).context("take the gate away")?;
    wait_for_execve(&writer);
    Ok(())
}

/// Until nobody reads the gate any more: the reader's descriptor is closed by execve, or by the end of the process. Who asks right after
/// `start` what the process is, is told the program.
fn wait_for_execve(writer: &OwnedFd) {
    // One that is frozen goes on when it may; its starter does not wait for that.
    const AT_MOST_MS: u16 = 5000;
    // POLLERR comes unasked.
    let mut gate = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    while poll(&mut gate, AT_MOST_MS) == Err(Errno::EINTR) {}
}
