//! Step 2, a process tree of one's own.
//!
//! [`spawn()`] makes a process in new [`Namespaces`] by one clone3. What the process does before it becomes the program is a
//! closure, the *child half*: system calls only, on data prepared before. [`spawn()`] alone reports to the parent and calls
//! execve, so the parent learns either that the program runs or which call failed, on what, and why.
//!
//! ```no_run
//! # use step02_pid_ns::{CloneSpec, Namespaces, spawn};
//! # fn f(program: &dyn sys::exec::Execute) -> Result<(), step02_pid_ns::Error> {
//! let spec = CloneSpec { namespaces: Namespaces::PID | Namespaces::MOUNT, ..CloneSpec::default() };
//! let running = spawn(&spec, || Ok(program))?;
//! let status = running.wait()?;
//! # Ok(()) }
//! ```
//!
//! What is still in sight after this step: the host's mounts (the root is step 1's chroot), its network, its memory.

mod error;
mod init;
mod namespaces;
mod own_proc;
mod report;
mod running;
mod spawn;
mod supervise;
pub mod user;
mod uts;

pub use error::Error;
pub use namespaces::Namespaces;
pub use own_proc::{mount_proc, receive_mounts_only};
pub use running::Running;
pub use spawn::{CloneSpec, die_with_parent, spawn, spawn_and};
pub use supervise::{ForwardedSignals, supervise};
pub use user::UserMap;
pub use uts::Hostname;
