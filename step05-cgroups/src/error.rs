//! What can go wrong, and what to do about it.

use nix::errno::Errno;
use std::io;
use std::path::{Path, PathBuf};
use sys::failure::describe;

/// Why a share of the machine cannot be given, measured or taken back.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum Error {
    #[error("`{0}` is no amount of memory")]
    Bytes(String),
    #[error("`{0}` is no number of processes")]
    Number(String),
    #[error("`{0}` is no number of processors")]
    Cpus(String),
    #[error("`{0}` is no list of numbers")]
    Set(String),
    #[error("`{0}` is no device and rate")]
    DeviceRate(String),
    #[error("`{0}` is no block device of this machine")]
    NoBlockDevice(String),
    #[error("`{0}` is no device rule")]
    DeviceRule(String),
    #[error("{0}")]
    Conflict(&'static str),
    #[error("`{0}` is no name for a cgroup")]
    Name(String),

    #[error("`{flag}` needs the cgroup controller `{controller}`, and this machine has none")]
    NoController { flag: &'static str, controller: &'static str },
    #[error("`{flag}` needs the cgroup controller `{controller}`, which is not given to `{}`", .at.display())]
    NotGiven { flag: &'static str, controller: &'static str, at: PathBuf },
    #[error("`{flag}` needs a cgroup of our own, and we may make none below `{}`", .at.display())]
    NotDelegated { flag: &'static str, at: PathBuf },
    #[error("`{flag}` needs a cgroup, and `{}` is mounted read-only", .at.display())]
    ReadOnly { flag: &'static str, at: PathBuf },
    #[error("`{flag}` needs the controller `{controller}` below `{}`, which holds processes itself", .at.display())]
    InternalProcesses { flag: &'static str, controller: &'static str, at: PathBuf },
    #[error("`{flag}`: this kernel has no `{file}`")]
    NoFile { flag: &'static str, file: &'static str },
    #[error("`{flag}`: write `{value}` to `{}`: {}", .path.display(), describe(*.errno))]
    Limit { flag: &'static str, value: String, path: PathBuf, errno: Errno },
    #[error("`{flag}`: the version of cgroups that is mounted here has no such thing")]
    OtherVersion { flag: &'static str },
    #[error("the cgroup `{}` holds processes already", .0.display())]
    Occupied(PathBuf),
    #[error("`--device`: load the list of devices for `{}` into the kernel: {}", .path.display(), describe(*.errno))]
    DeviceProgram { path: PathBuf, errno: Errno },
    #[error("a running container's list of devices cannot be changed")]
    DevicesAreFixed,

    #[error("{doing} `{}`: {}", .path.display(), describe(*.errno))]
    Path { doing: &'static str, path: PathBuf, errno: Errno },
    #[error("`{}` says `{text}`, which is not understood", .path.display())]
    Text { path: PathBuf, text: String },
    #[error("there is no cgroup `{0}`")]
    Gone(String),
    #[error("{doing} the processes in `{}`: they are not {state} after {seconds} s", .path.display())]
    Deadline { doing: &'static str, state: &'static str, path: PathBuf, seconds: u64 },
    #[error("remove the cgroup `{}`: processes are still in it", .0.display())]
    Busy(PathBuf),
}

impl Error {
    pub(crate) fn read(path: &Path, error: &io::Error) -> Self {
        Self::path("read", path, errno(error))
    }

    pub(crate) fn path(doing: &'static str, path: &Path, errno: Errno) -> Self {
        Self::Path { doing, path: path.to_owned(), errno }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Bytes(_) => "write a number and b, k, m or g: 64m, 1.5g",
            Self::Number(_) => "write a whole number; -1 for no limit",
            Self::Cpus(_) => "write a number of processors, at least 0.01: .5, 2",
            Self::Set(_) => "write numbers and ranges with commas: 0-2,5",
            Self::DeviceRate(_) => "write a device and its rate: /dev/sda:1mb",
            Self::NoBlockDevice(_) => "name a whole disk: `lsblk -d` lists them",
            Self::DeviceRule(_) => "write type, numbers and access: c 1:3 rwm",
            Self::Name(_) => "use letters, digits, `_`, `.` and `-`; a parent is such names with `/` between",
            Self::NoController { .. } => {
                "see /proc/cgroups; `cgroup_disable=` on the kernel's command line may have switched it off, and on \
                 Debian's ARM images `cgroup_enable=memory` switches it on"
            }
            Self::NotGiven { .. } => {
                "whoever manages that cgroup has to write it into the parent's cgroup.subtree_control; \
                 under systemd: systemctl edit user@.service, and `Delegate=cpu cpuset io memory pids`"
            }
            Self::NotDelegated { .. } => {
                "run it as root; or, with cgroup v2 and systemd: systemd-run --user --scope -p Delegate=yes -- COMMAND; \
                 or leave the limit out"
            }
            Self::ReadOnly { .. } => "this is a container: give it its cgroups writable, or leave the limit out",
            Self::InternalProcesses { .. } => {
                "a cgroup of version 2 has either processes or controllers for its children: move the processes into a child \
                 of it, or choose another place by `--cgroup-parent`"
            }
            Self::NoFile { flag: "--memory-swap", .. } => {
                "the kernel does not count swap: boot it with `swapaccount=1`, or leave the flag out"
            }
            Self::NoFile { .. } => "a newer kernel has it; leave the flag out here",
            Self::Limit { errno: Errno::ENODEV, .. } => {
                "name the whole disk and not a partition: `lsblk -d` lists them"
            }
            Self::Limit { errno: Errno::EBUSY, .. } => "more than this is in use already: stop something inside first",
            Self::Limit { errno: Errno::EINVAL | Errno::ERANGE | Errno::ENOSPC, .. } => {
                "the value is outside of what this machine has or the parent cgroup allows"
            }
            Self::DeviceProgram { errno: Errno::EPERM, .. } => "it needs real root (CAP_BPF and CAP_NET_ADMIN)",
            Self::DevicesAreFixed => "stop the container and start one with the other list",
            Self::Path { errno: Errno::EEXIST, .. } => "something of that name was left behind: tara system reclaim",
            Self::Deadline { .. } => {
                "a process that waits for a disk or a network file system cannot be stopped: see `ps -o stat,wchan`"
            }
            Self::Busy(_) => "end them first: cgroup.procs in it names them",
            _ => return None,
        })
    }
}

/// The errno in an error of std; what has none was not the kernel's.
pub(crate) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
