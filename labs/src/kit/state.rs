//! When what was built for a lab is out of date.

use crate::catalogue::Lab;
use crate::workspace::{Workspace, files_below};
use anyhow::Result;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

/// Of all that a build of the reference depends on: names and times.
pub(super) fn state(workspace: &Workspace, lab: &Lab) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    let tests: Vec<&str> = lab.checks().map(|(_, check)| check.test.as_str()).collect();
    hasher.write(format!("{tests:?} {:?}", std::env::var_os("RUSTFLAGS")).as_bytes());
    let mut files: Vec<PathBuf> =
        ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"].iter().map(|name| workspace.root.join(name)).collect();
    for entry in std::fs::read_dir(&workspace.root)?.flatten().map(|entry| entry.path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "crates" || name == "final" || name.starts_with("step0") {
            files
                .extend(files_below(&entry)?.into_iter().filter(|path| !path.to_string_lossy().ends_with(".snap.new")));
        }
    }
    files.sort();
    for file in files {
        hasher.write(file.as_os_str().as_encoded_bytes());
        let modified = std::fs::metadata(&file)?.modified()?;
        hasher.write(format!("{modified:?}").as_bytes());
    }
    Ok(format!("{:016x}", hasher.finish()))
}
