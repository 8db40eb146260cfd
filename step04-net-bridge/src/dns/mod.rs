//! Names of containers, for containers: a small forwarder that knows the names of a network and asks the host's resolvers for the
//! rest.
//!
//! It listens at [`ADDRESS`] inside the container's own network namespace, where nobody else can ask it or stand in its way, and asks from the
//! host's. So each container has its own, and can only keep itself waiting. A real resolver would keep answers; here the
//! resolvers of the host do.

mod message;
mod names;
mod server;

pub use names::Names;
pub use server::{Sockets, serve};

use std::net::Ipv4Addr;

/// What a container's resolv.conf says: docker's address for it.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
