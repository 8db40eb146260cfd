//! What `inspect` says, in docker's names and shapes. One place: who knows more about a container adds a field here.

mod container;
mod host;
mod image;
mod volume;

pub use container::{Config, ContainerDocument, RunState, container};
pub use host::{HealthcheckDocument, HostConfig, LogConfig, LogOptions, RestartPolicy};
pub use image::{ImageDocument, image};
pub use volume::{VolumeDocument, volume};

/// What docker writes for a moment that has not come.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";
