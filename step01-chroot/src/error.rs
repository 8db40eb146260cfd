//! What can go wrong, and what to do about it.

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use sys::failure::describe;
use sys::{Failure, arch};

/// Why a program does not run in a root.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum Error {
    #[error("root file system `{}` does not exist", .0.display())]
    RootMissing(PathBuf),
    #[error("root file system `{}` cannot be opened: {}", .path.display(), describe(*.errno))]
    RootUnusable { path: PathBuf, errno: Errno },
    #[error("there is no command to run")]
    NoCommand,
    #[error("{0:?} holds a zero byte, which ends a string for the kernel")]
    Nul(String),
    #[error("new process: {}", describe(*.0))]
    Fork(Errno),
    #[error("{doing} `{on}`: {}", describe(*.errno))]
    Enter { doing: String, on: String, errno: Errno },
    #[error("program `{0}` was not found in the root file system")]
    NotFound(String),
    #[error("program `{0}` is there, but the interpreter that it names is not")]
    NoInterpreter(String),
    #[error("program `{path}` cannot be executed: {}", describe(*.errno))]
    NotExecutable { path: String, errno: Errno },
    #[error("program `{path}` is for {of}, and this machine is {}", arch::OCI_ARCHITECTURE)]
    WrongArchitecture { path: String, of: &'static str },
    #[error("program `{0}` is neither an ELF program nor a script that begins with `#!`")]
    NoFormat(String),
}

impl Error {
    /// Explains why execve refused: `root` is the root file system that the program was looked for in.
    #[must_use]
    pub fn of_execute(failure: &Failure<'_>, root: BorrowedFd<'_>) -> Self {
        let path = String::from_utf8_lossy(failure.on).into_owned();
        match failure.errno {
            Errno::ENOENT if failure.doing == "find" => Self::NotFound(path),
            Errno::ENOENT if path.contains('/') && !exists(root, &path) => Self::NotFound(path),
            Errno::ENOENT => Self::NoInterpreter(path),
            Errno::ENOEXEC => match elf_architecture(root, &path) {
                Some(of) if of != arch::OCI_ARCHITECTURE => Self::WrongArchitecture { path, of },
                _ => Self::NoFormat(path),
            },
            errno => Self::NotExecutable { path, errno },
        }
    }

    /// Why the root could not be entered.
    #[must_use]
    pub fn of_enter(failure: &Failure<'_>) -> Self {
        let on = String::from_utf8_lossy(failure.on).into_owned();
        Self::Enter { doing: failure.doing.to_owned(), on, errno: failure.errno }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::RootMissing(_) => "give a directory that holds a whole system: its programs, libraries and /etc",
            Self::Enter { errno: Errno::EPERM, .. } => "chroot needs root (CAP_SYS_CHROOT): run it with sudo",
            Self::NotFound(_) => "check the name and the PATH of the container; the host's programs are not inside",
            Self::NoInterpreter(_) => "see its `#!` line, or for a dynamic program whether its ld.so is inside",
            Self::NotExecutable { errno: Errno::EACCES, .. } => "it needs the execute permission: chmod +x",
            Self::WrongArchitecture { .. } => "use a root file system made for this machine",
            Self::NoFormat(_) => "begin a script with a line like `#!/bin/sh`, or run it by `sh FILE`",
            _ => return None,
        })
    }

    /// The exit code docker gives for it: 127 not found, 126 cannot be executed, 125 the rest.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) | Self::NoInterpreter(_) => 127,
            Self::NotExecutable { .. } | Self::WrongArchitecture { .. } | Self::NoFormat(_) => 126,
            _ => 125,
        }
    }
}

fn exists(root: BorrowedFd<'_>, path: &str) -> bool {
    open(root, path, OFlag::O_PATH).is_some()
}

fn elf_architecture(root: BorrowedFd<'_>, path: &str) -> Option<&'static str> {
    let mut header = [0; 20];
    let file = open(root, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
    let length = nix::unistd::read(&file, &mut header).ok()?;
    arch::of_elf(header.get(..length)?)
}

fn open(root: BorrowedFd<'_>, path: &str, flags: OFlag) -> Option<std::os::fd::OwnedFd> {
    let path = CString::new(path).ok()?;
    sys::fd::open_in_root(root, &path, flags, Mode::empty()).ok()
}
