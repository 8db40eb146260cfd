//! A network namespace made on the other processor, while the main thread finds the image and mounts the overlay.
//!
//! The kernel needs longer for it than for all the other namespaces together (SPEED: 366 of 628 µs), so it is begun first
//! and entered by setns, instead of being one more flag of clone3.

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use step04_net_bridge::loopback_up;

/// A network namespace in the making.
#[derive(Debug)]
pub struct Network {
    maker: JoinHandle<Result<OwnedFd>>,
}

impl Network {
    /// Begins one, with its loopback link up and nothing else. The namespace of this thread stays the host's.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin() -> Result<Self> {
        let maker = std::thread::Builder::new().stack_size(64 * 1024).spawn(make);
        Ok(Self { maker: maker.context("start a thread for the network")? })
    }

    /// The namespace, once it is there.
    ///
    /// # Errors
    /// unshare(2), and what keeps the loopback link down.
    pub fn finish(self) -> Result<OwnedFd> {
        self.maker.join().unwrap_or_else(|_| Err(anyhow!("the thread for the network panicked")))
    }
}

/// unshare changes the calling thread alone; the namespace outlives it through the descriptor.
fn make() -> Result<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
    loopback_up().map_err(|failure| anyhow!("{failure}"))?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    open(c"/proc/thread-self/ns/net", flags, Mode::empty()).context("open the network namespace")
}
