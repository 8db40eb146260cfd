//! Why an entry of a layer is refused. The error around it names the layer and the entry.

use crate::error::{describe, help_for};
use nix::errno::Errno;
use std::io;

/// Why an entry is refused, or cannot be made here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message beside each field says what it holds")]
pub enum Refusal {
    #[error("the name is empty")]
    EmptyName,
    #[error("the name is absolute")]
    Absolute,
    #[error("the name has a `..`")]
    DotDot,
    #[error("the name has a zero byte")]
    ZeroByte,
    #[error("only a directory can be the root of a layer")]
    NotADirectory,
    #[error("the name has {depth} parts, the limit is {limit}")]
    TooDeep { depth: usize, limit: usize },
    #[error("the way to it leads through a symbolic link")]
    ThroughSymlink,
    #[error("the way to it leads through something that is no directory")]
    ThroughFile,
    #[error("the hard link's target is absolute: `{target}`")]
    LinkAbsolute { target: String },
    #[error("the hard link's target leaves the layer: `{target}`")]
    LinkOutside { target: String },
    #[error("the hard link's target is reached through a symbolic link: `{target}`")]
    LinkThroughSymlink { target: String },
    #[error("the hard link's target is not in this layer: `{target}`")]
    LinkMissing { target: String },
    #[error("the hard link's target is a directory or the link itself: `{target}`")]
    LinkImpossible { target: String },
    #[error("the symbolic link has no target")]
    SymlinkEmpty,
    #[error("a whiteout of the directory that it is in, or of its parent")]
    WhiteoutOfParent,
    #[error("a whiteout of nothing: no name after `.wh.`")]
    WhiteoutOfNothing,
    #[error("a whiteout that is no plain file")]
    WhiteoutKind,
    #[error("something below a whiteout")]
    BelowWhiteout,
    #[error("a device 0:0, which overlayfs takes for a whiteout")]
    WhiteoutDevice,
    #[error("the attribute `{name}` would speak to overlayfs itself")]
    OverlayAttribute { name: String },
    #[error("the owner {uid}:{gid} is no user and group number")]
    Owner { uid: u64, gid: u64 },
    #[error("the owner {uid}:{gid} is not mapped in this user namespace")]
    OwnerNotMapped { uid: u32, gid: u32 },
    #[error("a device cannot be made in a user namespace")]
    DeviceForbidden,
    #[error("an entry of the unknown type {kind:?}")]
    Kind { kind: char },
    #[error("a sparse file in a form that is not supported ({form})")]
    Sparse { form: &'static str },
    #[error("its header is damaged: {why}")]
    Header { why: &'static str },
    #[error("its extended header has {size} bytes, the limit is {limit}")]
    HeaderSize { size: u64, limit: u64 },
    #[error("the layer ends in the middle of it")]
    Truncated,
    #[error("the layer has more than {limit} entries")]
    TooManyEntries { limit: u64 },
    #[error("the layer unpacks to more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the layer unpacks to more than {limit} times its compressed size: a decompression bomb")]
    Bomb { limit: u64 },
    #[error("{doing}: {}", sys::failure::describe(*errno))]
    Kernel { doing: &'static str, errno: Errno },
    #[error("the layer's stream: {}", describe(error))]
    Stream { error: io::Error },
}

impl Refusal {
    /// What the user can do about it.
    #[must_use]
    pub(crate) fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::OwnerNotMapped { .. } => {
                "map more users: install `uidmap` and give this user a range in `/etc/subuid`"
            }
            Self::DeviceForbidden => "load this image as root",
            Self::Truncated | Self::Header { .. } => "the image is damaged: get it again",
            Self::TooManyEntries { .. } | Self::TooLarge { .. } | Self::Bomb { .. } => {
                "if you trust this image, unpack and repack it with fewer or smaller files"
            }
            Self::Kernel { errno, .. } => return help_for(&io::Error::from(*errno)),
            Self::Stream { error } => return help_for(error),
            Self::Sparse { .. } => "write the layer without `--sparse`",
            _ => "the image is broken or hostile: do not use it",
        })
    }
}

/// Says what a system call was for.
pub(crate) trait While<T> {
    fn while_(self, doing: &'static str) -> Result<T, Refusal>;
}

impl<T> While<T> for nix::Result<T> {
    fn while_(self, doing: &'static str) -> Result<T, Refusal> {
        self.map_err(|errno| Refusal::Kernel { doing, errno })
    }
}

impl From<io::Error> for Refusal {
    /// An error of the stream. A tar that ends early and a compressed stream that ends early are the same to a reader.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Stream { error },
        }
    }
}
