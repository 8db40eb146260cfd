//! What `run`, `create` and `exec` can be asked for: a group of options a file.

mod files;
mod labels;
mod network;
mod process;

pub(super) use files::FileOptions;
pub(super) use labels::{labels, pairs};
pub(super) use network::NetworkOptions;
pub(super) use process::ProcessOptions;
