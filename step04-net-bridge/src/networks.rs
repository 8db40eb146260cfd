//! All networks of an engine: which there are, made when they are needed, removed when nobody needs them.

use crate::bridge::Bridge;
use crate::host::HostAddresses;
use crate::network::{bridge_name, check_name};
use crate::nft::{self, Rules};
use crate::{Error, Lease, Leases, Network, Request, Settings, Subnet, veth};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder with a folder for each network. It dies with the machine, as the bridges do: it belongs below `/run`.
#[derive(Debug, Clone)]
pub struct Networks {
    folder: PathBuf,
}

/// A network joined: its bridge, and the container's place in it.
#[derive(Debug)]
pub struct Joined {
    /// The bridge, which is up.
    pub bridge: Bridge,
    /// The container's addresses.
    pub lease: Lease,
}

impl Networks {
    /// The networks in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// mkdir(2).
    pub fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Gives a container its place in a network, which is made if it is not there.
    ///
    /// # Errors
    /// As [`Networks::ensure`] and [`Leases::take`].
    // ANCHOR: join
    pub fn join(&self, settings: &Settings, request: &Request) -> Result<Joined, Error> {
        loop {
            // Shared: any number join at once, and none while a network is made or removed.
            let lock = self.lock(FlockArg::LockShared)?;
            if let Some(bridge) = self.find(settings)? {
                let lease = self.leases(&settings.name)?.take(&bridge.network, request)?;
                return Ok(Joined { bridge, lease });
            }
            drop(lock);
            self.ensure(settings)?;
        }
    }
    // ANCHOR_END: join

    /// Makes a network, or what is missing of it.
    ///
    /// # Errors
    /// [`Error::SubnetTaken`], [`Error::NoFreeSubnet`], [`Error::Gateway`]; what the kernel refuses.
    pub fn ensure(&self, settings: &Settings) -> Result<Bridge, Error> {
        check_name(&settings.name)?;
        let _lock = self.lock(FlockArg::LockExclusive)?;
        if let Some(bridge) = self.find(settings)? {
            return Ok(bridge);
        }
        let network = self.settle(settings)?;
        let folder = self.folder.join(&network.name);
        fs::create_dir_all(&folder).map_err(Error::file("make the folder", &folder))?;
        let file = folder.join("network");
        fs::write(&file, network.to_string()).map_err(Error::file("write", &file))?;
        Bridge::make(&network)
    }

    /// Decides what was left open.
    fn settle(&self, settings: &Settings) -> Result<Network, Error> {
        let known = self.network(&settings.name);
        let host = HostAddresses::ask(&bridge_name(&settings.name))?;
        let others: Vec<Subnet> =
            self.all()?.into_iter().filter(|other| other.name != settings.name).map(|other| other.subnet).collect();
        if let Some(subnet6) = settings.subnet6 {
            host.check6(subnet6)?;
        }
        let subnet = match (settings.subnet, known) {
            (Some(subnet), _) => host.check(subnet).map(|()| subnet)?,
            // Where it was before, if that is still free.
            (None, Some(known)) if host.check(known.subnet).is_ok() => known.subnet,
            (None, _) => host.free_subnet(&others)?,
        };
        settings.on(subnet)
    }

    /// The network as it is, if it is there whole and is what `settings` ask for.
    fn find(&self, settings: &Settings) -> Result<Option<Bridge>, Error> {
        let Some(network) = self.network(&settings.name) else { return Ok(None) };
        if let Some(subnet) = settings.subnet.filter(|subnet| *subnet != network.subnet) {
            let taken = format!(" network `{}`, which has {}", network.name, network.subnet);
            let in_use = Bridge::find(&network)?.is_some();
            return if in_use { Err(Error::SubnetTaken { subnet: subnet.to_string(), taken }) } else { Ok(None) };
        }
        Bridge::find(&network)
    }

    /// The container is called otherwise from now on: others find it by its new name.
    ///
    /// # Errors
    /// write(2).
    pub fn rename(&self, id: &str, old: &str, new: &str) -> Result<(), Error> {
        self.of_container(id)?.iter().try_for_each(|network| self.leases(&network.name)?.rename(id, old, new))
    }

    /// Takes the container out of a network: its published ports, its address. Its link goes with its namespace.
    ///
    /// # Errors
    /// When the kernel refuses; what was there not is no error.
    pub fn leave(&self, name: &str, id: &str) -> Result<(), Error> {
        let leases = self.leases(name)?;
        if let Some(lease) = leases.of(id).filter(|lease| lease.mac != veth::mac(None, lease.address)) {
            nft::chosen_mac(&Rules::open()?, lease.address, lease.mac, false)?;
        }
        leases.release(id)
    }

    /// Takes a container that goes on running out of a network: also its link.
    ///
    /// # Errors
    /// When the kernel refuses; what was there not is no error.
    pub fn disconnect(&self, name: &str, id: &str) -> Result<(), Error> {
        if let Some(lease) = self.lease(name, id) {
            veth::remove(id, lease.interface)?;
        }
        self.leave(name, id)
    }

    /// Takes the container out of all networks, whatever is left of it: also its published ports and links.
    ///
    /// # Errors
    /// The first thing that could not be removed; the others are.
    pub fn reclaim(&self, id: &str) -> Result<(), Error> {
        let mut results = Vec::new();
        let ports =
            nft::published()?.into_iter().filter(|(_, owner)| owner == id).map(|(port, _)| port).collect::<Vec<_>>();
        if !ports.is_empty() {
            results.push(Rules::open().and_then(|rules| nft::remove_ports(&rules, &ports)));
        }
        for network in self.names()? {
            if let Some(lease) = self.leases(&network)?.of(id) {
                results.push(veth::remove(id, lease.interface));
            }
            results.push(self.leave(&network, id));
        }
        results.into_iter().collect()
    }

    /// Removes a network that nobody is in.
    ///
    /// # Errors
    /// [`Error::NetworkInUse`].
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let _lock = self.lock(FlockArg::LockExclusive)?;
        let Some(network) = self.network(name) else { return Ok(()) };
        if !self.leases(name)?.is_empty()? {
            let users = self.leases(name)?.all()?.into_iter().map(|lease| lease.id).collect();
            return Err(Error::NetworkInUse { network: name.to_owned(), users });
        }
        Bridge::remove(&network)?;
        let folder = self.folder.join(name);
        fs::remove_dir_all(&folder).map_err(Error::file("remove", &folder))
    }

    /// All networks there are.
    ///
    /// # Errors
    /// readdir(3).
    pub fn all(&self) -> Result<Vec<Network>, Error> {
        Ok(self.names()?.iter().filter_map(|name| self.network(name)).collect())
    }

    /// The network of this name, if it is there.
    #[must_use]
    pub fn network(&self, name: &str) -> Option<Network> {
        Network::parse(name, &fs::read_to_string(self.folder.join(name).join("network")).ok()?)
    }

    /// The networks that the container is in.
    ///
    /// # Errors
    /// readdir(3).
    pub fn of_container(&self, id: &str) -> Result<Vec<Network>, Error> {
        let is_in = |network: &Network| self.lease(&network.name, id).is_some();
        Ok(self.all()?.into_iter().filter(is_in).collect())
    }

    /// The container's place in the network of this name, if it has one.
    #[must_use]
    pub fn lease(&self, name: &str, id: &str) -> Option<Lease> {
        self.network(name)?;
        self.leases(name).ok()?.of(id)
    }

    /// Who is in the network of this name.
    ///
    /// # Errors
    /// mkdir(2).
    pub fn leases(&self, name: &str) -> Result<Leases, Error> {
        check_name(name)?;
        Leases::open(&self.folder.join(name))
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::file("list", &self.folder)(error)),
            Ok(entries) => Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()),
        }
    }

    fn lock(&self, how: FlockArg) -> Result<Flock<File>, Error> {
        let folder = File::open(&self.folder).map_err(Error::file("open", &self.folder))?;
        Flock::lock(folder, how).map_err(|(_, errno)| Error::errno("lock", self.folder.display())(errno))
    }
}
