//! The monitor's loop: what the program writes goes to the log and to everybody attached, what they type and signals go to it.

use super::Monitor;
use super::clients::Request;
use super::log::Stream;
use crate::attach::frame::Kind;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::WaitStatus;
use nix::unistd::{pipe2, read, write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use step02_pid_ns::{ForwardedSignals, Running};
use sys::terminal::{Size, set_size};

/// The pipes between a program and its monitor; with a terminal there is none, its master takes their place.
#[derive(Debug)]
pub struct Stdio {
    /// The program's ends of 0, 1 and 2, until they are its own.
    pub program: [Option<OwnedFd>; 3],
    /// Held open so that a program that reads (`-i`) waits when nobody is attached.
    input: Option<OwnedFd>,
    outputs: Vec<(OwnedFd, Stream)>,
    /// The device of a terminal: with it open, a program that closes its own is no end.
    device: Option<OwnedFd>,
    /// Typed and not yet taken by the program.
    pending: Vec<u8>,
    input_ends: bool,
}

/// While so much waits for the program, no more is read from those who type.
const TYPED: usize = 64 * 1024;

impl Stdio {
    /// Pipes for output and error; for input one only when `interactive`.
    ///
    /// # Errors
    /// pipe2(2).
    pub fn pipes(interactive: bool) -> Result<Self> {
        let pair = || pipe2(OFlag::O_CLOEXEC).context("make a pipe");
        let ((out, out_end), (err, err_end)) = (pair()?, pair()?);
        let (input_end, input) =
            if interactive { pair().map(|(read, write)| (Some(read), Some(write)))? } else { (None, None) };
        let outputs = vec![(out, Stream::Stdout), (err, Stream::Stderr)];
        Self::new([input_end, Some(out_end), Some(err_end)], input, outputs, None)
    }

    /// A terminal's master: one stream; and its device.
    ///
    /// # Errors
    /// dup(2).
    pub fn terminal(master: OwnedFd, device: OwnedFd) -> Result<Self> {
        let input = master.try_clone().context("duplicate the terminal's master")?;
        Self::new([None, None, None], Some(input), vec![(master, Stream::Stdout)], Some(device))
    }

    fn new(
        program: [Option<OwnedFd>; 3],
        input: Option<OwnedFd>,
        outputs: Vec<(OwnedFd, Stream)>,
        device: Option<OwnedFd>,
    ) -> Result<Self> {
        for ours in outputs.iter().map(|(output, _)| output).chain(&input) {
            let flags = OFlag::from_bits_retain(fcntl(ours, FcntlArg::F_GETFL)?);
            fcntl(ours, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        }
        Ok(Self { program, input, outputs, device, pending: Vec::new(), input_ends: false })
    }

    /// Does what clients ask for.
    ///
    /// # Errors
    /// When a signal cannot be sent.
    pub fn obey(&mut self, requests: Vec<Request>, running: Option<&Running>) -> Result<()> {
        for request in requests {
            match request {
                Request::Input(bytes) if self.input.is_some() => self.pending.extend(bytes),
                Request::EndOfInput => self.input_ends = true,
                Request::Resize(rows, columns) => self.resize(rows, columns),
                Request::Signal(number) => running.map_or(Ok(()), |running| running.signal(number))?,
                Request::Input(_) => {}
            }
        }
        self.pass_input_on();
        Ok(())
    }

    fn resize(&self, rows: u16, columns: u16) {
        if let Some(device) = &self.device {
            let size = Size { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            let _gone_already = set_size(device, &size);
        }
    }

    fn pass_input_on(&mut self) {
        while let (Some(input), false) = (&self.input, self.pending.is_empty()) {
            match write(input, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                // The program does not read any more.
                Err(_) => self.pending.clear(),
            }
        }
        self.pending.shrink_to(4096);
        // The end of a terminal's input is a key, ctrl-D; of a pipe it is the pipe's.
        if self.input_ends && self.device.is_none() && self.pending.is_empty() {
            self.input = None;
        }
    }

    fn wants_input(&self) -> bool {
        self.pending.len() < TYPED
    }
}

/// Relays until the program has ended and all that it wrote is in the log and on its way to everybody.
///
/// # Errors
/// poll(2), waitid(2). A log that cannot be written (a full disk) does not stop the program.
pub fn relay(
    running: &Running,
    signals: &ForwardedSignals,
    mut stdio: Stdio,
    monitor: &mut Monitor,
) -> Result<WaitStatus> {
    let mut rest = Rest::default();
    loop {
        let ended = wait(running, signals, &stdio, monitor, &mut rest)?;
        if !monitor.clients.hold_back() {
            stdio.outputs.retain(|(output, stream)| take(output, *stream, monitor, true));
        }
        let requests = monitor.clients.serve(stdio.wants_input());
        stdio.obey(requests, Some(running))?;
        monitor.note_size();
        while let Some(signal) = signals.next()? {
            running.signal(signal.ssi_signo.cast_signed())?;
        }
        if ended {
            // All writers are dead, so what the pipes hold now is all there will be.
            stdio.outputs.retain(|(output, stream)| take(output, *stream, monitor, false));
            monitor.finish_log();
            return Ok(running.wait()?);
        }
        monitor.look_after_health();
    }
}

/// Whether this process has given back the memory that it does not need to wait.
#[derive(Debug, Default)]
struct Rest {
    is_slim: bool,
}

/// So long without anything to do, and the memory for doing it is given back.
const QUIET: Duration = Duration::from_millis(500);

/// Waits for anything; true when the program has ended.
fn wait(
    running: &Running,
    signals: &ForwardedSignals,
    stdio: &Stdio,
    monitor: &Monitor,
    rest: &mut Rest,
) -> Result<bool> {
    let mut sources =
        vec![PollFd::new(running.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    if let (Some(input), false) = (&stdio.input, stdio.pending.is_empty()) {
        sources.push(PollFd::new(input.as_fd(), PollFlags::POLLOUT));
    }
    if !monitor.clients.hold_back() {
        sources.extend(stdio.outputs.iter().map(|(output, _)| PollFd::new(output.as_fd(), PollFlags::POLLIN)));
    }
    sources.extend(monitor.clients.sources(stdio.wants_input()));
    sources.extend(monitor.health_source());
    let due = monitor.health_due();
    if !rest.is_slim {
        match poll(&mut sources, timeout(Some(due.map_or(QUIET, |due| due.min(QUIET))))) {
            // From here to the next poll little is touched: what is, comes again.
            Ok(0) if due.is_none_or(|due| due > QUIET) => {
                rest.is_slim = true;
                sys::memory::give_back();
            }
            result => return is_over(result, &sources),
        }
    }
    let result = poll(&mut sources, timeout(due));
    rest.is_slim = matches!(result, Ok(0));
    is_over(result, &sources)
}

fn timeout(patience: Option<Duration>) -> PollTimeout {
    let round_up = |patience| PollTimeout::try_from(patience + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    patience.map_or(PollTimeout::NONE, round_up)
}

fn is_over(result: nix::Result<i32>, sources: &[PollFd<'_>]) -> Result<bool> {
    match result {
        Err(Errno::EINTR) => return Ok(false),
        result => result.context("wait for the container")?,
    };
    Ok(sources.first().is_some_and(|ended| ended.any() == Some(true)))
}

/// Moves what is there into the log and to those who are attached; false at the end of the stream.
fn take(output: &OwnedFd, stream: Stream, monitor: &mut Monitor, may_hold: bool) -> bool {
    // Of its own pages, which go back when it is dropped.
    let mut buffer = vec![0; 256 * 1024];
    // As much as a full pipe holds, then the other stream's turn.
    for _ in 0..16 {
        match read(output, &mut buffer) {
            Ok(0) | Err(Errno::EIO) => return false,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                monitor.write_log(stream, bytes);
                let kind = if stream == Stream::Stdout { Kind::Stdout } else { Kind::Stderr };
                monitor.clients.give(kind, bytes);
                if may_hold && monitor.clients.hold_back() {
                    return true;
                }
            }
            Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
    true
}
