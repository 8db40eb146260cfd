//! Beginning and ending a container's network.

use super::begin::Connected;
use super::later::{Later, Way};
use super::names::Answering;
use super::user_mode::{self, Tool};
use super::{Begun, Definition, Mode, Networking, alive, alive_if_any, files};
use crate::container::Record;
use crate::dirs::Dirs;
use anyhow::Result;
use std::net::IpAddr;
use step04_net_bridge::dns::Sockets;
use step04_net_bridge::{Connecting, DEFAULT, Endpoint, PortSpec, Request, Settings, published};
use step06_capabilities::MaskedPaths;

/// All that has to be known of a container to make its network.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) dirs: &'a Dirs,
    pub(crate) id: &'a str,
    /// Its name, once it has one: for others of a user network.
    pub(crate) name: Option<&'a str>,
    pub(crate) networking: &'a Networking,
}

impl Plan<'_> {
    /// Begins what needs neither the image nor the container's name. `None` when there is nothing to begin yet.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn begin_early(&self) -> Result<Option<Begun>> {
        let networking = self.networking;
        // The specification asks for it later, and would wait for the thread that is begun here.
        MaskedPaths::throttles();
        match networking.mode {
            Mode::None => Begun::loopback().map(Some),
            Mode::Bridge if !networking.has_names() && !networking.publish_all => self.begin(),
            _ => Ok(None),
        }
    }

    /// Begins whatever the container has.
    ///
    /// # Errors
    /// [`crate::report::Refusal`] for a network that is not there.
    pub(crate) fn begin(&self) -> Result<Option<Begun>> {
        match self.networking.mode {
            Mode::None => Begun::loopback().map(Some),
            Mode::Bridge => self.connect().map(Some),
            Mode::Pasta | Mode::Slirp4netns => self.later(),
            Mode::Host | Mode::Container(_) => Ok(None),
        }
    }

    /// For a container whose network namespace comes with its user namespace.
    ///
    /// # Errors
    /// As [`Plan::begin`].
    pub(crate) fn later(&self) -> Result<Option<Begun>> {
        let way = match self.networking.mode {
            Mode::Bridge => Way::Bridges(self.wanted()?, self.networking.has_names().then(|| self.networking.chosen())),
            Mode::Pasta => Way::Through(Tool::Pasta, self.id.to_owned()),
            Mode::Slirp4netns => Way::Through(Tool::Slirp4netns, self.id.to_owned()),
            Mode::None => Way::Nowhere,
            Mode::Host | Mode::Container(_) => return Ok(None),
        };
        let later = Later::new(self.dirs.clone(), way, self.networking.ports())?;
        Ok(Some(Begun::Later(Box::new(later))))
    }

    /// The networks, and what is asked of each.
    fn wanted(&self) -> Result<Vec<(Settings, Request)>> {
        let mut all = Vec::new();
        for (interface, attachment) in (0..).zip(&self.networking.attachments) {
            let names = self.name.map(str::to_owned).into_iter().chain(attachment.aliases.iter().cloned()).collect();
            let mac = attachment.mac.as_deref().map(str::parse).transpose()?;
            let settings = settings(self.dirs, &attachment.network)?;
            let address = attachment.v4(&settings)?;
            all.push((settings, Request { id: self.id.to_owned(), interface, address, mac, names }));
        }
        Ok(all)
    }

    fn connect(&self) -> Result<Begun> {
        let networks = alive(self.dirs)?;
        let mut all = self.wanted()?;
        let (settings, request) = all.remove(0);
        let (answering, sockets) = match self.networking.has_names() {
            true => Some(Answering::prepare(self.dirs, self.id, self.networking.chosen())?).unzip(),
            false => (None, None),
        };
        let (ports, others) = (self.networking.ports(), networks.clone());
        let connecting = Connecting::begin_and(networks, settings, request, ports, move |netns| {
            for (settings, request) in all {
                Endpoint::connect(&others.join(&settings, &request)?, netns, &[])?;
            }
            if let Some(sockets) = sockets {
                // Nobody receives when the start has failed already.
                let _failed = sockets.send(Sockets::open(netns)?);
            }
            Ok(())
        })?;
        Ok(Begun::Bridge(Box::new(Connected::new(connecting, answering))))
    }
}

/// What step 4 needs to know of the network of this name.
pub(crate) fn settings(dirs: &Dirs, name: &str) -> Result<Settings> {
    if name == DEFAULT { Ok(Settings::default_network()) } else { Definition::find(dirs, name)?.settings() }
}

impl Begun {
    /// Writes the container's files, and leaves what waits for the address.
    ///
    /// # Errors
    /// write(2).
    pub(crate) fn with_files(self, dirs: &Dirs, record: &Record) -> Result<Self> {
        let waiting = files::write(dirs, record)?;
        Ok(match self {
            Self::Bridge(connected) => Self::Bridge(Box::new(connected.with_hosts(waiting))),
            Self::Later(later) => Self::Later(Box::new(later.with_hosts(waiting))),
            loopback @ Self::Loopback(_) => loopback,
        })
    }
}

/// After the end: published ports, addresses. The links go with the namespace.
///
/// # Errors
/// When the kernel refuses; what is gone already is no error.
pub(crate) fn release(dirs: &Dirs, record: &Record) -> Result<()> {
    if matches!(record.networking.mode, Mode::Pasta | Mode::Slirp4netns) {
        user_mode::release(&dirs.live(&record.id));
    }
    if record.networking.mode != Mode::Bridge && record.networking.attachments.is_empty() {
        return Ok(());
    }
    let Some(networks) = alive_if_any(dirs) else { return Ok(()) };
    let (id, first) = (&record.id, record.networking.attachments.first());
    let lease = first.and_then(|first| networks.lease(&first.network, id));
    if let (false, Some(lease), Some(first)) = (record.networking.publish.is_empty(), lease, first) {
        let ports = published()?.into_iter().filter(|(_, owner)| owner == id).map(|(port, _)| port).collect();
        Endpoint { network: first.network.clone(), lease, ports }.unpublish_and_end()?;
    }
    for network in networks.of_container(id)? {
        networks.leave(&network.name, id)?;
    }
    Ok(())
}

/// The same for whatever is left of a container that nobody supervises: also links.
///
/// # Errors
/// As [`release`].
pub(crate) fn forget(dirs: &Dirs, id: &str) -> Result<()> {
    Ok(alive_if_any(dirs).map_or(Ok(()), |networks| networks.reclaim(id))?)
}

/// Ports that `-P` publishes: those exposed, each on a free port of the host.
pub(crate) fn publish_all(networking: &mut Networking) {
    for port in networking.expose.clone() {
        let covered = |words: &String| {
            let (wanted, spec) = (port.parse::<PortSpec>(), words.parse::<PortSpec>());
            matches!((wanted, spec), (Ok(wanted), Ok(spec)) if wanted.protocol == spec.protocol
                && spec.container.contains(wanted.container.start()))
        };
        if !networking.publish.iter().any(covered) {
            networking.publish.push(port);
        }
    }
}

/// What `host-gateway` and the like stand for has to be an address.
pub(crate) fn is_address(text: &str) -> bool {
    text == "host-gateway" || text.parse::<IpAddr>().is_ok()
}
