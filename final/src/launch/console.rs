//! The host's terminal joined with the container's: raw mode, bytes both ways, the window's size.

use crate::attach::{DetachKeys, RawMode};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::SIGWINCH;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::WaitStatus;
use nix::unistd::{read, write};
use oci_spec::runtime::Process;
use std::io::{IsTerminal, Stdin, Write, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use step02_pid_ns::{ForwardedSignals, Running};
use sys::terminal::{set_size, size};

/// The host's side of a container's terminal.
#[derive(Debug)]
pub struct Console {
    master: OwnedFd,
    /// Typed and not yet taken by the container's terminal: while it is full, nothing more is read.
    pending: Vec<u8>,
    /// Our standard input, while it is open and wanted.
    input: Option<Stdin>,
    /// The keys that detach, where somebody may.
    keys: Option<DetachKeys>,
    _raw: Option<RawMode>,
}

/// How the relay of a terminal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// The program has.
    Ended(WaitStatus),
    /// The detach keys were typed.
    Detached,
}

impl Console {
    /// Gives the terminal with this master our window's size and, with `interactive`, puts ours into raw mode: ctrl-C and the rest
    /// are the program's to interpret.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn of(master: OwnedFd, interactive: bool) -> Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let console = Self {
            master,
            pending: Vec::new(),
            input: interactive.then(stdin),
            keys: None,
            _raw: (interactive && stdin().is_terminal()).then(RawMode::enter).transpose()?,
        };
        console.resize();
        Ok(console)
    }

    /// Whoever types these keys leaves, and the program runs on.
    #[must_use]
    pub fn left_by(mut self, keys: DetachKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Relays until the program has ended and all that it wrote is out.
    ///
    /// # Errors
    /// As [`Console::relay_or_leave`].
    pub fn relay(self, running: &Running, signals: &ForwardedSignals) -> Result<WaitStatus> {
        match self.relay_or_leave(running, signals)? {
            Leaving::Ended(status) => Ok(status),
            Leaving::Detached => bail!("detached without keys for it"),
        }
    }

    /// The same, or until the detach keys are typed.
    ///
    /// # Errors
    /// poll(2), waitid(2).
    pub fn relay_or_leave(mut self, running: &Running, signals: &ForwardedSignals) -> Result<Leaving> {
        loop {
            let ready = self.wait(running, signals)?;
            if ready.output {
                self.show()?;
            }
            let detached = ready.input && self.take_input();
            self.pass_input_on();
            if detached {
                return Ok(Leaving::Detached);
            }
            while let Some(signal) = signals.next()? {
                match signal.ssi_signo.cast_signed() {
                    SIGWINCH => self.resize(),
                    other => running.signal(other)?,
                }
            }
            if ready.ended {
                // All writers are dead, so what the terminal holds now is all there will be.
                while self.show()? {}
                return Ok(Leaving::Ended(running.wait()?));
            }
        }
    }

    fn wait(&self, running: &Running, signals: &ForwardedSignals) -> Result<Ready> {
        let master_events =
            if self.pending.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT };
        let mut sources = vec![
            PollFd::new(running.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.master.as_fd(), master_events),
        ];
        if let (Some(input), true) = (&self.input, self.pending.is_empty()) {
            sources.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut sources, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            result => drop(result.context("wait for the container's terminal")?),
        }
        let is_ready = |index: usize| sources.get(index).is_some_and(|source| source.any() == Some(true));
        Ok(Ready { ended: is_ready(0), output: is_ready(2), input: is_ready(3) })
    }

    /// Shows what the container has written; false when there is nothing (more).
    fn show(&self) -> Result<bool> {
        let mut buffer = [0; 16 * 1024];
        // EAGAIN: nothing now. The device is open on our side too, so that a program that closes it is no end.
        let Ok(length @ 1..) = read(&self.master, &mut buffer) else { return Ok(false) };
        let mut out = stdout().lock();
        out.write_all(&buffer[..length]).and_then(|()| out.flush()).context("write to standard output")?;
        Ok(true)
    }

    /// Takes what was typed; true when it were the detach keys.
    fn take_input(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let Some(input) = &self.input else { return false };
        match read(input, &mut buffer) {
            Ok(length @ 1..) => {
                let typed = buffer[..length].to_vec();
                let (passed, detached) =
                    self.keys.as_mut().map_or((typed, false), |keys| keys.filter(&buffer[..length]));
                self.pending.extend(passed);
                return detached;
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // The end of our input: the program's terminal stays, as a terminal does.
            _ => self.input = None,
        }
        false
    }

    fn pass_input_on(&mut self) {
        while !self.pending.is_empty() {
            match write(&self.master, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(_) => self.pending.clear(),
            }
        }
    }

    /// Copies our window's size, where we have a window.
    fn resize(&self) {
        let ours = [stdin().as_fd(), stdout().as_fd()].into_iter().find_map(|terminal| size(terminal).ok());
        if let Some(ours) = ours {
            let _gone_already = set_size(self.master.as_fd(), &ours);
        }
    }
}

/// Gives a new terminal the size that `process` asks for. Source: OCI runtime specification, config.md, `consoleSize`.
pub(crate) fn set_console_size(master: impl AsFd, process: &Process) {
    let rows_and_columns = process.console_size().map(|size| (size.height().try_into(), size.width().try_into()));
    if let Some((Ok(rows), Ok(columns))) = rows_and_columns {
        // A size that is refused is shown as none, and no program stops for that.
        let _no_size = set_size(master.as_fd(), &sys::terminal::sized(rows, columns));
    }
}

struct Ready {
    ended: bool,
    output: bool,
    input: bool,
}
