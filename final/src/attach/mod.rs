//! Attached to a container: our terminal or pipes joined with its program's, by way of its monitor.

pub mod frame;
mod keys;
mod raw;

use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::lifecycle::{is_paused, not_up};
use crate::monitor::{Failed, failed};
use crate::report::Refusal;
use anyhow::{Context, Result, anyhow};
use frame::{Kind, Wish};
use nix::errno::Errno;
use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::read;
use std::fs::File;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use step02_pid_ns::ForwardedSignals;
use sys::fd::standard_input;
use sys::terminal::size;

pub use keys::DetachKeys;
pub use raw::RawMode;

/// The socket's name in `RUN/containers/<id>`.
pub const SOCKET: &str = "attach";

/// How a client takes part.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whether the program has a terminal.
    pub terminal: bool,
    /// Whether our standard input is passed on.
    pub input: bool,
    /// What is wanted.
    pub wish: Wish,
    /// Whether signals that we get are the program's.
    pub proxy_signals: bool,
    /// The keys that detach.
    pub keys: DetachKeys,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The program's exit code.
    Exited(u8),
    /// The detach keys were typed; the program runs on.
    Detached,
    /// The monitor could not write down the end, or something else that the user has to know.
    Failed(Failed),
}

/// The address of a socket in a folder whose own path may be longer than an address takes (108 bytes): through its descriptor.
///
/// # Errors
/// open(2).
pub fn address(folder: &File) -> Result<UnixAddr> {
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    UnixAddr::new(path.as_str()).context("the address of the container's socket")
}

/// Connects to the monitor of a container by the folder of what lives of it.
///
/// # Errors
/// ENOENT and ECONNREFUSED when there is no monitor.
pub fn dial(live: &Path) -> Result<OwnedFd> {
    let folder = File::open(live).context("open the container's folder")?;
    let client = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    connect(client.as_raw_fd(), &address(&folder)?).context("connect to the container's monitor")?;
    Ok(client)
}

impl Engine {
    /// Attaches to a running container until its program ends, or the detach keys are typed. What it wrote before is in its log.
    ///
    /// # Errors
    /// [`Refusal`] for a container that does not run, and for one whose `tara run` is in the foreground.
    pub fn attach(&self, reference: &str, session: impl FnOnce(bool, bool) -> Session) -> Result<End> {
        let Container { record, status, .. } = Container::find(self.dirs(), reference)?;
        match &status {
            Status::Running(state) if state.paused => return Err(is_paused(reference)),
            Status::Running(_) => {}
            other => return Err(not_up(reference, other)),
        }
        let socket = dial(&self.dirs().live(&record.id)).map_err(|error| match error.downcast_ref() {
            Some(Errno::ENOENT | Errno::ECONNREFUSED) => without_monitor(reference),
            _ => error,
        })?;
        let terminal = record.has_terminal();
        let session = session(terminal, record.interactive);
        let signals = ForwardedSignals::block()?;
        let raw = session.enter_terminal()?;
        crate::events::note(self.dirs(), &record, "attach", &[]);
        let end = session.greet(&socket).and_then(|()| session.relay(&socket, &signals));
        drop(raw);
        if matches!(end, Ok(End::Detached)) {
            crate::events::note(self.dirs(), &record, "detach", &[]);
        }
        end
    }
}

fn without_monitor(reference: &str) -> anyhow::Error {
    let what = format!("container `{reference}` cannot be attached to");
    let help = "it is a `tara run --rm` in the foreground, whose input and output are that command's own";
    Refusal::new(what).help(help).code(1).into()
}

impl Session {
    /// Puts our terminal into raw mode where the program's takes its place.
    ///
    /// # Errors
    /// tcsetattr(3).
    pub fn enter_terminal(&self) -> Result<Option<RawMode>> {
        (self.terminal && self.input && stdin().is_terminal()).then(RawMode::enter).transpose()
    }

    /// Says what is wanted, and how large our window is.
    ///
    /// # Errors
    /// sendmsg(2).
    pub fn greet(&self, socket: &OwnedFd) -> Result<()> {
        send(socket, Kind::Hello, &[self.wish.byte()])?;
        self.resize(socket)
    }

    /// Relays until the end. Output that cannot be written ends it, as it would end a program at a pipe.
    ///
    /// # Errors
    /// poll(2), and when the monitor dies.
    pub fn relay(mut self, socket: &OwnedFd, signals: &ForwardedSignals) -> Result<End> {
        let mut buffer = vec![0; frame::LONGEST + 1];
        loop {
            let (from_monitor, from_us) = self.wait(socket, signals)?;
            if from_monitor && let Some(end) = take_frames(socket, &mut buffer)? {
                return Ok(end);
            }
            if from_us && self.pass_input(socket, &mut buffer)? {
                return Ok(End::Detached);
            }
            while let Some(signal) = signals.next()? {
                self.pass_signal(socket, signal.ssi_signo.cast_signed())?;
            }
        }
    }

    fn wait(&self, socket: &OwnedFd, signals: &ForwardedSignals) -> Result<(bool, bool)> {
        // While the monitor has no room for input, ours waits.
        let has_room = PollFlags::POLLOUT;
        let mut room = [PollFd::new(socket.as_fd(), has_room)];
        let may_read = self.input && poll(&mut room, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        let mut events = PollFlags::POLLIN;
        if self.input && !may_read {
            events |= has_room;
        }
        let mut sources = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(socket.as_fd(), events)];
        if may_read {
            sources.push(PollFd::new(standard_input(), PollFlags::POLLIN));
        }
        match poll(&mut sources, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok((false, false)),
            result => result.context("wait for the container")?,
        };
        let is_ready = |index: usize, wanted: PollFlags| {
            sources.get(index).and_then(PollFd::revents).is_some_and(|events| events.intersects(wanted))
        };
        let end = PollFlags::POLLHUP | PollFlags::POLLERR;
        Ok((is_ready(1, PollFlags::POLLIN | end), is_ready(2, PollFlags::POLLIN | end)))
    }

    /// Passes on what was typed; true when it were the detach keys.
    fn pass_input(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> Result<bool> {
        let room = buffer.get_mut(..frame::LONGEST / 2).unwrap_or_default();
        match read(standard_input(), room) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(length @ 1..) => {
                let typed = room.get(..length).unwrap_or_default();
                if !self.terminal {
                    send(socket, Kind::Stdin, typed)?;
                    return Ok(false);
                }
                let (passed, detach) = self.keys.filter(typed);
                if !passed.is_empty() {
                    send(socket, Kind::Stdin, &passed)?;
                }
                if detach {
                    send(socket, Kind::Detach, &[])?;
                }
                return Ok(detach);
            }
            _ => {
                self.input = false;
                send(socket, Kind::EndOfInput, &[])?;
            }
        }
        Ok(false)
    }

    /// At a terminal ctrl-C and the like are keys; a signal that comes all the same is for us, as docker has it.
    fn pass_signal(&self, socket: &OwnedFd, signal: i32) -> Result<()> {
        match signal {
            SIGWINCH => self.resize(socket),
            SIGHUP | SIGINT | SIGQUIT | SIGTERM if self.terminal || !self.proxy_signals => {
                let name = format!("{:?}", nix::sys::signal::Signal::try_from(signal)?);
                let code = u8::try_from(128 + signal).unwrap_or(255);
                Err(Refusal::new(format!("ended by {name}; the container runs on")).code(code).into())
            }
            _ if self.terminal || !self.proxy_signals => Ok(()),
            other => send(socket, Kind::Signal, &[u8::try_from(other).unwrap_or(0)]),
        }
    }

    /// Says how large our window is, where we have one.
    fn resize(&self, socket: &OwnedFd) -> Result<()> {
        if let (true, Some([rows, columns])) = (self.terminal, window()) {
            let ([a, b], [c, d]) = (rows.to_be_bytes(), columns.to_be_bytes());
            send(socket, Kind::Resize, &[a, b, c, d])?;
        }
        Ok(())
    }
}

/// Sends a frame; that the monitor has gone is said by what is received.
fn send(socket: &OwnedFd, kind: Kind, content: &[u8]) -> Result<()> {
    match frame::send(socket, kind, content) {
        Ok(()) | Err(Errno::EPIPE) => Ok(()),
        Err(errno) => Err(errno).context("write to the container's monitor"),
    }
}

/// The rows and columns of our window, where we have one.
#[must_use]
pub fn window() -> Option<[u16; 2]> {
    let ours = [stdin().as_fd(), stdout().as_fd()].into_iter().find_map(|terminal| size(terminal).ok())?;
    Some([ours.ws_row, ours.ws_col])
}

/// Shows what is there, up to a screenful, so that input has its turn; the session's end, if it has come.
fn take_frames(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<End>> {
    for _ in 0..8 {
        match frame::receive(socket, buffer, false) {
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno).context("read from the container's monitor"),
            Ok(None) => return Err(anyhow!("the container's monitor has died")),
            Ok(Some((Kind::Exit, content))) => return Ok(Some(End::Exited(content.first().copied().unwrap_or(255)))),
            Ok(Some((Kind::Failed, content))) => return Ok(Some(End::Failed(failed(content)))),
            Ok(Some((kind, content))) => show(kind, content)?,
        }
    }
    Ok(None)
}

fn show(kind: Kind, content: &[u8]) -> Result<()> {
    match kind {
        Kind::Stdout => {
            let mut out = stdout().lock();
            out.write_all(content).and_then(|()| out.flush()).context("write to standard output")
        }
        Kind::Stderr => stderr().write_all(content).context("write to standard error"),
        Kind::Lost => {
            let bytes = content.try_into().map_or(0, u64::from_be_bytes);
            let _closed = writeln!(stderr(), "\r\ntara: too slow for {bytes} bytes, which are left out here\r");
            Ok(())
        }
        _ => Ok(()),
    }
}
