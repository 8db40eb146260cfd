//! `linux.netDevices`: links of the host that become the container's. Source: config-linux.md, "Network Devices".

use super::bundle::wrong;
use anyhow::{Context, Result};
use nix::unistd::Pid;
use oci_spec::runtime::Spec;
use step04_net_bridge::{Netns, give_link};

/// Moves them into the network namespace of the first process.
pub(super) fn give(spec: &Spec, pid: Pid) -> Result<()> {
    let devices = spec.linux().as_ref().and_then(|linux| linux.net_devices().as_ref());
    let mut devices: Vec<_> = devices.into_iter().flatten().collect();
    devices.sort_by_key(|(name, _)| *name);
    for (name, device) in devices {
        let netns = Netns::of_process(pid)?;
        let inside = device.name().as_deref().filter(|inside| !inside.is_empty()).unwrap_or(name);
        give_link(name, &netns, inside).with_context(|| wrong("linux.netDevices", format!("`{name}`")))?;
    }
    Ok(())
}
