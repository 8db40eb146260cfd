//! Step 4, a network of one's own.
//!
//! A new network namespace is empty but for `lo`, and that is down: nothing of the host is in sight, not even its abstract
//! sockets. A *veth pair* leads out of it, to a *bridge*, which is a switch in the kernel; the host's address on the bridge is the way
//! on to the outside, under the host's address (*masquerading*); and single ports of the host lead back in.
//!
//! | module | what it holds |
//! |---|---|
//! | `netlink` | messages to the kernel, by hand |
//! | [`Netns`] | a network namespace as a descriptor |
//! | [`Networks`] | which networks there are: made when needed, removed when not |
//! | `bridge`, `veth` | the links |
//! | [`Leases`] | who has which address |
//! | `nft` | the rules: masquerading, published ports, networks apart, nobody under a false address |
//! | [`Endpoint`] | a container connected; [`Connecting`] does it beside everything else |
//! | [`PortSpec`] | docker's words for ports |
//! | [`resolv`] | `/etc/resolv.conf`, `/etc/hosts`, `/etc/hostname` |
//! | [`dns`] | names of containers, for containers |

//!
//! ```no_run
//! # use step04_net_bridge::{Endpoint, Netns, Networks, Request, Settings};
//! # fn f() -> Result<(), step04_net_bridge::Error> {
//! let networks = Networks::open("/run/tara/networks".as_ref())?;
//! let request = Request { id: "0123456789ab".to_owned(), ..Request::default() };
//! let joined = networks.join(&Settings::default_network(), &request)?;
//! let netns = Netns::create()?;
//! let endpoint = Endpoint::connect(&joined, &netns, &["8080:80".parse()?])?;
//! // … netns.enter() in the child half …
//! endpoint.unpublish()?;
//! networks.leave("bridge", "0123456789ab")
//! # }
//! ```

mod address;
mod bridge;
mod connecting;
pub mod dns;
mod endpoint;
mod error;
mod host;
mod leases;
mod link;
mod loopback;
mod netlink;
mod netns;
mod network;
mod networks;
mod nft;
mod ports;
pub mod resolv;
mod sysctl;
mod veth;

pub use address::{Mac, Subnet, Subnet6};
pub use bridge::Bridge;
pub use connecting::{Connecting, Wired};
pub use endpoint::Endpoint;
pub use error::Error;
pub use host::HostAddresses;
pub use leases::{Lease, Leases, Request};
pub use link::give_link;
pub use loopback::{loopback_up, ports_for_all};
pub use netns::Netns;
pub use network::{DEFAULT, Network, Settings};
pub use networks::{Joined, Networks};
pub use nft::{Blocker, Published, forward_blocker, published};
pub use ports::{Port, PortSpec, Protocol};
pub use veth::host_end;
