//! What Debian's packages have installed on this machine: files as images have them.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A file that is called small.
const SMALL: u64 = 32 << 10;
/// One such file would be most of a layer.
const LARGE: u64 = 40 << 20;

/// Regular files of installed packages, by the packages' names; with their sizes.
fn files() -> Result<Vec<(PathBuf, u64)>> {
    let lists = fs::read_dir("/var/lib/dpkg/info").context("no packages: this wants Debian or Ubuntu")?;
    let mut lists: Vec<PathBuf> = lists.flatten().map(|entry| entry.path()).collect();
    lists.retain(|path| path.extension().is_some_and(|extension| extension == "list"));
    lists.sort();
    let (mut seen, mut files) = (BTreeSet::new(), Vec::new());
    for list in lists {
        for path in fs::read_to_string(&list)?.lines().map(PathBuf::from) {
            if let Ok(data) = fs::symlink_metadata(&path)
                && data.is_file()
                && seen.insert(path.clone())
            {
                files.push((path, data.len()));
            }
        }
    }
    Ok(files)
}

/// Files of `bytes` in all, in so many layers: tars.
///
/// # Errors
/// Where too little is installed.
pub(crate) fn of_size(bytes: u64, layers: u64) -> Result<Vec<Vec<u8>>> {
    let mut files = files()?.into_iter().filter(|(_, size)| *size < LARGE);
    let mut tars = Vec::new();
    for _ in 0..layers {
        let mut left = bytes / layers;
        let of_layer = files.by_ref().take_while(|(_, size)| {
            left = left.saturating_sub(*size);
            left > 0
        });
        tars.push(tar(of_layer.map(|(path, _)| path))?);
    }
    let all: usize = tars.iter().map(Vec::len).sum();
    // Each layer ends before the file that would be too much.
    if (all as u64) < bytes / 10 * 9 {
        bail!("the packages that are installed have {} MB, not {} MB", all / 1_000_000, bytes / 1_000_000);
    }
    Ok(tars)
}

/// So many small files: one tar.
///
/// # Errors
/// Where too little is installed.
pub(crate) fn of_small_files(count: usize) -> Result<Vec<u8>> {
    let files: Vec<_> = files()?.into_iter().filter(|(_, size)| *size < SMALL).take(count).collect();
    if files.len() < count {
        bail!("the packages that are installed have {} small files, not {count}", files.len());
    }
    tar(files.into_iter().map(|(path, _)| path))
}

fn tar(files: impl Iterator<Item = PathBuf>) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    for path in files {
        tar.append_path_with_name(&path, path.strip_prefix("/").unwrap_or(&path))?;
    }
    Ok(tar.into_inner()?)
}
