//! What can go wrong, and what to do about it.

use nix::errno::Errno;
use std::path::PathBuf;
use sys::failure::describe;

/// Why a file system cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum Error {
    #[error("{doing} `{}`: {}", .path.display(), describe(*.errno))]
    Path { doing: &'static str, path: PathBuf, errno: Errno },
    #[error("{0:?} holds a zero byte, which ends a string for the kernel")]
    Nul(PathBuf),
    #[error("overlay over {layers} layers with the upper directory `{}`: {}", .upper.display(), describe(*.errno))]
    Overlay { layers: usize, upper: PathBuf, errno: Errno, kernel: Option<String> },
    #[error("map the owners of files below `{}`: {}", .path.display(), describe(*.errno))]
    MappedUsers { path: PathBuf, errno: Errno },
    #[error("{doing} a terminal for the container: {}", describe(*.errno))]
    Terminal { doing: &'static str, errno: Errno },
    #[error("`{0}` is no volume")]
    Volume(String),
    #[error("`{0}` is no mount option")]
    Option(String),
    #[error("mount point `{}` is not an absolute path below `/`", .0.display())]
    Destination(PathBuf),
}

impl Error {
    /// The kernel's own words about a refused mount, where it has some.
    #[must_use]
    pub fn kernel(&self) -> Option<&str> {
        match self {
            Self::Overlay { kernel, .. } => kernel.as_deref(),
            _ => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Overlay { errno: Errno::EINVAL | Errno::EOPNOTSUPP, .. } => {
                "the upper directory must be on ext4, xfs, btrfs or tmpfs, not on an overlay or a network file system"
            }
            Self::Overlay { errno: Errno::ENODEV, .. } => "the kernel has no overlayfs: sudo modprobe overlay",
            Self::Overlay { errno: Errno::EPERM, .. } => {
                "an overlay needs root, or a user namespace on Linux 5.11 or newer"
            }
            Self::Overlay { errno: Errno::ENAMETOOLONG, .. } => "more than 80 layers need Linux 6.5 or newer",
            Self::MappedUsers { errno: Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS, .. } => {
                "this file system has no idmapped mounts, or the kernel is older than Linux 5.12: go without, `--userns host`"
            }
            Self::Volume(_) => "write SOURCE:DESTINATION or SOURCE:DESTINATION:ro, both paths absolute",
            Self::Option(_) => {
                "a tmpfs takes size=64m, mode=1777, uid=, gid=, nr_inodes=, ro, rw, exec, noexec, suid, dev"
            }
            Self::Destination(_) => "write the path as the container will see it, for example `/data`",
            _ => return None,
        })
    }
}
