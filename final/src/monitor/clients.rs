//! Those who are attached: each has its own queue, so that none waits for another.

use crate::attach::frame::{self, Kind, LONGEST, Wish};
use crate::attach::{SOCKET, address};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, bind, listen, socket};
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// What a client may lag behind, besides what its socket holds (0.2 MB). Its `tara logs` has everything.
const QUEUE: usize = 1024 * 1024;

/// What an owner may lag behind before the program waits for it.
const OWNERS_QUEUE: usize = 64 * 1024;

/// How long the last words wait for a client that does not read. An owner's wait for as long as it lives.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Bytes for the program.
    Input(Vec<u8>),
    /// No more will come.
    EndOfInput,
    /// The terminal's rows and columns.
    Resize(u16, u16),
    /// A signal for the program.
    Signal(i32),
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    wish: Wish,
    queue: VecDeque<(Kind, Vec<u8>)>,
    queued: usize,
    lost: u64,
    /// Whether its last frame is in the queue.
    leaving: bool,
    /// Whether it went by the detach keys.
    detached: bool,
}

/// The socket and everybody on it.
#[derive(Debug, Default)]
pub struct Clients {
    listener: Option<OwnedFd>,
    all: Vec<Client>,
    /// The size that somebody has given the terminal since it was asked for last.
    resized: Option<(u16, u16)>,
}

impl Clients {
    /// Listens in the folder of what lives of the container.
    ///
    /// # Errors
    /// bind(2).
    pub fn listen(&mut self, folder: &File) -> Result<()> {
        let kind = SockType::SeqPacket;
        let listener = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
        let _of_an_earlier_start = nix::unistd::unlinkat(folder, SOCKET, nix::unistd::UnlinkatFlags::NoRemoveDir);
        bind(listener.as_raw_fd(), &address(folder)?).context("make the container's socket")?;
        listen(&listener, Backlog::MAXCONN).context("listen on the container's socket")?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Adds one that is connected already: its hello follows.
    pub fn add(&mut self, socket: OwnedFd) {
        let (wish, queue) = (Wish::default(), VecDeque::new());
        self.all.push(Client { socket, wish, queue, queued: 0, lost: 0, leaving: false, detached: false });
    }

    /// What to wait for, and whether input is wanted.
    pub fn sources(&self, wants_input: bool) -> Vec<PollFd<'_>> {
        let listener = self.listener.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        let clients = self.all.iter().filter_map(|client| {
            let read = if wants_input && !client.leaving { PollFlags::POLLIN } else { PollFlags::empty() };
            let write = if client.queue.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
            // Of one of whom nothing is wanted now its end is not either: it would wake us again and again.
            let events = read | write;
            (!events.is_empty()).then(|| PollFd::new(client.socket.as_fd(), events))
        });
        listener.chain(clients).collect()
    }

    /// Whether an owner lags behind: then the program waits for it, as at the end of a pipe.
    pub fn hold_back(&self) -> bool {
        self.all.iter().any(|client| client.wish.has(Wish::OWNER) && client.queued > OWNERS_QUEUE)
    }

    /// Lets new ones in, sends what there is room for, and hears what all of them ask for.
    pub fn serve(&mut self, wants_input: bool) -> Vec<Request> {
        self.let_in();
        let mut requests = Vec::new();
        if self.all.is_empty() {
            return requests;
        }
        let mut buffer = vec![0; LONGEST + 1];
        self.all.retain_mut(|client| {
            let listen = wants_input && !client.leaving;
            let stays = client.flush() && (!listen || client.hear(&mut buffer, &mut requests));
            // The input of a program ends with its owner, unless that one has detached.
            if !stays && client.wish.has(Wish::OWNER) && !client.detached && !client.leaving {
                requests.push(Request::EndOfInput);
            }
            stays
        });
        let last = requests.iter().rev().find_map(|request| match request {
            Request::Resize(rows, columns) => Some((*rows, *columns)),
            _ => None,
        });
        self.resized = last.or(self.resized);
        requests
    }

    /// The rows and columns that somebody has given the terminal since this was asked last.
    pub(crate) fn take_size(&mut self) -> Option<(u16, u16)> {
        self.resized.take()
    }

    fn let_in(&mut self) {
        let accept = |listener: &OwnedFd| sys::fd::accept(listener).ok();
        while let Some(client) = self.listener.as_ref().and_then(accept) {
            self.add(client);
        }
    }

    /// Gives output to all who want it.
    pub fn give(&mut self, kind: Kind, bytes: &[u8]) {
        let wanted = if kind == Kind::Stderr { Wish::STDERR } else { Wish::STDOUT };
        for client in self.all.iter_mut().filter(|client| client.wish.has(wanted) && !client.leaving) {
            bytes.chunks(LONGEST).for_each(|part| client.give(kind, part));
        }
    }

    /// Says the end to everybody, and lets them go when they have it.
    pub fn dismiss(&mut self, kind: Kind, content: &[u8]) {
        for client in self.all.iter_mut().filter(|client| !client.leaving) {
            client.say_lost();
            client.push(kind, content);
            client.leaving = true;
        }
        self.serve(false);
    }

    /// Waits until everybody has everything, or is gone.
    pub fn wait_until_gone(&mut self) {
        self.listener = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.serve(false);
            let late = Instant::now() >= deadline;
            self.all.retain(|client| !client.queue.is_empty() && (!late || client.wish.has(Wish::OWNER)));
            if self.all.is_empty() {
                return;
            }
            let _again = poll(&mut self.sources(false), PollTimeout::from(200u8));
        }
    }

    /// Answers the starter, who is the first; it is let go unless it stays `attached`.
    pub fn answer(&mut self, kind: Kind, content: &[u8], attached: bool) {
        let Some(starter) = self.all.first_mut() else { return };
        let _starter_is_gone = frame::try_send(&starter.socket, kind, content);
        if !attached {
            self.all.remove(0);
        }
    }

    /// Tells everybody what failed, in a report that may be long.
    pub fn answer_failure(&mut self, content: &[u8]) {
        self.dismiss(Kind::Failed, content.get(..LONGEST).unwrap_or(content));
    }
}

impl Client {
    fn give(&mut self, kind: Kind, bytes: &[u8]) {
        if self.queue.is_empty() && self.lost == 0 && frame::try_send(&self.socket, kind, bytes).is_ok() {
            return;
        }
        if self.queued + bytes.len() > QUEUE && !self.wish.has(Wish::OWNER) {
            self.lost += bytes.len() as u64;
            return;
        }
        self.push(kind, bytes);
    }

    fn push(&mut self, kind: Kind, bytes: &[u8]) {
        self.queued += bytes.len();
        self.queue.push_back((kind, bytes.to_vec()));
    }

    fn say_lost(&mut self) {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.push(Kind::Lost, &lost.to_be_bytes());
        }
    }

    /// Sends what there is room for; false when the client is gone, or has its last frame.
    fn flush(&mut self) -> bool {
        loop {
            let Some((kind, bytes)) = self.queue.front() else {
                if self.leaving {
                    return false;
                }
                if self.lost == 0 {
                    return true;
                }
                self.say_lost();
                continue;
            };
            match frame::try_send(&self.socket, *kind, bytes) {
                Ok(()) => {
                    self.queued -= bytes.len();
                    self.queue.pop_front();
                }
                Err(Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Hears what it asks for, a few frames a turn; false when it is gone.
    fn hear(&mut self, buffer: &mut [u8], requests: &mut Vec<Request>) -> bool {
        for _ in 0..8 {
            let request = match frame::receive(&self.socket, buffer, false) {
                Err(Errno::EAGAIN) => return true,
                Ok(Some((kind, content))) => (kind, content),
                Ok(None) | Err(_) => return false,
            };
            match request {
                (Kind::Hello, [wish, ..]) => self.wish = Wish::from_byte(*wish),
                (Kind::Stdin, bytes) => requests.push(Request::Input(bytes.to_vec())),
                (Kind::EndOfInput, _) if self.wish.has(Wish::OWNER) => requests.push(Request::EndOfInput),
                (Kind::Resize, [a, b, c, d]) => {
                    requests.push(Request::Resize(u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])));
                }
                (Kind::Signal, [number, ..]) => requests.push(Request::Signal(i32::from(*number))),
                (Kind::Detach, _) => self.detached = true,
                _ => {}
            }
        }
        true
    }
}
