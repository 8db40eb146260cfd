//! Who answers for names of user networks: a process a container, as long as the container runs.
//!
//! It listens inside the container's network namespace and asks outside (step 4, `dns`). It holds nothing but its two sockets and the
//! pidfd of the container, whose end is its own: also when everybody else was killed.

use super::alive;
use crate::dirs::Dirs;
use anyhow::{Context, Result, anyhow};
use nix::unistd::{Pid, setsid};
use std::convert::Infallible;
use std::fs;
use std::io::{stderr, stdin, stdout};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use step04_net_bridge::dns::{Names, Sockets, serve};
use step04_net_bridge::{Networks, resolv};
use sys::fd::{close_from_and, dup_onto};
use sys::process::exit_now;

/// Names that will be answered: the sockets come when the network is there.
#[derive(Debug)]
pub struct Answering {
    sockets: Receiver<Sockets>,
    networks: Networks,
    id: String,
    resolvers: Vec<IpAddr>,
}

impl Answering {
    /// Prepares it for the container `id`; the sockets go into the sender.
    pub(super) fn prepare(dirs: &Dirs, id: &str, chosen: resolv::Chosen) -> Result<(Self, SyncSender<Sockets>)> {
        let (sender, sockets) = sync_channel(1);
        let resolvers = resolv::Resolver::of_host().with(chosen).servers;
        Ok((Self { sockets, networks: alive(dirs)?, id: id.to_owned(), resolvers }, sender))
    }

    /// Answers until the process `host_pid` ends, in a process of its own.
    ///
    /// # Errors
    /// fork(2), pidfd_open(2).
    pub(super) fn go_on(self, host_pid: Pid) -> Result<()> {
        let sockets = self.sockets.recv().map_err(|_| anyhow!("nobody listens for names"))?;
        // A program that has ended already has no questions.
        let Ok(end) = sys::process::pidfd_open(host_pid) else { return Ok(()) };
        let known = (self.networks, self.id, self.resolvers);
        let work = || serve_alone(sockets, end, known);
        alone()?;
        sys::clone::fork(work).map(drop).context("start the process that answers for names")
    }
}

/// Waits until the thread that made the network is gone for the kernel too: it is joined a moment before that.
fn alone() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    while fs::read_dir("/proc/self/task").context("list our threads")?.count() > 1 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    Ok(())
}

type Known = (Networks, String, Vec<IpAddr>);

/// The lock, the log's pipes and the terminal are not this process's: open here, they would not end with their owners. Its own
/// three descriptors become 0, 1 and 2, and all others are closed.
fn serve_alone(sockets: Sockets, end: OwnedFd, known: Known) -> u8 {
    let _leads_one_already = setsid();
    let known: &'static Known = Box::leak(Box::new(known));
    let own = [sockets.udp.as_fd(), sockets.tcp.as_fd(), end.as_fd()];
    let moved = (0..).zip(own).try_for_each(|(number, fd)| dup_onto(fd, number));
    u8::from(moved.and_then(|()| close_from_and(3, known, serve_on_standard_descriptors)).is_err())
}

fn serve_on_standard_descriptors((networks, id, resolvers): &'static Known) -> Infallible {
    let serve = || -> Result<()> {
        let udp = stdin().as_fd().try_clone_to_owned()?.into();
        let tcp = stdout().as_fd().try_clone_to_owned()?.into();
        let mut names = Names::of_container(networks.clone(), id);
        Ok(serve(&Sockets { udp, tcp }, &mut names, resolvers, stderr().as_fd())?)
    };
    exit_now(u8::from(serve().is_err()))
}
