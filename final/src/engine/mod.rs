//! The engine: its two directories, its images, and what is done with a container from `run` to its end.
//!
//! The command line calls this and holds no logic of its own.
//!
//! | module | its part |
//! |---|---|
//! | `request` | what is asked for |
//! | `run` | from a request to a container |
//! | `make`, `mounts` | its name, folders, overlay, specification |
//! | `start` | its program: launched, and waited for |
//! | `end` | thrown away, started again, or recorded |

mod end;
mod make;
mod mounts;
mod request;
mod run;
mod start;

pub use end::Finished;
pub(crate) use end::Ran;
pub use request::RunRequest;

use crate::container::Container;
use crate::dirs::Dirs;
use crate::events::note_other;
use crate::rootless::Privilege;
use anyhow::{Context, Result};
use std::path::Path;
use step07_images::{Digest, Error as ImageError, Image, Reference, Removed, Store};

/// An engine on its two directories.
#[derive(Debug)]
pub struct Engine {
    dirs: Dirs,
    store: Store,
    privilege: Privilege,
}

impl Engine {
    /// Opens the engine; as an ordinary user this process becomes root of a user namespace.
    ///
    /// # Errors
    /// Where user namespaces are forbidden; when the state directories cannot be made.
    pub fn open(root: Option<&Path>, run: Option<&Path>) -> Result<Self> {
        let dirs = Dirs::choose(root, run, nix::unistd::geteuid())?;
        let privilege = Privilege::acquire()?;
        let store = Store::open(&dirs.root).context("cannot open the store of images")?;
        Ok(Self { dirs, store, privilege })
    }

    /// Opens the engine for what only joins a container: no user namespace is made, the container's is entered later.
    ///
    /// # Errors
    /// When the state directories cannot be made.
    pub fn open_to_join(root: Option<&Path>, run: Option<&Path>) -> Result<Self> {
        let dirs = Dirs::choose(root, run, nix::unistd::geteuid())?;
        let store = Store::open(&dirs.root).context("cannot open the store of images")?;
        Ok(Self { dirs, store, privilege: Privilege::of_joining() })
    }

    /// Where it keeps everything.
    #[must_use]
    pub fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    /// Its images.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What it may do here.
    #[must_use]
    pub fn privilege(&self) -> Privilege {
        self.privilege
    }

    /// Finds an image; `demo` is made when it is not there.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn image(&self, reference: &str) -> Result<Image> {
        match self.store.resolve(reference) {
            Err(ImageError::NoSuchImage { .. }) if is_demo(reference) => Ok(self.store.ensure_demo()?),
            image => Ok(image?),
        }
    }

    /// Removes an image or one of its names.
    ///
    /// # Errors
    /// As [`Store::remove`].
    pub fn remove_image(&self, reference: &str, force: bool) -> Result<Removed> {
        let containers = Container::all(&self.dirs)?;
        let users = |image: &Digest| {
            let of_image = containers.iter().filter(|container| container.record.image_id == image.to_string());
            of_image.map(|container| container.record.id.chars().take(12).collect()).collect()
        };
        let removed = self.store.remove(reference, force, &users)?;
        for name in &removed.untagged {
            note_other(&self.dirs, "image", "untag", name, &[]);
        }
        if let Some(image) = removed.deleted.first() {
            note_other(&self.dirs, "image", "delete", &image.to_string(), &[]);
        }
        Ok(removed)
    }
}

pub(crate) fn is_demo(reference: &str) -> bool {
    let demo = step07_images::demo::NAME.parse::<Reference>();
    matches!((reference.parse::<Reference>(), demo), (Ok(wanted), Ok(demo)) if wanted == demo)
}
