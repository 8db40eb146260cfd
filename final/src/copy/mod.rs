//! `cp`: files into a container and out of it.
//!
//! A path of the container is opened below its root by openat2 with RESOLVE_IN_ROOT, once; from there on everything goes by descriptors
//! ([`crate::tree`]). No link leads out of the root, whoever changes it meanwhile, and nothing is resolved twice (CVE-2018-15664).

mod extract;
mod place;

use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::events::note;
use crate::report::Refusal;
use crate::tree::{Copied, copy_children, copy_open, kind};
use crate::view::View;
use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Gid, Uid, getegid, geteuid};
use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use sys::fd::open_in_root;

pub use place::{Place, Side};

/// Opens a directory below `root` for reading.
pub(crate) fn open_folder(root: BorrowedFd<'_>, path: &CStr) -> Result<File> {
    let folder = open_in_root(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty());
    Ok(folder.context("open the directory")?.into())
}

/// How to copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Keep the owners (`-a`).
    pub archive: bool,
    /// Copy what a link leads to (`-L`).
    pub follow: bool,
}

impl Engine {
    /// Copies a path of the host into a container.
    ///
    /// # Errors
    /// As docker has them: see [`Place`].
    pub fn copy_in(&self, source: &str, container: &str, path: &str, how: How) -> Result<()> {
        let found = self.found(container)?;
        let view = View::with_mounts(self, &found)?;
        let owner = (!how.archive).then(|| (Uid::from_raw(0), Gid::from_raw(0)));
        copy(&Side::Host.place(source), &Side::Inside(view.as_fd()).place(path), owner, how)?;
        note(self.dirs(), &found.record, "extract-to-dir", &[]);
        Ok(())
    }

    /// Copies a path of a container to the host.
    ///
    /// # Errors
    /// As [`Engine::copy_in`].
    pub fn copy_out(&self, container: &str, path: &str, target: &str, how: How) -> Result<()> {
        let found = self.found(container)?;
        let view = View::with_mounts(self, &found)?;
        let owner = (!how.archive).then(|| (geteuid(), getegid()));
        copy(&Side::Inside(view.as_fd()).place(path), &Side::Host.place(target), owner, how)?;
        note(self.dirs(), &found.record, "archive-path", &[]);
        Ok(())
    }

    /// Writes a path of a container as a tar.
    ///
    /// # Errors
    /// When it is not there, or `writer` cannot be written.
    pub fn copy_out_as_tar(&self, container: &str, path: &str, writer: impl Write, how: How) -> Result<()> {
        use step07_images::pack::{Form, Packer};
        let found = self.found(container)?;
        let view = View::with_mounts(self, &found)?;
        let place = Side::Inside(view.as_fd()).place(path);
        let source = place.source(how.follow)?;
        let mut packer = Packer::new(writer, Form::Plain);
        match (&source.parent, source.is_folder()?) {
            (_, true) => packer.folder(open_folder(source.opened.as_fd(), c".")?.as_fd(), source.tar_name())?,
            (Some(parent), false) => packer.entry(parent.as_fd(), &source.name, source.name.to_bytes())?,
            (None, false) => anyhow::bail!("`{path}` is no directory"),
        }
        packer.finish().context("write the tar")?;
        note(self.dirs(), &found.record, "archive-path", &[]);
        Ok(())
    }

    /// Unpacks a tar into a directory of a container.
    ///
    /// # Errors
    /// [`Refusal`] when `path` is no directory; an entry that cannot be made.
    pub fn copy_in_from_tar(&self, reader: impl Read, container: &str, path: &str, how: How) -> Result<()> {
        let found = self.found(container)?;
        let view = View::with_mounts(self, &found)?;
        let place = Side::Inside(view.as_fd()).place(path);
        let folder = place.existing_folder()?;
        extract::extract(reader, folder.as_fd(), how.archive)?;
        note(self.dirs(), &found.record, "extract-to-dir", &[]);
        Ok(())
    }

    fn found(&self, container: &str) -> Result<Container> {
        let found = Container::find(self.dirs(), container)?;
        if matches!(found.status, Status::Starting) {
            return Err(Refusal::new(format!("container `{container}` is just starting")).code(1).into());
        }
        Ok(found)
    }
}

/// docker's rules. Source: docker's reference, `docker container cp`, "Description".
fn copy(from: &Place<'_>, to: &Place<'_>, owner: Option<(Uid, Gid)>, how: How) -> Result<()> {
    let source = from.source(how.follow)?;
    let target = to.target(source.is_folder()?, &source)?;
    let mut copied = Copied::owned_by(owner);
    let done = match &target {
        place::Target::Folder(folder) if source.only_content => {
            let content = open_folder(source.opened.as_fd(), c".")?;
            copy_children(content.as_fd(), folder.as_fd(), &mut copied)
        }
        place::Target::Folder(folder) => copy_open(source.opened.as_fd(), folder.as_fd(), &source.name, &mut copied),
        place::Target::Name(folder, name) => copy_open(source.opened.as_fd(), folder.as_fd(), name, &mut copied),
        place::Target::Content(file) => {
            anyhow::ensure!(kind(&fstat(&source.opened)?) == SFlag::S_IFREG, "only a file takes the place of a file");
            crate::tree::overwrite(source.opened.as_fd(), file.as_fd(), owner)
        }
    };
    done.with_context(|| format!("cannot copy `{}` to `{}`", from.text(), to.text()))
}
