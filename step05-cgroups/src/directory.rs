//! The cgroup in one tree: a directory, opened.

use crate::hierarchy::{Controller, Tree, Version};
use crate::words::Setting;
use crate::{Error, files};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The cgroup in one tree.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) version: Version,
    /// The controllers of the tree, by v1's names.
    pub(crate) controllers: Vec<Controller>,
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
    /// v1: where the child writes itself into.
    pub(crate) tasks: Option<Tasks>,
}

/// `tasks` of a cgroup of v1, opened, and its path for messages.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) fd: OwnedFd,
    pub(crate) name: CString,
}

impl Directory {
    pub(crate) fn open(tree: &Tree, path: PathBuf) -> Result<Self, Error> {
        let opened = |path: &Path, flags| {
            open(path, flags | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| Error::path("open", path, errno))
        };
        let fd = opened(&path, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let tasks = match tree.version {
            Version::V2 => None,
            Version::V1 => Some(Tasks {
                fd: opened(&path.join("tasks"), OFlag::O_WRONLY)?,
                name: CString::new(path.as_os_str().as_bytes()).expect("a path that was opened holds no zero byte"),
            }),
        };
        let has = |controller: &Controller| {
            let name = if tree.version == Version::V1 { Some(controller.v1_name()) } else { controller.v2_name() };
            name.is_none_or(|name| tree.controllers.iter().any(|known| known == name))
        };
        let controllers = Controller::ALL.into_iter().filter(has).collect();
        Ok(Self { version: tree.version, controllers, path, fd, tasks })
    }

    /// Writes one setting.
    pub(crate) fn set(&self, setting: &Setting) -> Result<(), Error> {
        let Setting { flag, file, value, asked } = setting;
        let path = self.path.join(file);
        match files::write(&path, value) {
            Ok(()) => Ok(()),
            Err(Errno::ENOENT) if !asked => Ok(()),
            Err(Errno::ENOENT) => Err(Error::NoFile { flag, file }),
            Err(errno) => Err(Error::Limit { flag, value: value.clone(), path, errno }),
        }
    }
}
