//! What can go wrong, and what to do about it.

use crate::netlink::Refusal;
use crate::{Port, Subnet};
use nix::errno::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use sys::failure::describe;

/// Why a network cannot be made or joined.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum Error {
    #[error("{doing} `{on}`: {}", describe(*.errno))]
    Kernel { doing: &'static str, on: String, errno: Errno, words: Option<String> },
    #[error("{doing} `{}`: {error}", .path.display())]
    File { doing: &'static str, path: PathBuf, error: io::Error },
    #[error("`{0}` is no subnet")]
    Subnet(String),
    #[error("`{0}` is no hardware address of a single host")]
    Mac(String),
    #[error("`{0}` is no name of a network")]
    NetworkName(String),
    #[error("the subnet {subnet} collides with this host's {taken}")]
    SubnetTaken { subnet: String, taken: String },
    #[error("every subnet that is tried by default collides with a route of this host")]
    NoFreeSubnet,
    #[error("the gateway {gateway} is not in the subnet {subnet}")]
    Gateway { gateway: IpAddr, subnet: String },
    #[error("the range {range} is not in the subnet {subnet}")]
    Range { range: Subnet, subnet: Subnet },
    #[error("the network `{network}` ({subnet}) has no free address")]
    NoFreeAddress { network: String, subnet: Subnet },
    #[error("the address {address} is not one that a container may have in {subnet}")]
    AddressOutside { address: Ipv4Addr, subnet: Subnet },
    #[error("the address {address} is already in use by container `{owner}`")]
    AddressTaken { address: Ipv4Addr, owner: String },
    #[error("`{text}` does not say which port to publish: {why}")]
    PortWords { text: String, why: &'static str },
    #[error("port {port} is already published{}", .owner.as_ref().map(|id| format!(" by container `{id}`")).unwrap_or_default())]
    PortPublished { port: Port, owner: Option<String> },
    #[error("port {port} of this host is in use by another program")]
    PortInUse { port: Port },
    #[error("the network `{network}` is in use by {}", .users.join(", "))]
    NetworkInUse { network: String, users: Vec<String> },
    #[error("the thread that makes the network ended without a result")]
    Thread,
}

impl Error {
    pub(crate) fn kernel(doing: &'static str, on: impl ToString) -> impl FnOnce(Refusal) -> Self {
        move |refusal| Self::Kernel { doing, on: on.to_string(), errno: refusal.errno, words: refusal.words }
    }

    pub(crate) fn errno(doing: &'static str, on: impl ToString) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Kernel { doing, on: on.to_string(), errno, words: None }
    }

    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { doing, path: path.to_owned(), error }
    }

    /// The kernel's own words about a refusal, where it has some.
    #[must_use]
    pub fn kernel_words(&self) -> Option<&str> {
        match self {
            Self::Kernel { words, .. } => words.as_deref(),
            _ => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Kernel { errno: Errno::EPERM | Errno::EACCES, .. } => {
                "a network needs root (CAP_NET_ADMIN); without it there are `--network none` and `--network host`"
            }
            Self::Kernel { errno: Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT, .. } => {
                "this kernel lacks bridge, veth or nf_tables (with the families inet and bridge, nat, masq, fib): \
                 sudo modprobe -a bridge veth nf_tables nft_nat nft_masq nft_fib_inet; or go without: `--network none`"
            }
            Self::Subnet(_) => "write the first address and the number of fixed bits, for example 172.30.0.0/16",
            Self::Mac(_) => "write six bytes, the first of them even, for example 02:42:ac:14:00:02",
            Self::NetworkName(_) => "begin with a letter or digit; then letters, digits, `_`, `.` and `-`",
            Self::SubnetTaken { .. } | Self::NoFreeSubnet => {
                "choose one that is free with `--subnet`; `ip route` shows what is taken"
            }
            Self::NoFreeAddress { .. } => "remove containers of this network, or make one with a larger subnet",
            Self::AddressOutside { .. } => {
                "the first address names the subnet, the last reaches all, and one is the gateway's"
            }
            Self::AddressTaken { .. } => "choose another with `--ip`, or none and get a free one",
            Self::PortWords { .. } => {
                "write [ADDRESS:][HOST_PORT:]CONTAINER_PORT[/tcp|/udp]; ports may be ranges: 8000-8010"
            }
            Self::PortPublished { .. } => "choose another port of the host, or remove that container",
            Self::PortInUse { .. } => "choose another port; `ss -lntup` shows which program has it",
            Self::NetworkInUse { .. } => "disconnect or remove these containers first",
            _ => return None,
        })
    }
}
