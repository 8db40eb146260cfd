//! The loop: questions in, answers out, what is not known passed on.

use super::message::{Outcome, Question, answers};
use super::{ADDRESS, Names};
use crate::{Error, Netns};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

const PORT: u16 = 53;
/// How long a resolver may take before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// More questions at once are not kept: the oldest goes unanswered, and is asked again by whoever wants to know.
const AT_ONCE: usize = 64;
const LARGEST: usize = 4096;

/// Where questions come in.
#[derive(Debug)]
pub struct Sockets {
    /// For questions in a datagram.
    pub udp: UdpSocket,
    /// For the few that need a connection.
    pub tcp: TcpListener,
}

impl Sockets {
    /// Opens them inside `netns`. They stay there, whoever holds them.
    ///
    /// # Errors
    /// EADDRINUSE when somebody listens there already.
    pub fn open(netns: &Netns) -> Result<Self, Error> {
        netns.within(|| {
            let address = SocketAddr::new(ADDRESS.into(), PORT);
            let open = || {
                let (udp, tcp) = (UdpSocket::bind(address)?, TcpListener::bind(address)?);
                udp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                Ok(Self { udp, tcp })
            };
            open().map_err(|error: std::io::Error| {
                let errno = Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32));
                Error::errno("listen for names at", address)(errno)
            })
        })
    }
}

/// A question that somebody else was asked.
struct Pending {
    client: SocketAddr,
    query: Vec<u8>,
    question: Question,
    /// A socket for this question alone: the kernel chooses its port, which a forger would have to guess too.
    socket: UdpSocket,
    /// Which resolvers are still to be asked.
    next: usize,
    since: Instant,
}

/// Answers until `stop` can be read (or its other end is gone): names of `names` itself, the rest by asking `resolvers` in their
/// order, from the network namespace of the calling thread.
///
/// # Errors
/// poll(2).
// ANCHOR: serve
pub fn serve(sockets: &Sockets, names: &mut Names, resolvers: &[IpAddr], stop: BorrowedFd<'_>) -> Result<(), Error> {
    let mut pending: Vec<Pending> = Vec::new();
    loop {
        let Some(ready) = wait(sockets, &pending, stop)? else { return Ok(()) };
        if ready.udp {
            take_questions(sockets, names, resolvers, &mut pending);
        }
        if ready.tcp {
            answer_stream(sockets, names, resolvers);
        }
        pending.retain_mut(|question| !is_settled(question, sockets, resolvers));
    }
}
// ANCHOR_END: serve

struct Ready {
    udp: bool,
    tcp: bool,
}

/// Waits for something to do; `None` when it is to stop.
fn wait(sockets: &Sockets, pending: &[Pending], stop: BorrowedFd<'_>) -> Result<Option<Ready>, Error> {
    let own = [stop, sockets.udp.as_fd(), sockets.tcp.as_fd()];
    let all = own.into_iter().chain(pending.iter().map(|question| question.socket.as_fd()));
    let mut all: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let patience = if pending.is_empty() { PollTimeout::NONE } else { PollTimeout::from(250u8) };
    match poll(&mut all, patience) {
        Err(Errno::EINTR) => return Ok(Some(Ready { udp: false, tcp: false })),
        result => result.map_err(Error::errno("wait for questions at", ADDRESS))?,
    };
    let is_ready = |index: usize| all.get(index).is_some_and(|fd| fd.any() == Some(true));
    Ok((!is_ready(0)).then(|| Ready { udp: is_ready(1), tcp: is_ready(2) }))
}

fn take_questions(sockets: &Sockets, names: &mut Names, resolvers: &[IpAddr], pending: &mut Vec<Pending>) {
    let mut buffer = [0; LARGEST];
    while let Ok((length, client)) = sockets.udp.recv_from(&mut buffer) {
        let query = &buffer[..length];
        let Some(question) = Question::read(query) else { continue };
        if let Some(known) = names.answer(&question) {
            let _client_is_gone = sockets.udp.send_to(&question.answer(query, Outcome::Good, &known), client);
            continue;
        }
        if pending.len() == AT_ONCE {
            pending.remove(0);
        }
        let query = query.to_vec();
        match pass_on(&query, resolvers, 0) {
            Some((socket, next)) => {
                pending.push(Pending { client, query, question, socket, next, since: Instant::now() })
            }
            None => fail(sockets, client, &query, &question),
        }
    }
}

/// Asks the first of `resolvers` from number `next` on that can be asked.
fn pass_on(query: &[u8], resolvers: &[IpAddr], next: usize) -> Option<(UdpSocket, usize)> {
    (next..resolvers.len()).find_map(|number| {
        let any: IpAddr =
            if resolvers[number].is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        // Connected: the kernel drops what others send, and tells when nobody listens there.
        socket.connect((resolvers[number], PORT)).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.send(query).ok()?;
        Some((socket, number + 1))
    })
}

/// Passes the answer on if it has come; asks the next resolver if it will not.
fn is_settled(pending: &mut Pending, sockets: &Sockets, resolvers: &[IpAddr]) -> bool {
    let mut buffer = [0; LARGEST];
    loop {
        match pending.socket.recv(&mut buffer) {
            Ok(length) if answers(&pending.query, &pending.question, &buffer[..length]) => {
                let _client_is_gone = sockets.udp.send_to(&buffer[..length], pending.client);
                return true;
            }
            // Somebody guesses.
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && pending.since.elapsed() < PATIENCE => {
                return false;
            }
            Err(_) => break,
        }
    }
    match pass_on(&pending.query, resolvers, pending.next) {
        Some((socket, next)) => (pending.socket, pending.next, pending.since) = (socket, next, Instant::now()),
        None => {
            fail(sockets, pending.client, &pending.query, &pending.question);
            return true;
        }
    }
    false
}

fn fail(sockets: &Sockets, client: SocketAddr, query: &[u8], question: &Question) {
    let _client_is_gone = sockets.udp.send_to(&question.answer(query, Outcome::Failed, &[]), client);
}

/// Answers that are too long for a datagram are asked for again by TCP. They are rare: one after the other will do.
fn answer_stream(sockets: &Sockets, names: &mut Names, resolvers: &[IpAddr]) {
    let Ok((mut client, _)) = sockets.tcp.accept() else { return };
    let Some(query) = receive(&mut client, Duration::from_millis(500)) else { return };
    let Some(question) = Question::read(&query) else { return };
    let answer = match names.answer(&question) {
        Some(known) => question.answer(&query, Outcome::Good, &known),
        None => resolvers
            .iter()
            .find_map(|resolver| ask_by_stream(*resolver, &query))
            .unwrap_or_else(|| question.answer(&query, Outcome::Failed, &[])),
    };
    let _client_is_gone = send(&mut client, &answer);
}

fn ask_by_stream(resolver: IpAddr, query: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(resolver, PORT), PATIENCE).ok()?;
    send(&mut stream, query)?;
    receive(&mut stream, PATIENCE)
}

/// A message after its length (RFC 1035, 4.2.2).
fn receive(stream: &mut TcpStream, patience: Duration) -> Option<Vec<u8>> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

fn send(stream: &mut TcpStream, message: &[u8]) -> Option<()> {
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let length = u16::try_from(message.len()).ok()?.to_be_bytes();
    stream.write_all(&[&length, message].concat()).ok()
}
