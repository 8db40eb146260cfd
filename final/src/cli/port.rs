//! `tara port`.

use super::print;
use crate::container::Container;
use crate::engine::Engine;
use crate::network::show;
use crate::report::Refusal;
use anyhow::{Result, bail};
use clap::Args;

/// Show where a container's ports are published.
#[derive(Debug, Args)]
pub(crate) struct Port {
    /// The container.
    container: String,
    /// Only this port of the container: 80 or 53/udp.
    port: Option<String>,
}

impl Port {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let id = Container::find(engine.dirs(), &self.container)?.record.id;
        let ports = show::all_ports(engine.dirs()).remove(&id).unwrap_or_default();
        let wanted =
            self.port.as_ref().map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") });
        let mut text = String::new();
        for port in &ports {
            let socket = std::net::SocketAddr::new(port.port.address, port.port.number);
            match &wanted {
                None => text += &format!("{} -> {socket}\n", show::inside(port)),
                Some(wanted) if *wanted == show::inside(port) => text += &format!("{socket}\n"),
                Some(_) => {}
            }
        }
        if let (Some(wanted), true) = (&wanted, text.is_empty()) {
            let what = format!("no public port '{wanted}' published for {}", self.container);
            bail!(Refusal::new(what).help("`tara port` without a port lists all").code(1));
        }
        print(&text);
        Ok(0)
    }
}
