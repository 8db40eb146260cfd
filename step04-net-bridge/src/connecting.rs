//! The network made beside everything else: in a thread of its own, while the engine prepares the rest and the container mounts.
//!
//! ```no_run
//! # use step04_net_bridge::{Connecting, Networks, PortSpec, Request, Settings};
//! # fn f(networks: Networks, settings: Settings, request: Request, ports: Vec<PortSpec>) -> Result<(), Box<dyn std::error::Error>> {
//! let connecting = Connecting::begin(networks, settings, request, ports)?;
//! // … images, overlay, cgroup, filter …
//! let wired = connecting.netns()?; // the namespace is there; the rest goes on
//! let child_half = || -> Result<(), sys::Failure<'static>> {
//!     wired.enter()?; // before /sys is mounted
//!     // … mounts …
//!     wired.wait() // all is connected
//! };
//! // spawn(&clone, child_half)?;
//! let endpoint = wired.finish()?;
//! # Ok(()) }
//! ```

use crate::networks::Joined;
use crate::{Endpoint, Error, Lease, Netns, Network, Networks, PortSpec, Request, Settings, veth};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read, write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use sys::schedule::beside;
use sys::{Failure, Whilst};

/// A network that is being made.
#[derive(Debug)]
pub struct Connecting {
    thread: JoinHandle<Result<Endpoint, Error>>,
    first: Receiver<Place>,
}

/// What is known once the namespace is there.
#[derive(Debug)]
struct Place {
    netns: Arc<Netns>,
    network: Network,
    lease: Lease,
    ready: OwnedFd,
    tell: Arc<OwnedFd>,
}

/// A network namespace whose connection is being made.
#[derive(Debug)]
pub struct Wired {
    thread: JoinHandle<Result<Endpoint, Error>>,
    place: Place,
}

impl Connecting {
    /// Begins: everything from the bridge to the published ports.
    ///
    /// # Errors
    /// pthread_create(3). What else goes wrong comes out of [`Connecting::netns`] and [`Wired::finish`].
    pub fn begin(
        networks: Networks,
        settings: Settings,
        request: Request,
        ports: Vec<PortSpec>,
    ) -> Result<Self, Error> {
        Self::begin_and(networks, settings, request, ports, |_| Ok(()))
    }

    /// The same, and `more` is done with the namespace before the container is told that all is connected: other networks, a
    /// server inside.
    ///
    /// # Errors
    /// As [`Connecting::begin`]; an error of `more` comes out of [`Wired::finish`].
    pub fn begin_and(
        networks: Networks,
        settings: Settings,
        request: Request,
        ports: Vec<PortSpec>,
        more: impl FnOnce(&Netns) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (sender, first) = sync_channel(1);
        let name = thread::Builder::new().name("network".to_owned());
        let thread = beside(name, move || connect(&networks, &settings, &request, &ports, &sender, more));
        let thread = thread.map_err(|_| Error::Thread)?;
        Ok(Self { thread, first })
    }

    /// Waits until the namespace is there: before the clone, since the child can use only descriptors from before it.
    ///
    /// # Errors
    /// What kept it from being made.
    pub fn netns(self) -> Result<Wired, Error> {
        match self.first.recv() {
            Ok(place) => Ok(Wired { thread: self.thread, place }),
            Err(_) => Err(self.thread.join().map_err(|_| Error::Thread)?.err().unwrap_or(Error::Thread)),
        }
    }
}

impl Wired {
    /// The container's addresses.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.place.lease
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.place.network
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Netns {
        &self.place.netns
    }

    /// Moves the calling process into the namespace. Child half, before `/sys` is mounted, which shows it.
    ///
    /// # Errors
    /// As [`Netns::enter`].
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    pub fn enter(&self) -> Result<(), Failure<'static>> {
        self.place.netns.enter()
    }

    /// Waits until all is connected. Child half, as late as can be.
    ///
    /// # Errors
    /// ECANCELED when it will not be: [`Wired::finish`] says why.
    // ANCHOR: wait
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    pub fn wait(&self) -> Result<(), Failure<'static>> {
        // Our copy of the writing end: with it open, the end of a parent that dies would not be seen.
        sys::fd::close_copy(&*self.place.tell).whilst("close the parent's end of the network's gate", c"")?;
        let mut word = [0];
        match read(&self.place.ready, &mut word) {
            Ok(1) if word == [CONNECTED] => Ok(()),
            Ok(_) => Err(Errno::ECANCELED),
            Err(errno) => Err(errno),
        }
        .whilst("wait for the network", c"")
    }
    // ANCHOR_END: wait

    /// Waits for the result. It has to be asked for even when the container did not start.
    ///
    /// # Errors
    /// What kept it from being connected.
    pub fn finish(self) -> Result<Endpoint, Error> {
        self.thread.join().map_err(|_| Error::Thread)?
    }
}

const CONNECTED: u8 = b'+';

/// The thread.
// ANCHOR: thread
fn connect(
    networks: &Networks,
    settings: &Settings,
    request: &Request,
    ports: &[PortSpec],
    first: &SyncSender<Place>,
    more: impl FnOnce(&Netns) -> Result<(), Error>,
) -> Result<Endpoint, Error> {
    let joined = networks.join(settings, request)?;
    let host = Netns::of_this_thread()?;
    let netns = Arc::new(Netns::unshare()?);
    let gate = hand_over(&joined, &netns, first)?;
    veth::make(&joined.bridge, &joined.lease, &netns)?;
    veth::configure(&joined.bridge, &joined.lease)?;
    host.enter().map_err(|failure| Error::errno("go back to the network namespace of", "the host")(failure.errno))?;
    let endpoint = Endpoint::publish(&joined, ports)?;
    more(&netns)?;
    veth::wait_until_operational(&joined.bridge, &joined.lease)?;
    gate.open()?;
    Ok(endpoint)
}
// ANCHOR_END: thread

fn hand_over(joined: &Joined, netns: &Arc<Netns>, first: &SyncSender<Place>) -> Result<Gate, Error> {
    let (ready, tell) = pipe2(OFlag::O_CLOEXEC).map_err(Error::errno("make a pipe for", &joined.lease.id))?;
    let tell = Arc::new(tell);
    let (network, lease) = (joined.bridge.network().clone(), joined.lease.clone());
    let place = Place { netns: netns.clone(), network, lease, ready, tell: tell.clone() };
    first.send(place).map_err(|_| Error::Thread)?;
    Ok(Gate { tell, opened: false })
}

/// The child waits at it: it is told the end in any case, also when this thread fails or panics.
struct Gate {
    tell: Arc<OwnedFd>,
    opened: bool,
}

impl Gate {
    fn open(mut self) -> Result<(), Error> {
        self.opened = true;
        write(&*self.tell, &[CONNECTED]).map(drop).map_err(Error::errno("tell that it is connected", "the container"))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if !self.opened {
            let _nobody_waits = write(&*self.tell, b"-");
        }
    }
}
