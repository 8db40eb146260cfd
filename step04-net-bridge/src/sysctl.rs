//! The few switches of the kernel that a bridged network needs.

use crate::{Error, Network};
use std::fs;
use std::path::{Path, PathBuf};

/// Makes this host pass packets on between the network's bridge and the rest.
///
/// For the whole host this changes `net.ipv4.ip_forward` to 1, and with an IPv6 subnet `net.ipv6.conf.all.forwarding` to 1 (then
/// also `accept_ra` from 1 to 2 where it is 1: a router would no longer take its own routes from announcements). They stay: who
/// else relies on them by then cannot be known. `route_localnet` is set for the bridge alone.
pub(crate) fn forward(network: &Network) -> Result<(), Error> {
    // ANCHOR: task4_forward
    set(&v4(&network.bridge, "route_localnet"), "1")?;
    if network.internal {
        return Ok(());
    }
    set(Path::new("/proc/sys/net/ipv4/ip_forward"), "1")?;
    if network.subnet6.is_some() {
        keep_router_advertisements()?;
        set(Path::new("/proc/sys/net/ipv6/conf/all/forwarding"), "1")?;
    }
    Ok(())
    // ANCHOR_END: task4_forward
}

/// Whether the kernel speaks IPv6.
pub(crate) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// Whether bridges ask IP's rules about what they pass on (the module br_netfilter).
pub(crate) fn bridges_ask_ip_rules() -> bool {
    fs::read("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok_and(|text| text.first() == Some(&b'1'))
}

fn v4(link: &str, name: &str) -> PathBuf {
    ["/proc/sys/net/ipv4/conf", link, name].iter().collect()
}

fn keep_router_advertisements() -> Result<(), Error> {
    let links = Path::new("/proc/sys/net/ipv6/conf");
    for link in fs::read_dir(links).map_err(Error::file("list", links))?.flatten() {
        let accept_ra = link.path().join("accept_ra");
        if fs::read(&accept_ra).is_ok_and(|text| text.first() == Some(&b'1')) {
            set(&accept_ra, "2")?;
        }
    }
    Ok(())
}

/// Writes only what is not so: on some machines the switches are right and cannot be written.
fn set(path: &Path, value: &str) -> Result<(), Error> {
    let before = fs::read_to_string(path).map_err(Error::file("read the switch", path))?;
    if before.trim() == value {
        return Ok(());
    }
    fs::write(path, value).map_err(Error::file("set the switch", path))
}
