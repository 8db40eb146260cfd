//! What `run`, `create` and `exec` can be asked for: a group of options a file.

mod files;
mod network;
mod process;
mod resources;
mod security;

pub(super) use files::FileOptions;
pub(super) use network::{NetworkOptions, default_networking};
pub(super) use process::ProcessOptions;
pub(super) use resources::{LimitOptions, ResourceOptions};
pub(super) use security::SecurityOptions;
