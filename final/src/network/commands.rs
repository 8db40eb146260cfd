//! What `tara network` does.

use super::names::Answering;
use super::start::settings;
use super::{Attachment, Definition, Mode, Networking, alive, alive_if_any, definition, files};
use crate::container::{Container, Record, Status, Turn, find_id, new_id, none};
use crate::engine::Engine;
use crate::events::{Notes, note_other};
use crate::report::Refusal;
use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use step04_net_bridge::dns::Sockets;
use step04_net_bridge::{
    DEFAULT, Endpoint, HostAddresses, Lease, Netns, Network, Networks, Request, Settings, Subnet, Subnet6,
    forward_blocker, published,
};

/// What `network create` is asked for.
#[derive(Debug, Clone, Default)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// Its addresses; the first free when nobody says.
    pub subnet: Option<Subnet>,
    /// The host's address.
    pub gateway: Option<Ipv4Addr>,
    /// The part of the addresses from which containers get theirs.
    pub range: Option<Subnet>,
    /// Its IPv6 addresses.
    pub subnet6: Option<Subnet6>,
    /// Whether it has no way out.
    pub internal: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What cannot be the name of a user network.
const PREDEFINED: [&str; 4] = [DEFAULT, "none", "host", "default"];

impl Engine {
    /// Makes a user network, which outlives the machine: its id.
    ///
    /// # Errors
    /// [`Refusal`] for a name that is taken; a subnet that collides with a route of the host, which is named.
    pub fn create_network(&self, new: &NewNetwork) -> Result<String> {
        let dirs = self.dirs();
        if PREDEFINED.contains(&new.name.as_str()) {
            let what = format!("operation is not permitted on predefined {} network", new.name);
            bail!(Refusal::new(what).help("choose another name").code(1));
        }
        if Definition::all(dirs)?.iter().any(|network| network.name == new.name) {
            return Err(definition::exists(&new.name));
        }
        let networks = alive(dirs)?;
        // The default network has the first of the usual subnets, also after the machine was started anew.
        networks.ensure(&Settings::default_network())?;
        let bridge = networks.ensure(&Settings {
            name: new.name.clone(),
            subnet: Some(new.subnet.map_or_else(|| self.free_subnet(&networks), Ok)?),
            gateway: new.gateway,
            range: new.range,
            subnet6: new.subnet6,
            internal: new.internal,
        })?;
        warn_of_a_blocker();
        let id = new_id()?;
        Definition::of(id.clone(), bridge.network(), new.labels.clone()).create(dirs)?;
        Notes::default().and_network("create", &new.name, Some(&id), None).write(dirs);
        Ok(id)
    }

    /// Not one of a network that will only be made again when it is needed.
    fn free_subnet(&self, networks: &Networks) -> Result<Subnet> {
        let defined = Definition::all(self.dirs())?.into_iter().filter_map(|network| network.subnet.parse().ok());
        let there = networks.all()?.into_iter().map(|network| network.subnet);
        Ok(HostAddresses::ask("")?.free_subnet(&defined.chain(there).collect::<Vec<_>>())?)
    }

    /// Removes a user network that nobody is in.
    ///
    /// # Errors
    /// [`Refusal`] for one that is in use, and for those that always are there.
    pub fn remove_network(&self, reference: &str) -> Result<()> {
        if PREDEFINED.contains(&reference) {
            let refusal = Refusal::new(format!("{reference} is a pre-defined network and cannot be removed"));
            bail!(refusal.help("`tara network prune` takes its bridge away until it is needed").code(1));
        }
        let network = Definition::find(self.dirs(), reference)?;
        if let Some(networks) = alive_if_any(self.dirs()) {
            networks.remove(&network.name)?;
        }
        network.remove(self.dirs())?;
        Notes::default().and_network("destroy", &network.name, Some(&network.id), None).write(self.dirs());
        Ok(())
    }

    /// Removes the user networks that nobody is in, and the default bridge until it is needed again: the names of the former.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn prune_networks(&self) -> Result<Vec<String>> {
        let dirs = self.dirs();
        let networks = alive_if_any(dirs);
        let is_used = |name: &str| {
            let leases = networks.as_ref().filter(|networks| networks.network(name).is_some())?.leases(name).ok()?;
            leases.is_empty().ok().map(|empty| !empty)
        };
        let mut removed = Vec::new();
        for network in Definition::all(dirs)? {
            if is_used(&network.name) != Some(true) {
                self.remove_network(&network.name)?;
                removed.push(network.name);
            }
        }
        if let (Some(networks), Some(false)) = (&networks, is_used(DEFAULT)) {
            networks.remove(DEFAULT)?;
        }
        note_other(dirs, "network", "prune", "", &[("reclaimed", "0".to_owned())]);
        Ok(removed)
    }

    /// Connects a container to a network; one that runs gets a link at once.
    ///
    /// # Errors
    /// [`Refusal`] for one that is in it already, or that has no network of its own.
    pub fn connect(&self, mut attachment: Attachment, container: &str) -> Result<()> {
        let id_of_container = find_id(self.dirs(), container)?;
        // Of two at once the second finds what the first has done: another link, another line in the record.
        let _turn = Turn::take(self.dirs(), &id_of_container, container)?;
        let Container { mut record, status, .. } = Container::find(self.dirs(), &id_of_container)?;
        let mut id = None;
        if attachment.network != DEFAULT {
            let definition = Definition::find(self.dirs(), &attachment.network)?;
            (attachment.network, id) = (definition.name, Some(definition.id));
        }
        check_mode(&record)?;
        if self.is_connected(&record, &attachment.network) {
            let what = format!("endpoint with name {} already exists in network {}", record.name, attachment.network);
            bail!(Refusal::new(what).code(1));
        }
        if let Status::Running(state) = status {
            let pid = Pid::from_raw(state.host_pid);
            if let Err(error) = self.connect_running(&record, &attachment, pid) {
                alive(self.dirs())?.disconnect(&attachment.network, &record.id)?;
                return Err(error);
            }
        }
        if !self.dirs().container(&record.id).exists() {
            // It was removed meanwhile, and what it had in its networks with it; but not what came after.
            super::forget(self.dirs(), &record.id)?;
            return Err(none(container));
        }
        Notes::default()
            .and_network("connect", &attachment.network, id.as_deref(), Some(&record.id))
            .write(self.dirs());
        record.networking.attachments.push(attachment);
        self.remember(&record)
    }

    fn connect_running(&self, record: &Record, attachment: &Attachment, pid: Pid) -> Result<()> {
        let (dirs, id, networks) = (self.dirs(), &record.id, alive(self.dirs())?);
        let used: Vec<u8> = leases_of(&networks, id)?.iter().map(|(_, lease)| lease.interface).collect();
        let interface = (0..36).find(|number| !used.contains(number)).context("the container has 36 links already")?;
        let names = [std::slice::from_ref(&record.name), &attachment.aliases].concat();
        let settings = settings(dirs, &attachment.network)?;
        let request = Request { id: id.clone(), interface, address: attachment.v4(&settings)?, mac: None, names };
        let netns = Netns::of_process(pid)?;
        let endpoint = Endpoint::connect(&networks.join(&settings, &request)?, &netns, &[])?;
        let mut now = record.networking.clone();
        now.attachments.push(attachment.clone());
        let folder = dirs.live(id);
        if let Ok(text) = fs::read_to_string(folder.join("hosts")) {
            let hostname = record.spec.hostname().clone().unwrap_or_default();
            files::put(&folder.join("hosts"), &format!("{text}{}\t{hostname}\n", endpoint.lease.address))?;
            files::put(&folder.join("resolv.conf"), &files::resolver(&now))?;
        }
        if now.has_names() && !record.networking.has_names() {
            let (answering, sender) = Answering::prepare(dirs, id, now.chosen())?;
            // Somebody answers already, where it was connected to a user network and disconnected again.
            if let Ok(sockets) = Sockets::open(&netns) {
                sender.send(sockets).context("hand over the sockets for names")?;
                answering.go_on(pid)?;
            }
        }
        Ok(())
    }

    /// Takes a container out of a network; one that runs loses its link at once, and the ports published by it.
    ///
    /// # Errors
    /// [`Refusal`] for one that is not in it; with `force` only what the kernel refuses.
    pub fn disconnect(&self, network: &str, container: &str, force: bool) -> Result<()> {
        let id = find_id(self.dirs(), container)?;
        let (name, network_id) = match Definition::find(self.dirs(), network) {
            Ok(definition) => (definition.name, Some(definition.id)),
            Err(_) if network == DEFAULT || force => (network.to_owned(), None),
            Err(error) => return Err(error),
        };
        // With `force` also what is left of one that is gone.
        let _turn = Turn::take(self.dirs(), &id, container)
            .map(Some)
            .or_else(|error| if force { Ok(None) } else { Err(error) })?;
        let record = Record::read(self.dirs(), &id);
        if !force && !record.as_ref().is_some_and(|record| self.is_connected(record, &name)) {
            let what = format!("container {container} is not connected to network {name}");
            bail!(Refusal::new(what).code(1));
        }
        if let Some(networks) = alive_if_any(self.dirs()) {
            if let Some(lease) = networks.lease(&name, &id) {
                unpublish(&name, lease)?;
            }
            networks.disconnect(&name, &id)?;
        }
        let left = Notes::default().and_network("disconnect", &name, network_id.as_deref(), Some(&id));
        left.write(self.dirs());
        let Some(mut record) = record else { return Ok(()) };
        record.networking.attachments.retain(|attachment| attachment.network != name);
        self.remember(&record)
    }

    fn is_connected(&self, record: &Record, network: &str) -> bool {
        let leased = alive_if_any(self.dirs()).and_then(|networks| networks.lease(network, &record.id)).is_some();
        leased || record.networking.attachments.iter().any(|attachment| attachment.network == network)
    }

    /// A container that is removed when it ends will not start again: its leases say enough.
    fn remember(&self, record: &Record) -> Result<()> {
        if record.auto_remove { Ok(()) } else { record.write(self.dirs()) }
    }

    /// Says aloud what keeps a network that is about to be made from working: somebody else's rules. Asked only when its bridge
    /// is not there yet, so at the first start after the machine's.
    pub fn warn_of_the_network(&self, networking: &Networking) {
        let is_there = |name: &str| alive_if_any(self.dirs()).is_some_and(|networks| networks.network(name).is_some());
        let new = networking.attachments.iter().any(|attachment| !is_there(&attachment.network));
        if networking.mode == Mode::Bridge && new {
            warn_of_a_blocker();
        }
    }
}

/// A container's places, by network.
pub(super) fn leases_of(networks: &Networks, id: &str) -> Result<Vec<(Network, Lease)>> {
    let place = |network: Network| Some((network.clone(), networks.lease(&network.name, id)?));
    Ok(networks.all()?.into_iter().filter_map(place).collect())
}

fn unpublish(network: &str, lease: Lease) -> Result<()> {
    let leads_there = |port: &step04_net_bridge::Published| port.address == std::net::IpAddr::from(lease.address);
    let ports = published()?.into_iter().map(|(port, _)| port).filter(leads_there).collect();
    Ok(Endpoint { network: network.to_owned(), lease, ports }.unpublish()?)
}

fn check_mode(record: &Record) -> Result<()> {
    let why = match record.networking.mode {
        Mode::Bridge => return Ok(()),
        Mode::None => {
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        }
        Mode::Pasta | Mode::Slirp4netns => {
            "a container that an ordinary user has connected cannot be connected to any other network"
        }
        Mode::Host | Mode::Container(_) => {
            "container sharing network namespace with another container or host cannot be connected to any other network"
        }
    };
    Err(Refusal::new(why).code(1).into())
}

fn warn_of_a_blocker() {
    if let Ok(Some(blocker)) = forward_blocker() {
        eprintln!("warning: {blocker}\n  help: {}", blocker.help());
    }
}
