//! What checks that were killed have left, and what can be made again.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// Removes what is left of runs that were killed: their processes have ended with them, their cgroups and the folders of their
/// machines have not. Gives what was removed.
#[must_use]
pub fn sweep() -> Vec<PathBuf> {
    let mut removed = testkit::sweep_stale();
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let dead =
            name.strip_prefix("testkit-machine-").is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists());
        if dead && fs::remove_dir_all(entry.path()).is_ok() {
            removed.push(entry.path());
        }
    }
    removed
}

/// The same, and all that the labs have built. A student's crates and progress stay.
///
/// # Errors
/// unlink(2).
pub fn cleanup(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut removed = sweep();
    let built = workspace.target().join("labs");
    if built.exists() {
        fs::remove_dir_all(&built).with_context(|| format!("remove `{}`", built.display()))?;
        removed.push(built);
    }
    Ok(removed)
}
