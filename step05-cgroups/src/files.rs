//! A cgroup is a directory, and all that one says to it goes through small files.

use crate::Error;
use crate::error::errno;
use nix::errno::Errno;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes `text` in one call: the kernel takes each write for one command.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Errno> {
    let mut file = fs::OpenOptions::new().write(true).open(path).map_err(|error| errno(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| errno(&error))
}

/// The same for several commands, with the file opened once; an error comes with the command that was refused.
pub(crate) fn write_each(path: &Path, texts: impl Iterator<Item = String>) -> Result<(), (String, Errno)> {
    let opened = fs::OpenOptions::new().write(true).open(path);
    let mut file = opened.map_err(|error| (path.display().to_string(), errno(&error)))?;
    for text in texts {
        file.write_all(text.as_bytes()).map_err(|error| (text, errno(&error)))?;
    }
    Ok(())
}

/// The text of a file; `None` when there is no such file (an older kernel, a controller that is not here).
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        // ENODEV: the cgroup was removed while we had the file open.
        Err(error) if error.kind() == ErrorKind::NotFound || errno(&error) == Errno::ENODEV => Ok(None),
        Err(error) => Err(Error::read(path, &error)),
    }
}

/// The number in a file of one line; "max" is none.
pub(crate) fn number(path: &Path) -> Result<Option<u64>, Error> {
    let Some(text) = read(path)? else { return Ok(None) };
    match text.trim() {
        "max" => Ok(None),
        number => number.parse().map(Some).map_err(|_| not_understood(path, number)),
    }
}

/// The number behind `key` in a file of lines `key number`.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

pub(crate) fn not_understood(path: &Path, text: &str) -> Error {
    Error::Text { path: path.to_owned(), text: text.to_owned() }
}

/// The cgroups directly below one.
pub(crate) fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// The numbers of the processes in a cgroup and in those below it.
pub(crate) fn processes(path: &Path) -> Result<Vec<i32>, Error> {
    let text = read(&path.join("cgroup.procs"))?.unwrap_or_default();
    // 0 is a process of another PID namespace: it has no number here.
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
    for child in children(path) {
        found.extend(processes(&child)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_whole_word() {
        let text = "oom 1\noom_kill 2\noom_group_kill 0\n";
        assert_eq!((keyed(text, "oom_kill"), keyed(text, "oom"), keyed(text, "kill")), (Some(2), Some(1), None));
    }

    #[test]
    fn max_is_no_number() {
        let folder = std::env::temp_dir().join(format!("step05-files-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("pids.max");
        for (text, expected) in [("max\n", Some(None)), ("20\n", Some(Some(20))), ("many\n", None)] {
            fs::write(&path, text).unwrap();
            assert_eq!(number(&path).ok(), expected, "{text}");
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(number(&path).unwrap(), None);
    }
}
