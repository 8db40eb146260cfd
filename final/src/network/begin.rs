//! A network made on the other processor, while the main thread finds the image and mounts the overlay.
//!
//! The kernel needs longer for a network namespace than for all the others together (SPEED: 366 of 628 µs), so it is begun first
//! and entered by setns, instead of being one more flag of clone3. The link to the bridge is made while the child mounts, and
//! the child waits for it as late as it can.

use super::files::Hosts;
use super::later::Later;
use super::names::Answering;
use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::{Builder, JoinHandle};
use step04_net_bridge::{Connecting, Wired, loopback_up, ports_for_all};
use sys::explain::phase;
use sys::schedule::beside;
use sys::{Failure, Whilst};

/// A network in the making.
#[derive(Debug)]
pub enum Begun {
    /// A namespace with its loopback link up.
    Loopback(JoinHandle<Result<OwnedFd>>),
    /// A namespace that is connected to a bridge.
    Bridge(Box<Connected>),
    /// A namespace that comes with the container's user namespace.
    Later(Box<Later>),
}

/// What belongs to a container on bridges.
#[derive(Debug)]
pub struct Connected {
    /// `None` once it is taken; else it is waited for: what it makes after a failed start, nobody would remove.
    connecting: Option<Connecting>,
    /// Written once the address is known.
    hosts: Option<Hosts>,
    /// Names of user networks, once they are connected.
    answering: Option<Answering>,
}

/// A network namespace that is there; what leads out of it may still be in the making.
#[derive(Debug)]
pub enum Ready {
    /// Nothing more will come.
    Namespace(OwnedFd),
    /// A link to a bridge will come.
    Wired(Box<Link>),
    /// The namespace too.
    Later(Box<Later>),
}

/// A link to a bridge in the making.
#[derive(Debug)]
pub struct Link {
    /// `None` once it is taken, as of [`Connected`].
    wired: Option<Wired>,
    answering: Option<Answering>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(Ok(wired)) = self.connecting.take().map(Connecting::netns) {
            let _nobody_asks_any_more = wired.finish();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _nobody_asks_any_more = self.wired.take().map(Wired::finish);
    }
}

impl Connected {
    pub(super) fn new(connecting: Connecting, answering: Option<Answering>) -> Self {
        Self { connecting: Some(connecting), hosts: None, answering }
    }

    pub(super) fn with_hosts(mut self, hosts: Option<Hosts>) -> Self {
        self.hosts = hosts;
        self
    }

    /// Waits for the namespace, by which time the address is known.
    fn link(mut self) -> Result<Link> {
        let connecting = self.connecting.take().context("the network is taken already")?;
        let link = Link { wired: Some(connecting.netns()?), answering: self.answering.take() };
        if let (Some(hosts), Some(wired)) = (&self.hosts, &link.wired) {
            let (network, address) = (wired.network(), wired.lease().address);
            let v6 = network.subnet6.map(|subnet| subnet.of_v4(address).into());
            let own: Vec<_> = [Some(address.into()), v6].into_iter().flatten().collect();
            hosts.write(&own, network.gateway.into())?;
        }
        Ok(link)
    }
}

impl Begun {
    /// Begins one with the loopback link and nothing else. The namespace of this thread stays the host's.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn loopback() -> Result<Self> {
        let maker = beside(Builder::new().stack_size(64 * 1024), make);
        let maker = maker.context("start a thread for the network")?;
        Ok(Self::Loopback(maker))
    }

    /// The namespace, once it is there.
    ///
    /// # Errors
    /// unshare(2), what keeps the loopback link down; what keeps the network from being made.
    pub fn ready(self) -> Result<Ready> {
        match self {
            Self::Loopback(maker) => {
                let made = maker.join().unwrap_or_else(|_| Err(anyhow!("the thread for the network panicked")));
                Ok(Ready::Namespace(made?))
            }
            Self::Bridge(connected) => connected.link().map(Box::new).map(Ready::Wired),
            Self::Later(later) => Ok(Ready::Later(later)),
        }
    }
}

impl Ready {
    /// Whether the namespace is there; else the clone makes it.
    pub(crate) fn is_made(&self) -> bool {
        !matches!(self, Self::Later(_))
    }

    /// Connects what could not be connected before there is a process. Host half, while the child mounts.
    ///
    /// # Errors
    /// What kept it from being connected; the child is told, too.
    pub(crate) fn connect(&self, host_pid: Pid) -> Result<()> {
        match self {
            Self::Later(later) => later.connect(host_pid),
            Self::Namespace(_) | Self::Wired(_) => Ok(()),
        }
    }

    /// Moves the calling process into it. Child half, before `/sys` is mounted, which shows it.
    ///
    /// # Errors
    /// setns(2).
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    pub fn enter(&self) -> Result<(), Failure<'static>> {
        match self {
            Self::Namespace(ready) => setns(ready, CloneFlags::CLONE_NEWNET).whilst("enter the network namespace", c""),
            Self::Wired(link) => link.wired.as_ref().map_or(Ok(()), Wired::enter),
            Self::Later(_) => {
                ports_for_all();
                loopback_up()
            }
        }
    }

    /// Waits until all is connected. Child half, as late as can be.
    ///
    /// # Errors
    /// ECANCELED when it will not be: [`Ready::finish`] says why.
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    pub fn wait(&self) -> Result<(), Failure<'static>> {
        match self {
            Self::Namespace(_) => Ok(()),
            Self::Wired(link) => link.wired.as_ref().map_or(Ok(()), Wired::wait),
            Self::Later(later) => later.wait(),
        }
    }

    /// Waits for the result, also when the container did not start. With the PID of a container that did, names are answered
    /// as long as it runs. While the caller has the namespace that comes back, the kernel does not take it down.
    ///
    /// # Errors
    /// What kept it from being connected.
    pub fn finish(self, host_pid: Option<Pid>) -> Result<Option<OwnedFd>> {
        let mut link = match self {
            Self::Namespace(namespace) => return Ok(Some(namespace)),
            Self::Wired(link) => link,
            Self::Later(_) => return Ok(None),
        };
        let wired = link.wired.take().context("the network is taken already")?;
        let namespace = wired.namespace().as_fd().try_clone_to_owned().ok();
        wired.finish()?;
        if let (Some(answering), Some(host_pid)) = (link.answering.take(), host_pid) {
            answering.go_on(host_pid)?;
        }
        Ok(namespace)
    }
}

/// unshare changes the calling thread alone; the namespace outlives it through the descriptor.
fn make() -> Result<OwnedFd> {
    phase("make a network namespace, while the first thread goes on");
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
    phase("bring its loopback link up");
    loopback_up().map_err(|failure| anyhow!("{failure}"))?;
    ports_for_all();
    open_namespace(Path::new("/proc/thread-self/ns/net")).context("open the network namespace")
}

pub(crate) fn open_namespace(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}
