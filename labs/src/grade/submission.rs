//! Submissions as the grader itself sees them, outside of the cell: a stranger's folders and tarballs, of which it reads little.

use crate::progress::Progress;
use crate::workspace::files_below;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The most that the files of a submission may hold together.
pub(super) const LARGEST: u64 = 64 << 20;

/// Name to folder or tarball.
pub(super) fn submissions(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))? {
        let (path, name) = {
            let entry = entry?;
            (entry.path(), entry.file_name().to_string_lossy().into_owned())
        };
        let stem = [".tar.gz", ".tgz", ".tar.xz", ".tar"].iter().find_map(|suffix| name.strip_suffix(suffix));
        match stem {
            Some(stem) if path.is_file() => drop(found.insert(stem.to_owned(), path)),
            None if path.is_dir() && !name.starts_with('.') => drop(found.insert(name, path)),
            _ => {}
        }
    }
    ensure!(!found.is_empty(), "`{}` holds no directory and no tarball", folder.display());
    Ok(found)
}

/// The plain files of a submission, without what a cargo has built there.
pub(super) fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_built =
        |file: &PathBuf| file.strip_prefix(path).is_ok_and(|below| below.iter().any(|part| part == "target"));
    Ok(files_below(path)?.into_iter().filter(|file| !is_built(file)).collect())
}

/// Of all its files together.
pub(super) fn size(path: &Path) -> Result<u64> {
    let sizes = files_of(path)?.into_iter().map(|file| Ok(fs::symlink_metadata(file)?.len()));
    sizes.sum::<std::io::Result<u64>>().with_context(|| format!("look at the files of `{}`", path.display()))
}

/// The hints that the student has taken, if the progress file was handed in. Of a link or a pipe nothing is read.
pub(super) fn hints(submission: &Path, lab: u8) -> Option<usize> {
    let path = submission.join("progress.json");
    let is_plain = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() < 1 << 20);
    let text = is_plain.then(|| fs::read_to_string(&path).ok())??;
    let progress: Progress = serde_json::from_str(&text).ok()?;
    Some(progress.labs.get(&lab)?.hints.values().sum())
}
