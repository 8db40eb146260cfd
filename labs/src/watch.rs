//! Looks again whenever a source is saved.

use crate::workspace::files_below;
use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How to notice that something was saved.
#[derive(Debug)]
pub enum Watch {
    /// The kernel says so.
    Inotify(Inotify, PathBuf),
    /// By looking at the times: where the kernel says nothing (network file systems, shared folders of virtual machines).
    Polling(PathBuf),
    /// The student presses Enter.
    Manual,
}

impl Watch {
    /// Watches `folder` and what is below it; by polling where inotify cannot be had.
    #[must_use]
    pub fn new(folder: &Path, poll: bool, manual: bool) -> Self {
        if manual {
            return Self::Manual;
        }
        match inotify(folder) {
            Ok(watch) if !poll => Self::Inotify(watch, folder.to_owned()),
            _ => Self::Polling(folder.to_owned()),
        }
    }

    /// Waits for a change. False: there will be none any more (end of standard input).
    ///
    /// # Errors
    /// When the folder cannot be watched any more.
    pub fn wait(&mut self) -> Result<bool> {
        match self {
            Self::Inotify(watch, folder) => {
                let ended = wait_for(watch, PollTimeout::NONE)?;
                // An editor saves in several steps: all of them are one change.
                while wait_for(watch, PollTimeout::from(150_u8))? {}
                // Folders may be new.
                *watch = inotify(folder)?;
                Ok(ended)
            }
            Self::Polling(folder) => {
                let before = times(folder)?;
                while times(folder)? == before {
                    std::thread::sleep(Duration::from_millis(500));
                }
                Ok(true)
            }
            Self::Manual => {
                eprintln!("Enter looks again");
                let mut line = String::new();
                Ok(std::io::stdin().read_line(&mut line).context("read standard input")? > 0)
            }
        }
    }
}

fn inotify(folder: &Path) -> Result<Inotify> {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("inotify")?;
    let files = files_below(folder)?;
    let mut folders: Vec<&Path> = files.iter().filter_map(|file| file.parent()).chain([folder]).collect();
    folders.sort_unstable();
    folders.dedup();
    let what = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE;
    for folder in folders {
        watch.add_watch(folder, what).with_context(|| format!("watch `{}`", folder.display()))?;
    }
    Ok(watch)
}

/// Whether something happened before the time was over; takes what is there.
fn wait_for(watch: &Inotify, limit: PollTimeout) -> Result<bool> {
    let happened = poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], limit).context("wait for a change")? > 0;
    let _nothing_more = watch.read_events();
    Ok(happened)
}

fn times(folder: &Path) -> Result<BTreeMap<PathBuf, SystemTime>> {
    let files = files_below(folder)?.into_iter();
    Ok(files.filter_map(|file| Some((file.clone(), file.metadata().ok()?.modified().ok()?))).collect())
}
