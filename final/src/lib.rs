//! `tara`, the container engine: the seven steps composed.
//!
//! Follow one `tara run` through the modules:
//!
//! | module | its part |
//! |---|---|
//! | [`cli`] | the words of the command line, parsed into types |
//! | [`engine`] | what each command does; the only caller of the rest |
//! | [`spec`] | image configuration and arguments become an OCI runtime specification |
//! | [`container`] | a container on the disk: record, state, lock, name |
//! | [`launch`] | host half, one clone3, child half, supervision |
//! | [`lifecycle`] | start, stop, kill, wait, rename |
//! | [`share`] | pause, update, statistics |
//! | [`monitor`] | the process that stays with a detached container; [`logs`] reads what it wrote |
//! | [`exec`] | another program in a container that runs |
//! | [`network`] | bridges, ports, names, the files of `/etc` |
//! | [`cgroup`] | its share of the machine: from the specification to the directory, and its end |
//! | [`reclaim`] | removing all that belongs to a container id, whatever is left of it |
//! | [`trash`] | the same for `--rm`, after the exit status is out |
//! | [`check`] | finding what killed processes left behind |
//! | [`rootless`] | becoming root of a user namespace where we are not root |
//! | [`explain`] | every kernel call of a start, with its reason |
//! | [`report`] | errors as the user sees them |

pub mod cgroup;
pub mod check;
pub mod cli;
pub mod container;
pub mod dirs;
pub mod engine;
pub mod exec;
pub mod explain;
pub mod format;
pub mod launch;
pub mod lifecycle;
pub mod logs;
pub mod monitor;
pub mod names;
pub mod network;
pub mod reclaim;
pub mod report;
pub mod rootless;
pub mod share;
pub mod spec;
pub mod trash;
