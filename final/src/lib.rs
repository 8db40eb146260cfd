//! `tara`, the container engine: the seven steps composed.
//!
//! Follow one `tara run` through the modules:
//!
//! | module | its part |
//! |---|---|
//! | [`cli`] | the words of the command line, parsed into types |
//! | [`engine`] | what each command does; the only caller of the rest |
//! | [`spec`] | image configuration and arguments become an OCI runtime specification |
//! | [`container`] | a container on the disk: record, state, lock; [`names`] |
//! | [`launch`] | host half, one clone3, child half, supervision |
//! | [`lifecycle`] | start, restart, stop, kill, wait, rename, remove |
//! | [`share`] | pause, update, statistics |
//! | [`monitor`] | the process that stays with a detached container; [`logs`] reads what it wrote |
//! | [`attach`] | joined with a container's program by way of its monitor |
//! | [`upkeep`] | restart policy, log, health check: what the monitor is told to do |
//! | [`events`] | what has happened |
//! | [`exec`] | another program in a container that runs |
//! | [`network`] | bridges, ports, names, the files of `/etc` |
//! | [`cgroup`] | its share of the machine: from the specification to the directory, and its end |
//! | [`reclaim`] | removing all that belongs to a container id, whatever is left of it |
//! | [`trash`] | the same for `--rm`, after the exit status is out |
//! | [`check`] | finding what killed processes left behind |
//! | [`rootless`] | becoming root of a user namespace where we are not root |
//! | [`volumes`] | files that outlive containers |
//! | [`copy`], [`mod@commit`], [`diff`], [`top`] | what a container has and does; [`view`] opens its files, [`tree`] copies by descriptors
//! | [`document`], [`mod@format`], [`filter`] | what `inspect` and the lists say, and how |
//! | [`explain`] | every kernel call of a start, with its reason |
//! | [`report`] | errors as the user sees them |

pub mod attach;
mod beside;
pub mod build;
pub mod cgroup;
pub mod changes;
pub mod check;
pub mod cli;
pub mod commit;
pub mod container;
pub mod copy;
pub mod diff;
pub mod dirs;
pub mod document;
pub mod engine;
pub mod events;
pub mod exec;
pub mod explain;
pub mod filter;
pub mod format;
pub mod launch;
pub mod lifecycle;
pub mod logs;
pub mod monitor;
pub mod names;
pub mod network;
pub mod oci;
pub mod reclaim;
pub mod report;
pub mod rootless;
pub mod share;
pub mod spec;
pub mod top;
pub mod trash;
pub mod tree;
pub mod upkeep;
mod users;
pub mod view;
pub mod volumes;
