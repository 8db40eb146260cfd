//! A terminal for the container, made before there is a process: its device is in the container's own `/dev/pts`.
//!
//! A terminal of the host would have a name that means nothing inside, or names another terminal there; one of the
//! container's own file system is `/dev/pts/0` for the program too.

use crate::Error;
use crate::overlay::c_string;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::mount::{FsContext, attr};
use sys::terminal::{make_controlling, open_peer};
use sys::{Failure, Whilst, fd};

/// A pseudo-terminal and the file system that it lives in.
#[derive(Debug)]
pub struct Terminal {
    /// The side of whoever shows the terminal.
    pub master: OwnedFd,
    /// The side of the program: its standard input, output and error.
    pub device: OwnedFd,
    pub(crate) file_system: OwnedFd,
}

impl Terminal {
    /// Makes a `devpts` with the options of `/dev/pts`, and a terminal in it. Host half.
    ///
    /// # Errors
    /// [`Error::Terminal`]. Source: Documentation/filesystems/devpts.rst.
    pub fn create(options: &[String]) -> Result<Self, Error> {
        let file_system = devpts(options)?;
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let refused = |doing| move |errno: Errno| Error::Terminal { doing, errno };
        let master = openat(&file_system, c"ptmx", flags, Mode::empty()).map_err(refused("open the master of"))?;
        let device = open_peer(&master).map_err(refused("open the device of"))?;
        Ok(Self { master, device, file_system })
    }

    /// Makes the device the controlling terminal and 0, 1 and 2 of this process, which leads a session. Child half.
    ///
    /// # Errors
    /// The call that failed.
    pub fn enter(&self) -> Result<(), Failure<'_>> {
        make_controlling(self.device.as_fd()).whilst("make the controlling terminal of", c"/dev/pts/0")?;
        for number in 0..=2 {
            fd::dup_onto(self.device.as_fd(), number).whilst("make standard input and output of", c"/dev/pts/0")?;
        }
        Ok(())
    }

    /// The master, to read and write.
    #[must_use]
    pub fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

fn devpts(options: &[String]) -> Result<OwnedFd, Error> {
    let refused = |errno| Error::Terminal { doing: "make the file system of", errno };
    let context = FsContext::open(c"devpts").map_err(refused)?;
    context.set(c"source", c"devpts").map_err(refused)?;
    for (key, value) in options.iter().filter_map(|option| option.split_once('=')) {
        context.set(&c_string(Path::new(key))?, &c_string(Path::new(value))?).map_err(refused)?;
    }
    context.mount(attr::NOSUID | attr::NOEXEC).map_err(refused)
}
