//! Step 5, a share of the machine.
//!
//! A [`Cgroup`] is a directory that the kernel counts and limits by: whoever is born in it stays in it, and its children too. [`Limits`]
//! says how much; [`words`] is the one table of docker's words and the kernel's files. [`Hierarchy`] finds out whether this machine has
//! cgroup v2, v1, or both with the controllers split over them.
//!
//! ```no_run
//! # use step05_cgroups::{Cgroup, Hierarchy, Limits, Parent};
//! # fn f() -> Result<(), step05_cgroups::Error> {
//! let parent = Parent::new(Hierarchy::find()?, None)?; // /tara
//! let limits = Limits { memory: Some("64m".parse()?), pids: Some("20".parse()?), ..Limits::default() };
//! let cgroup = Cgroup::create(&parent, "web", &limits)?;
//! // clone3 with cgroup.into_cgroup() (v2), and in the child half cgroup.enter() (v1): born inside, not moved in later.
//! let used = cgroup.statistics()?;
//! cgroup.remove()?;
//! # Ok(()) }
//! ```
//!
//! Host half: [`Cgroup::create`]. Child half: [`Cgroup::enter`], [`own_namespace`].

mod bytes;
mod cgroup;
mod child;
mod control;
mod device_program;
mod device_rule;
mod directory;
mod enable;
mod error;
mod files;
mod hierarchy;
mod limits;
mod mountinfo;
mod parent;
mod plan;
mod remove;
mod statistics;
mod update;
mod usual;
mod values;
pub mod words;

pub use bytes::{Bytes, Maximum};
pub use cgroup::Cgroup;
pub use child::own_namespace;
pub use device_rule::{Access, DeviceKind, DeviceRule, default_devices};
pub use error::Error;
pub use hierarchy::{Controller, Hierarchy, Tree, Version};
pub use limits::{Cpus, DeviceRate, Limits, RawFile, Set};
pub use parent::{DEFAULT_PARENT, Parent};
pub use remove::reclaim;
pub use statistics::{Cpu, Io, Memory, Pids, Statistics};
