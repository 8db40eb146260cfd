//! A network that is connected once there is a process: while the child mounts.
//!
//! With a user namespace of its own a container's network namespace belongs to that, or its root could not do in it what root does
//! in others. So it cannot be made ahead on the other processor: clone3 makes both. Without root, a program of its own connects it.

use super::alive;
use super::files::Hosts;
use super::names::Answering;
use super::user_mode::Tool;
use crate::dirs::Dirs;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Pid, pipe2, read, write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use step04_net_bridge::dns::Sockets;
use step04_net_bridge::{Endpoint, Netns, PortSpec, Request, Settings, resolv};
use sys::{Failure, Whilst};

/// All that is needed to connect a network namespace, once it is there.
#[derive(Debug)]
pub struct Later {
    dirs: Dirs,
    way: Way,
    ports: Vec<PortSpec>,
    hosts: Option<Hosts>,
    /// The child waits at its end of this pipe.
    gate: (OwnedFd, OwnedFd),
}

/// How it is connected.
#[derive(Debug)]
pub(super) enum Way {
    /// Not at all: there is the loopback link.
    Nowhere,
    /// To bridges; with who is asked for names, where names are answered.
    Bridges(Vec<(Settings, Request)>, Option<resolv::Chosen>),
    /// By a program, for the container with this id.
    Through(Tool, String),
}

const CONNECTED: u8 = b'+';

impl Later {
    /// # Errors
    /// pipe(2).
    pub(super) fn new(dirs: Dirs, way: Way, ports: Vec<PortSpec>) -> Result<Self> {
        let gate = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
        Ok(Self { dirs, way, ports, hosts: None, gate })
    }

    pub(super) fn with_hosts(self, hosts: Option<Hosts>) -> Self {
        Self { hosts, ..self }
    }

    /// Connects the namespace of the process `host_pid`, and lets the child go on or give up.
    pub(super) fn connect(&self, host_pid: Pid) -> Result<()> {
        let connected = match &self.way {
            Way::Nowhere => Ok(()),
            Way::Bridges(wanted, names) => self.connect_all(wanted, names.as_ref(), host_pid),
            Way::Through(tool, id) => tool.connect(&self.dirs.live(id), &self.ports, host_pid),
        };
        let word = if connected.is_ok() { CONNECTED } else { b'-' };
        write(&self.gate.1, &[word]).context("tell the container that it is connected")?;
        connected
    }

    fn connect_all(&self, wanted: &[(Settings, Request)], names: Option<&resolv::Chosen>, host_pid: Pid) -> Result<()> {
        let (networks, netns) = (alive(&self.dirs)?, Netns::of_process(host_pid)?);
        for (number, (settings, request)) in wanted.iter().enumerate() {
            let joined = networks.join(settings, request)?;
            let first = number == 0;
            let endpoint = Endpoint::connect(&joined, &netns, if first { &self.ports } else { &[] })?;
            if let (true, Some(hosts), Some(network)) = (first, &self.hosts, networks.network(&endpoint.network)) {
                let address = endpoint.lease.address;
                let v6 = network.subnet6.map(|subnet| IpAddr::from(subnet.of_v4(address)));
                let own: Vec<_> = [Some(address.into()), v6].into_iter().flatten().collect();
                hosts.write(&own, network.gateway.into())?;
            }
        }
        let (Some(chosen), Some((_, request))) = (names, wanted.first()) else { return Ok(()) };
        let (answering, sender) = Answering::prepare(&self.dirs, &request.id, chosen.clone())?;
        sender.send(Sockets::open(&netns)?).context("hand over the sockets for names")?;
        answering.go_on(host_pid)
    }

    /// Child half.
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    pub(super) fn wait(&self) -> Result<(), Failure<'static>> {
        // Our copy of the writing end: with it open, the end of a parent that dies would not be seen.
        sys::fd::close_copy(&self.gate.1).whilst("close the parent's end of the network's gate", c"")?;
        let mut word = [0];
        match read(&self.gate.0, &mut word) {
            Ok(1) if word == [CONNECTED] => Ok(()),
            Ok(_) => Err(Errno::ECANCELED),
            Err(errno) => Err(errno),
        }
        .whilst("wait for the network", c"")
    }
}
