//! A user network on the disk: `ROOT/networks/<name>.json`. Its bridge and leases die with the machine, this does not: on the next
//! start of a container in it the network is made again as it was.

use crate::dirs::Dirs;
use crate::report::Refusal;
use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use step04_net_bridge::{Network, Settings};

/// What a network was made as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its addresses.
    pub subnet: String,
    /// The host's address in it.
    pub gateway: Ipv4Addr,
    /// The part of it from which containers get theirs.
    #[serde(default)]
    pub range: Option<String>,
    /// Its IPv6 addresses.
    pub subnet6: Option<String>,
    /// Whether it has no way out.
    pub internal: bool,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
}

impl Definition {
    /// The network that step 4 has settled.
    #[must_use]
    pub fn of(id: String, network: &Network, labels: BTreeMap<String, String>) -> Self {
        Self {
            id,
            name: network.name.clone(),
            created: Timestamp::now(),
            subnet: network.subnet.to_string(),
            gateway: network.gateway,
            range: network.range.map(|range| range.to_string()),
            subnet6: network.subnet6.map(|subnet| subnet.to_string()),
            internal: network.internal,
            labels,
        }
    }

    /// What step 4 makes it from.
    ///
    /// # Errors
    /// When somebody has edited the file.
    pub fn settings(&self) -> Result<Settings> {
        Ok(Settings {
            name: self.name.clone(),
            subnet: Some(self.subnet.parse()?),
            gateway: Some(self.gateway),
            range: self.range.as_deref().map(str::parse).transpose()?,
            subnet6: self.subnet6.as_deref().map(str::parse).transpose()?,
            internal: self.internal,
        })
    }

    /// Finds a user network by its name, its id, or the beginning of its id.
    ///
    /// # Errors
    /// [`Refusal`] when there is none.
    pub fn find(dirs: &Dirs, reference: &str) -> Result<Self> {
        let all = Self::all(dirs)?;
        let by_name = all.iter().find(|network| network.name == reference);
        let mut begin_so = all.iter().filter(|network| network.id.starts_with(reference) && !reference.is_empty());
        let by_id = || begin_so.next().filter(|_| begin_so.next().is_none());
        by_name.or_else(by_id).cloned().ok_or_else(|| none(reference))
    }

    /// All user networks, by name.
    ///
    /// # Errors
    /// readdir(3).
    pub fn all(dirs: &Dirs) -> Result<Vec<Self>> {
        let mut names = crate::container::ids(&folder(dirs))?;
        names.sort();
        let read = |name: &String| serde_json::from_slice(&fs::read(folder(dirs).join(name)).ok()?).ok();
        Ok(names.iter().filter(|name| name.ends_with(".json")).filter_map(read).collect())
    }

    /// Writes it down; a name is taken by whoever makes the file.
    ///
    /// # Errors
    /// [`Refusal`] for a name that is taken.
    pub fn create(&self, dirs: &Dirs) -> Result<()> {
        let path = self.path(dirs);
        let context = || format!("write `{}`", path.display());
        fs::create_dir_all(folder(dirs)).with_context(context)?;
        match fs::File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists(&self.name)),
            file => {
                let mut file = file.with_context(context)?;
                file.write_all(&serde_json::to_vec(self)?).and_then(|()| file.sync_data()).with_context(context)
            }
        }
    }

    /// Forgets it.
    ///
    /// # Errors
    /// unlink(2).
    pub fn remove(&self, dirs: &Dirs) -> Result<()> {
        fs::remove_file(self.path(dirs)).or_else(crate::reclaim::gone).context("forget the network")
    }

    fn path(&self, dirs: &Dirs) -> PathBuf {
        folder(dirs).join(format!("{}.json", self.name))
    }
}

fn folder(dirs: &Dirs) -> PathBuf {
    dirs.root.join("networks")
}

pub(super) fn exists(name: &str) -> anyhow::Error {
    Refusal::new(format!("network with name {name} already exists")).help("choose another name").code(1).into()
}

fn none(reference: &str) -> anyhow::Error {
    let refusal = Refusal::new(format!("network {reference} not found"));
    refusal.help("`tara network ls` lists the networks; `tara network create` makes one").into()
}
