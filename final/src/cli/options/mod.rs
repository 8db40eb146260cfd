//! What `run`, `create` and `exec` can be asked for: a group of options a file.

mod files;
mod labels;
mod network;
mod process;
mod resources;
mod security;
mod supervision;

pub(super) use files::FileOptions;
pub(super) use labels::{labels, pairs};
pub(super) use network::{NetworkOptions, default_networking};
pub(super) use process::ProcessOptions;
pub(super) use resources::{LimitOptions, ResourceOptions};
pub(super) use security::SecurityOptions;
pub(super) use supervision::{AttachOptions, SupervisionOptions, write_id};
