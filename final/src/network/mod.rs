//! The network of a container: what was asked for, and how step 4 makes it so.
//!
//! | module | its part |
//! |---|---|
//! | [`Networking`] | what the command line says; kept in the record, so that a restart gives the same again |
//! | [`Begun`], [`Ready`] | a network in the making, on the other processor, while the engine does the rest |
//! | [`files`] | `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf` |
//! | [`user_mode`] | pasta and slirp4netns, for ordinary users |
//! | [`names`] | the process that answers for names of user networks |
//! | [`definition`] | user networks, which outlive the machine's |
//! | [`commands`] | create, remove, connect, disconnect, prune |
//! | [`show`] | what `inspect`, `ps` and `port` say |

mod begin;
pub mod commands;
pub mod definition;
pub mod files;
mod later;
pub mod names;
mod request;
mod share;
pub mod show;
mod start;
pub mod user_mode;

pub(crate) use begin::open_namespace;
pub use begin::{Begun, Ready};
pub use definition::Definition;
pub use request::{Attachment, Mode, Networking, Other};
pub(crate) use share::{share, shared_memory};
pub(crate) use start::{Plan, forget, is_address, publish_all, release};

use crate::dirs::Dirs;
use anyhow::Result;
use step04_net_bridge::Networks;

/// The networks that are there now: their leases die with the machine.
///
/// # Errors
/// mkdir(2).
pub(crate) fn alive(dirs: &Dirs) -> Result<Networks> {
    Ok(Networks::open(&dirs.run.join("networks"))?)
}

/// Others find the container by its new name from now on.
///
/// # Errors
/// write(2).
pub(crate) fn rename(dirs: &Dirs, id: &str, old: &str, new: &str) -> Result<()> {
    Ok(alive_if_any(dirs).map_or(Ok(()), |networks| networks.rename(id, old, new))?)
}

/// The same where nobody may have made any yet.
pub(crate) fn alive_if_any(dirs: &Dirs) -> Option<Networks> {
    let folder = dirs.run.join("networks");
    folder.exists().then(|| Networks::open(&folder).ok()).flatten()
}
