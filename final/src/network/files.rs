//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container.
//!
//! They are files in `RUN/containers/<id>`, made anew at each start and bound over what the image has there: by descriptor below the
//! container's root, so a link of the image leads nowhere but into the image (step 3).

use super::user_mode::Tool;
use super::{Mode, Networking, Other};
use crate::container::Record;
use crate::dirs::Dirs;
use anyhow::{Context, Result};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use step03_mount_overlay::Mount;
use step04_net_bridge::{DEFAULT, dns, resolv};

const NAMES: [&str; 3] = ["resolv.conf", "hostname", "hosts"];

/// The mounts of the three files. Those of another container's network are that container's.
#[must_use]
pub fn mounts(dirs: &Dirs, id: &str, networking: &Networking) -> Vec<Mount> {
    if !networking.has_files() {
        return Vec::new();
    }
    let folder = folder(dirs, id, networking);
    let mount = |name: &&str| Mount {
        destination: Path::new("/etc").join(name),
        fs_type: "bind".to_owned(),
        source: folder.join(name),
        options: ["rbind", "rprivate"].map(str::to_owned).to_vec(),
    };
    NAMES.iter().map(mount).collect()
}

fn folder(dirs: &Dirs, id: &str, networking: &Networking) -> PathBuf {
    match &networking.mode {
        Mode::Container(other) if dirs.live(other).join("hosts").exists() => dirs.live(other),
        _ => dirs.live(id),
    }
}

/// `/etc/hosts`, to be written when the address is known.
#[derive(Debug)]
pub struct Hosts {
    path: PathBuf,
    names: Vec<String>,
    added: Vec<(String, String)>,
}

/// Writes the files of a container that is about to start; its hosts are returned where they wait for an address.
///
/// # Errors
/// open(2), write(2).
pub fn write(dirs: &Dirs, record: &Record) -> Result<Option<Hosts>> {
    let networking = &record.networking;
    let folder = dirs.live(&record.id);
    if !networking.has_files() || self::folder(dirs, &record.id, networking) != folder {
        return Ok(None);
    }
    let hostname = record.spec.hostname().clone().unwrap_or_else(of_host);
    put(&folder.join("hostname"), &resolv::hostname(&hostname))?;
    put(&folder.join("resolv.conf"), &resolver(networking))?;
    let hosts =
        Hosts { path: folder.join("hosts"), names: names(&hostname, networking), added: networking.add_host.clone() };
    match networking.mode {
        Mode::Bridge => put(&hosts.path, "").map(|()| Some(hosts)),
        Mode::Host => put(&hosts.path, &hosts.of_host()).map(|()| None),
        Mode::Pasta => hosts.write(&[Tool::Pasta.address()], Tool::Pasta.address()).map(|()| None),
        Mode::Slirp4netns => hosts.write(&[Tool::Slirp4netns.address()], IpAddr::from([10, 0, 2, 2])).map(|()| None),
        Mode::None | Mode::Container(_) => hosts.write(&[], IpAddr::from([127, 0, 0, 1])).map(|()| None),
    }
}

/// The text of `/etc/resolv.conf`: the host's resolvers, or on a user network our own, which asks those.
pub(super) fn resolver(networking: &Networking) -> String {
    if networking.mode == Mode::Host && networking.chosen() == resolv::Chosen::default() {
        return fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    }
    let mut resolver = resolv::Resolver::of_host().with(networking.chosen());
    if networking.has_names() {
        resolver.servers = vec![dns::ADDRESS.into()];
        resolver.options = [vec!["ndots:0".to_owned()], resolver.options].concat();
    }
    resolver.to_text()
}

/// `name.domain name`, as docker writes it.
fn names(hostname: &str, networking: &Networking) -> Vec<String> {
    let whole = networking.domainname.as_ref().map(|domain| format!("{hostname}.{domain}"));
    whole.into_iter().chain([hostname.to_owned()]).collect()
}

impl Hosts {
    /// Writes it; `gateway` is what `host-gateway` stands for.
    ///
    /// # Errors
    /// write(2).
    pub fn write(&self, own: &[IpAddr], gateway: IpAddr) -> Result<()> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        put(&self.path, &resolv::hosts(own, &names, &self.added(gateway)))
    }

    fn added(&self, gateway: IpAddr) -> Vec<(String, IpAddr)> {
        let address = |text: &str| if text == "host-gateway" { Some(gateway) } else { text.parse().ok() };
        self.added.iter().filter_map(|(name, text)| Some((name.clone(), address(text)?))).collect()
    }

    /// Whoever has the host's network finds there what the host does.
    fn of_host(&self) -> String {
        let mut text = fs::read_to_string("/etc/hosts").unwrap_or_default();
        for (name, address) in self.added(IpAddr::from([127, 0, 0, 1])) {
            text += &format!("{address}\t{name}\n");
        }
        text
    }
}

impl Networking {
    /// Whether names of other containers are answered: on networks that somebody has chosen.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.attachments.iter().any(|attachment| attachment.network != DEFAULT)
    }

    /// Whether the host name is the host's.
    #[must_use]
    pub fn has_the_hosts_name(&self) -> bool {
        self.uts == Other::Host || self.mode == Mode::Host && !self.named
    }
}

/// The host's name.
pub(crate) fn of_host() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// Written in place: the file is bound in the container, and a new one would not be.
pub(super) fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write `{}`", path.display()))
}
