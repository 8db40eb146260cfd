//! The network.

use clap::{Args, ValueEnum};

/// What the container can reach, and who can reach it.
#[derive(Debug, Args)]
pub(crate) struct NetworkOptions {
    /// The network.
    #[arg(long, default_value = "none")]
    network: Network,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Network {
    /// The loopback link only.
    None,
    /// The host's network.
    Host,
}

impl NetworkOptions {
    /// Whether the network is not the host's.
    pub(crate) fn is_own(&self) -> bool {
        self.network == Network::None
    }
}
