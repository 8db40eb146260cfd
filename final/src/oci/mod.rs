//! `tara oci`, the OCI runtime command line: what Podman, containerd, CRI-O and Docker call to run a container.
//!
//! They bring the root file system, the networks and a whole `config.json`; what is done with it is the same `launch` as `tara run`'s.
//! `create` is a launch that stops at a gate just before execve; `start` opens the gate. No process of ours stays.
//!
//! | module | its part |
//! |---|---|
//! | `cli` | the command line that the callers use, runc's |
//! | `bundle` | `config.json`, read and checked: every complaint names the field |
//! | `state` | a container's folder below `--root`, and its state as the specification words it |
//! | `log` | errors where the caller asked for them: standard error, and the file of `--log` |
//! | `features` | what is supported, said in the specification's form |
//!
//! Source: OCI Runtime Specification 1.3, "Runtime and Lifecycle"; runc's command line, which is the field's agreement.

mod bundle;
mod check;
mod cli;
mod console;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod gate;
mod hooks;
mod kill;
mod list;
mod log;
mod net_devices;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

pub use cli::main;
