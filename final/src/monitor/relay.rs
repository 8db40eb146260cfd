//! The monitor's loop: what the program writes goes to the log, signals go to the program.

use super::log::{Log, Stream};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::WaitStatus;
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, OwnedFd};
use step02_pid_ns::{ForwardedSignals, Running};

/// The pipes between a program and its monitor; with a terminal there is none, its master takes their place.
#[derive(Debug)]
pub struct Stdio {
    /// The program's ends of 0, 1 and 2, until they are its own.
    pub program: [Option<OwnedFd>; 3],
    /// Held open so that a program that reads (`-i`) waits, until `attach` comes.
    _input: Option<OwnedFd>,
    outputs: Vec<(OwnedFd, Stream)>,
}

impl Stdio {
    /// Pipes for output and error; input is a pipe that nobody writes to when `interactive`.
    ///
    /// # Errors
    /// pipe2(2).
    pub fn pipes(interactive: bool) -> Result<Self> {
        let pair = || pipe2(OFlag::O_CLOEXEC).context("make a pipe");
        let ((out, out_end), (err, err_end)) = (pair()?, pair()?);
        let (input_end, input) =
            if interactive { pair().map(|(read, write)| (Some(read), Some(write)))? } else { (None, None) };
        Ok(Self {
            program: [input_end, Some(out_end), Some(err_end)],
            _input: input,
            outputs: vec![(out, Stream::Stdout), (err, Stream::Stderr)],
        })
    }

    /// A terminal's master: one stream.
    #[must_use]
    pub fn terminal(master: OwnedFd) -> Self {
        Self { program: [None, None, None], _input: None, outputs: vec![(master, Stream::Stdout)] }
    }
}

/// Writes the log until the program has ended and all that it wrote is in.
///
/// # Errors
/// poll(2), waitid(2). A log that cannot be written (a full disk) does not stop the program: its output is dropped.
pub fn relay(running: &Running, signals: &ForwardedSignals, mut stdio: Stdio, log: &mut Log) -> Result<WaitStatus> {
    for (output, _) in &stdio.outputs {
        let flags = OFlag::from_bits_retain(fcntl(output, FcntlArg::F_GETFL)?);
        fcntl(output, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    loop {
        let ready = wait(running, signals, &stdio.outputs)?;
        stdio.outputs.retain(|(output, stream)| take(output, *stream, log));
        while let Some(signal) = signals.next()? {
            running.signal(signal.ssi_signo.cast_signed())?;
        }
        if ready {
            // All writers are dead, so what the pipes hold now is all there will be.
            stdio.outputs.retain(|(output, stream)| take(output, *stream, log));
            let _disk_is_full = log.finish();
            return Ok(running.wait()?);
        }
    }
}

/// Waits for anything; true when the program has ended.
fn wait(running: &Running, signals: &ForwardedSignals, outputs: &[(OwnedFd, Stream)]) -> Result<bool> {
    let mut sources =
        vec![PollFd::new(running.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    sources.extend(outputs.iter().map(|(output, _)| PollFd::new(output.as_fd(), PollFlags::POLLIN)));
    match poll(&mut sources, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok(false),
        result => result.context("wait for the container")?,
    };
    Ok(sources.first().is_some_and(|ended| ended.any() == Some(true)))
}

/// Moves what is there into the log; false at the end of the stream.
fn take(output: &OwnedFd, stream: Stream, log: &mut Log) -> bool {
    let mut buffer = [0; 64 * 1024];
    // As much as a full pipe holds, then the other stream's turn.
    for _ in 0..16 {
        match read(output, &mut buffer) {
            Ok(0) | Err(Errno::EIO) => return false,
            Ok(length) => {
                let _disk_is_full = log.write(stream, buffer.get(..length).unwrap_or_default());
            }
            Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
    true
}
