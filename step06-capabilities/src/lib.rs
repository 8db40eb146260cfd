//! Step 6, less than root.
//!
//! Root inside has what the programs of an image need and no more. [`Capabilities`] are what the parts of root's power are called,
//! and [`Sets`] the five places where the kernel keeps them. [`Profile`] says which system calls are answered, [`Filter`] is that
//! in the kernel's language. [`User`] is who the program runs as, by the image's own files. [`MaskedPaths`] hides what of
//! /proc and /sys belongs to the host. [`Privileges`] puts them on, in the one order that works:
//!
//! ```no_run
//! # use step06_capabilities::{Capabilities, Options, Privileges, Profile, Sets, User};
//! # fn host(user: User) -> Result<Privileges, step06_capabilities::Error> {
//! let capabilities = Capabilities::docker().tweak(&["net_admin"], &["MKNOD"], Capabilities::of_kernel()?)?;
//! let options = Options {
//!     sets: Sets::of_user(capabilities, user.uid),
//!     user,
//!     may_set_groups: true,
//!     profile: Some(Profile::standard()?),
//!     no_new_privs: false,
//! };
//! let privileges = Privileges::new(&options)?; // host half: everything is compiled here
//! # Ok(privileges) }
//! # fn child(privileges: &Privileges) -> Result<(), sys::Failure<'_>> {
//! privileges.enter()?; // child half: the last thing before the program
//! # Ok(()) }
//! ```

mod capabilities;
mod capability;
mod error;
mod limits;
mod masked;
mod privileges;
mod proc;
pub mod seccomp;
mod sets;
mod user;

pub use capabilities::Capabilities;
pub use capability::Capability;
pub use error::Error;
pub use limits::Limits;
pub use masked::MaskedPaths;
pub use privileges::{Options, Privileges};
pub use proc::{OwnNamespaces, ProcSettings};
pub use seccomp::{Filter, Profile};
pub use sets::Sets;
pub use user::User;
