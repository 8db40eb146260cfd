//! Which names a container's networks know.

use super::message::{Answer, Kind, Question, address_of_pointer};
use crate::{DEFAULT, Error, Lease, Network, Networks};
use std::fs;
use std::net::IpAddr;
use std::time::SystemTime;

/// The names in the networks of a container, read again when somebody has come or gone.
#[derive(Debug)]
pub struct Names {
    networks: Vec<Known>,
    /// Whose networks they are, where that may change: the container may be connected to another while it runs.
    of: Option<(Networks, String)>,
}

#[derive(Debug)]
struct Known {
    network: Network,
    leases: crate::Leases,
    read: Option<SystemTime>,
    entries: Vec<Lease>,
}

impl Names {
    /// The names in these networks.
    ///
    /// # Errors
    /// mkdir(2).
    pub fn of(networks: &Networks, names: &[&str]) -> Result<Self, Error> {
        let networks = names
            .iter()
            .filter_map(|name| networks.network(name))
            .map(|network| Known::new(networks, network))
            .collect::<Result<_, Error>>()?;
        Ok(Self { networks, of: None })
    }

    /// The names in whichever networks the container `id` is in at the time of a question, but for [`DEFAULT`]: who has not
    /// chosen a network has not chosen whom to be known to.
    #[must_use]
    pub fn of_container(networks: Networks, id: &str) -> Self {
        Self { networks: Vec::new(), of: Some((networks, id.to_owned())) }
    }

    /// Looks which networks the container is in now.
    fn look_around(&mut self) {
        let Some((networks, id)) = &self.of else { return };
        let now = networks.of_container(id).unwrap_or_default();
        self.networks.retain(|known| now.contains(&known.network));
        for network in now.into_iter().filter(|network| network.name != DEFAULT) {
            if !self.networks.iter().any(|known| known.network == network) {
                self.networks.extend(Known::new(networks, network));
            }
        }
    }

    /// The answers to a question about one of the names or addresses; `None` when it is about none of them. A name that is known has
    /// perhaps no address of the kind that was asked for: then there are none, and nobody else is asked.
    pub(super) fn answer(&mut self, question: &Question) -> Option<Vec<Answer>> {
        self.look_around();
        self.networks.iter_mut().for_each(Known::refresh);
        if question.kind == Kind::Pointer {
            let address = address_of_pointer(&question.name)?;
            return self.networks.iter().find_map(|known| known.name_of(address)).map(|name| vec![Answer::Name(name)]);
        }
        let found: Vec<(&Known, &Lease)> =
            self.networks.iter().flat_map(|known| known.called(&question.name)).collect();
        let address = |(known, lease): &(&Known, &Lease)| match question.kind {
            Kind::V4 => Some(lease.address.into()),
            Kind::V6 => Some(known.network.subnet6?.of_v4(lease.address).into()),
            _ => None,
        };
        (!found.is_empty()).then(|| found.iter().filter_map(address).map(Answer::Address).collect())
    }
}

impl Known {
    fn new(networks: &Networks, network: Network) -> Result<Self, Error> {
        let leases = networks.leases(&network.name)?;
        Ok(Self { network, leases, read: None, entries: Vec::new() })
    }

    /// A lease that is made or released changes the folder.
    fn refresh(&mut self) {
        let changed = fs::metadata(self.leases.folder()).and_then(|meta| meta.modified()).ok();
        if changed.is_none() || changed != self.read {
            self.entries = self.leases.all().unwrap_or_default();
            self.read = changed;
        }
    }

    /// Those that have the name: `web`, `web.network`, or the short id.
    fn called<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a Self, &'a Lease)> {
        let with_network = name.strip_suffix(self.network.name.to_ascii_lowercase().as_str());
        let name = with_network.and_then(|name| name.strip_suffix('.')).unwrap_or(name).to_owned();
        let has = move |lease: &&Lease| {
            lease.names.iter().any(|own| own.eq_ignore_ascii_case(&name)) || lease.id.get(..12) == Some(&name)
        };
        self.entries.iter().filter(has).map(move |lease| (self, lease))
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        let lease = self.entries.iter().find(|lease| IpAddr::from(lease.address) == address)?;
        let name = lease.names.first().map(String::as_str).or(lease.id.get(..12))?;
        Some(format!("{name}.{}", self.network.name))
    }
}
