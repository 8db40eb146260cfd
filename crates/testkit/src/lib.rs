//! The tests' own sandbox.
//!
//! A test of this workspace mounts, clones and makes devices for real. So that it cannot hurt the machine it runs on,
//! each runs in a *fake host*: new mount, PID, network, IPC and UTS namespaces (and a user namespace for whoever is not
//! root), with a `/run` of its own. When the test ends, the fake host's PID 1 ends, and the kernel takes the rest.
//!
//! ```no_run
//! use testkit::{BUSYBOX, Host, Need};
//!
//! testkit::suite! {
//!     a_file_written_inside_is_there: [Need::Root, BUSYBOX],
//! }
//!
//! fn a_file_written_inside_is_there(host: &Host) {
//!     let rootfs = host.busybox_root("rootfs");
//!     assert!(rootfs.join("bin/sh").exists());
//! }
//! ```
//!
//! Such a test file is its own program (`harness = false`). What a test *needs* and this machine lacks makes it
//! `ignored`, with the reason beside its name: it is never counted as passed. After the body a leak check compares mounts, links,
//! processes, firewall rules, `/run` and the test's cgroups with what was there before.
//!
//! Where the host's kernel is not enough (cgroup v2 on a host with v1, block devices, modules) a test also runs in a [`machine`].
//!
//! The same program is the *probe* ([`probe`]): called by that name inside a container it prints what it sees, and the
//! test compares that with what it sees from outside.

mod cgroups;
mod checks;
mod fixture;
mod host;
mod leaks;
pub mod machine;
pub mod probe;
mod runner;
mod wait;

pub use cgroups::{remove_cgroup, sweep_stale};
pub use checks::{Check, NAMES as CHECKS, SECONDS, WHERE};
pub use fixture::Fixture;
pub use host::{Host, Output, Replaced};
pub use leaks::Snapshot;
pub use machine::tests::run as run_in_machine;
pub use probe::Facts;
pub use runner::{BUSYBOX, Need, Test, end_without_leak_check, lacking, lacks_sandbox, main, run_in_fake_host};
pub use wait::{DEADLINE, until};

/// Makes the `main` of a test program: each line is a test function's name and what it needs.
#[macro_export]
macro_rules! suite {
    ($( $(#[$attribute:meta])* $name:ident : [$($need:expr),* $(,)?] ),* $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::main(&[ $( $(#[$attribute])* $crate::Test { name: stringify!($name), needs: &[$($need),*], body: $name } ),* ])
        }
    };
}
