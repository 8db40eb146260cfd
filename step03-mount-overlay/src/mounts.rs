//! What is mounted inside, in order. Host half: everything is looked up and laid out here.

use crate::Error;
use crate::mount_point::MountPoint;
use crate::overlay::c_string;
use nix::sys::stat::{SFlag, stat};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// One thing to mount.
#[derive(Debug)]
pub struct Mount {
    /// What it is.
    pub kind: Kind,
    /// Where, as an absolute path inside the root. What is missing on the way is made.
    pub destination: PathBuf,
    /// [`sys::mount::attr`] flags.
    pub attributes: u64,
}

/// The kinds of mounts.
#[derive(Debug)]
pub enum Kind {
    /// A new file system, made in the child: `proc`, `sysfs` and `mqueue` show the namespaces of whoever makes them.
    FileSystem {
        /// Its type: `proc`, `tmpfs`, …
        fs_type: &'static str,
        /// Options: `size` with `65536k`; a flag has no value.
        options: Vec<(String, Option<String>)>,
    },
    /// A directory or file of the host, with all that is mounted below it.
    Bind {
        /// Its path on the host.
        source: PathBuf,
    },
    /// A mount that the host half has made and holds.
    Made(OwnedFd),
    /// A file that the host half holds open, on a mount that is attached by then: a terminal on `/dev/console`.
    File(OwnedFd),
    /// Nothing is mounted: the folder has to be there, and is made when it is missing.
    Folder,
    /// Device files made by mknod in `destination`, which needs real root.
    Devices,
    /// The links of `/dev` that programs expect.
    DeviceLinks,
}

/// Mounts that are ready for the child.
#[derive(Debug)]
pub struct Mounts {
    pub(crate) steps: Box<[Step]>,
}

/// One mount in the form that the child half uses.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) target: MountPoint,
    pub(crate) attributes: u64,
    pub(crate) source: Source,
}

#[derive(Debug)]
pub(crate) enum Source {
    New {
        fs_type: CString,
        options: Vec<(CString, Option<CString>)>,
    },
    Bind(CString),
    Made(OwnedFd),
    File(OwnedFd),
    Folder,
    Devices,
    DeviceLinks,
}

impl Mounts {
    /// Looks at every source and lays the paths out. The order stays.
    ///
    /// # Errors
    /// [`Error::Path`] for a source that is not there, [`Error::Destination`], [`Error::Nul`].
    pub fn prepare(mounts: Vec<Mount>) -> Result<Self, Error> {
        Ok(Self {
            steps: mounts.into_iter().map(Step::prepare).collect::<Result<_, _>>()?,
        })
    }
}

impl Step {
    fn prepare(mount: Mount) -> Result<Self, Error> {
        let file = match &mount.kind {
            Kind::Bind { source } => !is_directory(source)?,
            Kind::File(_) => true,
            _ => false,
        };
        // A /proc or /sys that is a link would be mounted over what it points to: refused, as runc does.
        let follow = !matches!(
            &mount.kind,
            Kind::FileSystem {
                fs_type: "proc" | "sysfs",
                ..
            }
        );
        Ok(Self {
            target: MountPoint::new(&mount.destination, follow, file)?,
            attributes: mount.attributes,
            source: Source::prepare(mount.kind)?,
        })
    }
}

impl Source {
    fn prepare(kind: Kind) -> Result<Self, Error> {
        Ok(match kind {
            Kind::FileSystem { fs_type, options } => {
                let options = options.into_iter().map(|(key, value)| {
                    Ok((
                        c_string(Path::new(&key))?,
                        value.map(|value| c_string(Path::new(&value))).transpose()?,
                    ))
                });
                Self::New {
                    fs_type: c_string(Path::new(fs_type))?,
                    options: options.collect::<Result<_, Error>>()?,
                }
            }
            Kind::Bind { source } => Self::Bind(c_string(&source)?),
            Kind::Made(mount) => Self::Made(mount),
            Kind::File(file) => Self::File(file),
            Kind::Folder => Self::Folder,
            Kind::Devices => Self::Devices,
            Kind::DeviceLinks => Self::DeviceLinks,
        })
    }
}

fn is_directory(path: &Path) -> Result<bool, Error> {
    let found = stat(path).map_err(|errno| Error::Path {
        doing: "find the volume",
        path: path.to_owned(),
        errno,
    })?;
    Ok(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}
