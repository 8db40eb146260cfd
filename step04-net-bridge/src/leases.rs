//! Who has which address: a folder a network, in it a link an address and a file a container.
//!
//! `addresses/172.20.0.2` is a symbolic link to the container's id: the kernel makes a name only once, so whoever makes the link has
//! the address, without any lock, and a link is never half written. `containers/<id>` says what else the container has
//! there. Both are named after the container, so what a crash leaves behind can be found and removed.

use crate::veth::mac;
use crate::{Error, Mac, Network};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What a container asks of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The container.
    pub id: String,
    /// Which of its links this becomes: `eth0` is 0.
    pub interface: u8,
    /// The address; any free one when nobody says.
    pub address: Option<Ipv4Addr>,
    /// The hardware address; the derived one when nobody says.
    pub mac: Option<Mac>,
    /// The names by which others of the network find it.
    pub names: Vec<String>,
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The container.
    pub id: String,
    /// Which of its links it is.
    pub interface: u8,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: Mac,
    /// The names by which others of the network find it.
    pub names: Vec<String>,
}

/// The leases of one network.
#[derive(Debug, Clone)]
pub struct Leases {
    addresses: PathBuf,
    containers: PathBuf,
}

impl Leases {
    /// Those in the folder of a network, which is made if it is not there.
    ///
    /// # Errors
    /// mkdir(2).
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (addresses, containers) = (folder.join("addresses"), folder.join("containers"));
        for folder in [&addresses, &containers] {
            fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
        }
        Ok(Self { addresses, containers })
    }

    /// Takes an address for the container. One that it already has is given again.
    ///
    /// # Errors
    /// [`Error::AddressTaken`], [`Error::AddressOutside`], [`Error::NoFreeAddress`].
    // ANCHOR: take
    pub fn take(&self, network: &Network, request: &Request) -> Result<Lease, Error> {
        if let Some(lease) = self.of(&request.id) {
            return Ok(lease);
        }
        let address = match request.address {
            Some(address) => self.take_this(network, &request.id, address)?,
            None => self.take_any(network, &request.id)?,
        };
        // What is no name would be a line of its own in the file.
        let is_name = |name: &&String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let lease = Lease {
            id: request.id.clone(),
            interface: request.interface,
            address,
            mac: mac(request.mac, address),
            names: request.names.iter().filter(is_name).cloned().collect(),
        };
        self.write(&lease)?;
        Ok(lease)
    }

    fn take_any(&self, network: &Network, id: &str) -> Result<Ipv4Addr, Error> {
        // ANCHOR: task3_any
        loop {
            let taken: BTreeSet<Ipv4Addr> = self.all_addresses()?.collect();
            let is_free = |address: &Ipv4Addr| *address != network.gateway && !taken.contains(address);
            let address = network.hosts().find(is_free).ok_or_else(|| Error::NoFreeAddress {
                network: network.name.clone(),
                subnet: network.range.unwrap_or(network.subnet),
            })?;
            // Somebody else may have been faster since we looked.
            if self.try_address(id, address)? {
                return Ok(address);
            }
        }
        // ANCHOR_END: task3_any
    }
    // ANCHOR_END: take

    fn take_this(&self, network: &Network, id: &str, address: Ipv4Addr) -> Result<Ipv4Addr, Error> {
        let subnet = network.subnet;
        let may_be =
            subnet.contains(address) && ![subnet.base(), subnet.broadcast(), network.gateway].contains(&address);
        if !may_be {
            return Err(Error::AddressOutside { address, subnet });
        }
        match self.owner(address) {
            Some(owner) if owner == id => Ok(address),
            _ if self.try_address(id, address)? => Ok(address),
            owner => Err(Error::AddressTaken { address, owner: owner.unwrap_or_default() }),
        }
    }

    /// The link is the lock.
    fn try_address(&self, id: &str, address: Ipv4Addr) -> Result<bool, Error> {
        // ANCHOR: task3_link
        let link = self.addresses.join(address.to_string());
        match symlink(id, &link) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::file("take the address", &link)(error)),
        }
        // ANCHOR_END: task3_link
    }

    /// Gives back all that the container has here. Nothing is as good.
    ///
    /// # Errors
    /// unlink(2).
    pub fn release(&self, id: &str) -> Result<(), Error> {
        let file = self.containers.join(id);
        let addresses: Vec<Ipv4Addr> = match self.of(id) {
            Some(lease) => vec![lease.address],
            // A crash between the link and the file: only looking at all of them finds it.
            None => self.all_addresses()?.filter(|address| self.owner(*address).as_deref() == Some(id)).collect(),
        };
        // The address last: until then nobody else gets it, and a second try finds what to do.
        remove(&file)?;
        addresses.iter().try_for_each(|address| remove(&self.addresses.join(address.to_string())))
    }

    /// The container is called otherwise from now on.
    ///
    /// # Errors
    /// write(2).
    pub fn rename(&self, id: &str, old: &str, new: &str) -> Result<(), Error> {
        let Some(mut lease) = self.of(id) else { return Ok(()) };
        lease.names.iter_mut().filter(|name| *name == old).for_each(|name| new.clone_into(name));
        self.write(&lease)
    }

    /// The container's lease, if it has one.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<Lease> {
        Lease::parse(id, &fs::read_to_string(self.containers.join(id)).ok()?)
    }

    /// All leases.
    ///
    /// # Errors
    /// readdir(3).
    pub fn all(&self) -> Result<Vec<Lease>, Error> {
        Ok(names(&self.containers)?.filter_map(|id| self.of(&id)).collect())
    }

    /// Whether nobody has an address here.
    ///
    /// # Errors
    /// readdir(3).
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.all_addresses()?.next().is_none())
    }

    /// The folder whose time of change says whether [`Leases::all`] may say something new.
    pub(crate) fn folder(&self) -> &Path {
        &self.containers
    }

    fn owner(&self, address: Ipv4Addr) -> Option<String> {
        Some(fs::read_link(self.addresses.join(address.to_string())).ok()?.to_str()?.to_owned())
    }

    fn all_addresses(&self) -> Result<impl Iterator<Item = Ipv4Addr>, Error> {
        Ok(names(&self.addresses)?.filter_map(|name| name.parse().ok()))
    }

    fn write(&self, lease: &Lease) -> Result<(), Error> {
        // A name that no container has; renamed, so that nobody reads half of it.
        let unfinished = self.containers.join(format!(".{}", lease.id));
        let path = self.containers.join(&lease.id);
        let written = fs::write(&unfinished, lease.to_text()).and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(Error::file("write", &path))
    }
}

impl Lease {
    fn to_text(&self) -> String {
        let Self { interface, address, mac, .. } = self;
        let names: String = self.names.iter().map(|name| format!("name {name}\n")).collect();
        format!("interface {interface}\naddress {address}\nmac {mac}\n{names}")
    }

    fn parse(id: &str, text: &str) -> Option<Self> {
        let values = |key: &'static str| text.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix(' '));
        Some(Self {
            id: id.to_owned(),
            interface: values("interface").next()?.parse().ok()?,
            address: values("address").next()?.parse().ok()?,
            mac: values("mac").next()?.parse().ok()?,
            names: values("name").map(str::to_owned).collect(),
        })
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

fn names(folder: &Path) -> Result<impl Iterator<Item = String>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        entries => Some(entries.map_err(|error: io::Error| Error::file("list", folder)(error))?),
    };
    let names = entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| !name.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn network(subnet: &str) -> Network {
        Settings::default_network().on(subnet.parse().unwrap()).unwrap()
    }

    fn request(id: &str) -> Request {
        Request { id: id.to_owned(), ..Request::default() }
    }

    fn leases() -> (tempfile::TempDir, Leases) {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::open(folder.path()).unwrap();
        (folder, leases)
    }

    #[test]
    fn the_first_container_gets_the_second_address_and_the_gap_is_filled() {
        let (_folder, leases) = leases();
        let network = network("172.20.0.0/16");
        let take = |id: &str| leases.take(&network, &request(id)).unwrap().address.to_string();
        assert_eq!(
            (take("a").as_str(), take("b").as_str(), take("c").as_str()),
            ("172.20.0.2", "172.20.0.3", "172.20.0.4")
        );
        assert_eq!(take("b"), "172.20.0.3", "what it has it gets again");
        leases.release("b").unwrap();
        leases.release("b").unwrap();
        assert_eq!(take("d"), "172.20.0.3");
        assert_eq!(leases.all().unwrap().len(), 3);
    }

    #[test]
    fn an_address_is_anybodys_once() {
        let (_folder, leases) = leases();
        let network = network("172.20.0.0/29");
        let want = |id: &str, address: &str| {
            leases.take(&network, &Request { address: address.parse().ok(), ..request(id) }).map(|lease| lease.address)
        };
        assert!(want("a", "172.20.0.4").is_ok() && want("a", "172.20.0.4").is_ok());
        assert!(matches!(want("b", "172.20.0.4"), Err(Error::AddressTaken { owner, .. }) if owner == "a"));
        for outside in ["172.20.0.0", "172.20.0.1", "172.20.0.7", "172.20.0.8"] {
            assert!(matches!(want("b", outside), Err(Error::AddressOutside { .. })), "{outside}");
        }
        (2..6).for_each(|number| drop(leases.take(&network, &request(&number.to_string())).unwrap()));
        assert!(matches!(leases.take(&network, &request("x")), Err(Error::NoFreeAddress { .. })));
    }

    #[test]
    fn a_crash_in_between_is_cleaned_up() {
        let (folder, leases) = leases();
        symlink("dead", folder.path().join("addresses/172.20.0.9")).unwrap();
        leases.release("dead").unwrap();
        assert!(leases.is_empty().unwrap());
    }

    #[test]
    fn a_lease_is_read_as_it_was_written() {
        let (_folder, leases) = leases();
        let mac = Some("02:00:00:00:00:07".parse().unwrap());
        let request = Request { interface: 1, mac, names: vec!["web".into(), "www".into()], ..request("a") };
        let lease = leases.take(&network("10.0.0.0/24"), &request).unwrap();
        assert_eq!(leases.of("a"), Some(lease));
        assert_eq!(leases.of("b"), None);
    }

    #[test]
    fn fifty_at_once_get_fifty_addresses() {
        let (_folder, leases) = leases();
        let network = network("172.20.0.0/16");
        let taken: BTreeSet<Ipv4Addr> = std::thread::scope(|scope| {
            let take = |id: usize| leases.take(&network, &request(&id.to_string())).unwrap().address;
            let threads: Vec<_> = (0..50).map(|id| scope.spawn(move || take(id))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 50);
        assert_eq!(taken.last().unwrap().to_string(), "172.20.0.51");
    }
}
