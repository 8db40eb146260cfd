//! Step 3, a file system of one's own.
//!
//! An [`Overlay`] lays a writable directory over read-only layers: what the program writes goes into `upper`, the layers stay
//! as they are and are shared by all. [`Mounts`] brings `/proc`, `/sys`, `/dev` and volumes. [`pivot_root`] makes it the root
//! and lets go of the host's: after that there is nothing to climb back to, which chroot could not say.
//!
//! The order is the lesson:
//!
//! ```no_run
//! # use step03_mount_overlay::{Mounts, Overlay, make_private, pivot_root};
//! # use std::os::fd::AsFd;
//! # fn child<'a>(overlay: &'a Overlay, mounts: &'a Mounts) -> Result<(), sys::Failure<'a>> {
//! make_private()?; // or every mount below would appear on the host
//! overlay.attach()?;
//! mounts.enter(overlay.as_fd())?;
//! pivot_root(overlay.as_fd())
//! # }
//! ```

mod child;
mod copy_up;
mod defaults;
mod error;
mod mapped;
mod mount_point;
mod mounts;
mod options;
mod overlay;
mod root;
mod terminal;
mod volume;

pub use child::{make_private, make_read_only, pivot_root};
pub use defaults::{Setting, defaults};
pub use error::Error;
pub use mapped::MappedUsers;
pub use mounts::{Device, DeviceFile, MappedMount, Mount, Mounts, Surroundings};
pub use overlay::{Layers, Overlay};
pub use root::{Root, RootDirectory};
pub use terminal::Terminal;
pub use volume::{parse_tmpfs, parse_volume};
