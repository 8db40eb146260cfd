//! What is mounted inside, in order. Host half: everything is looked up and laid out here.

use crate::Error;
use crate::mount_point::MountPoint;
use crate::options::Options;
use crate::overlay::c_string;
use crate::terminal::Terminal;
use nix::sys::stat::{SFlag, stat};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::mount::Propagation;

/// One thing to mount, in the words of `config.json`. Source: OCI runtime specification, config.md, "Mounts".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, as an absolute path inside the root. What is missing on the way is made.
    pub destination: PathBuf,
    /// The type of a new file system (`proc`, `tmpfs`, …), or `bind`.
    pub fs_type: String,
    /// The path on the host of a bind mount; else only a name in the table of mounts.
    pub source: PathBuf,
    /// As mount(8) takes them: `ro`, `nosuid`, `size=64m`, `rbind`, `rprivate`, …
    pub options: Vec<String>,
}

/// A device file that one container has besides those of all. Source: OCI runtime specification, config-linux.md, "Devices".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Where, as an absolute path inside the root.
    pub path: PathBuf,
    /// A block device; else a character device.
    pub block: bool,
    /// Its numbers.
    pub major: u64,
    /// Its numbers.
    pub minor: u64,
    /// Permissions, as chmod(2) takes them.
    pub mode: u32,
    /// Its owner inside.
    pub uid: u32,
    /// Its group inside.
    pub gid: u32,
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
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    /// A new file system; it shows the namespaces of whoever makes it, so the child does.
    New { fs_type: CString, source: CString, data: Vec<(CString, Option<CString>)>, attributes: u64 },
    /// A copy of a mount of the host.
    Bind { source: CString, recursive: bool, set: u64, clear: u64, propagation: Propagation },
    /// A mount that the host half has made and holds.
    Made(OwnedFd),
    /// A file that the host half holds open, on a mount that is attached by then: a terminal, on `/dev/console`.
    File(OwnedFd),
    /// What is mounted there already gets other attributes.
    Attributes { set: u64, clear: u64 },
    /// One device file more, made by mknod in the folder that the target is.
    Device(Device),
    /// Nothing is mounted; the folder has to be there.
    Folder,
    /// The device files of `/dev`, made by mknod: needs real root.
    Devices,
    /// The links of `/dev`.
    DeviceLinks,
}

impl Mounts {
    /// Looks at every source and lays the paths out; the order stays.
    ///
    /// A tmpfs on `/dev` also gets the devices and links that every container has; with a `terminal` its file system becomes
    /// `/dev/pts` and its device `/dev/console`. `folder` (the working directory) is made when it is missing.
    ///
    /// # Errors
    /// [`Error::Path`] for a source that is not there, [`Error::Destination`], [`Error::Option`], [`Error::Nul`].
    pub fn prepare(
        mounts: &[Mount],
        own_devices: bool,
        terminal: Option<&Terminal>,
        folder: &Path,
    ) -> Result<Self, Error> {
        let mut steps = Vec::new();
        for mount in mounts {
            steps.push(Step::prepare(mount, terminal)?);
            if mount.destination == Path::new("/dev") && mount.fs_type == "tmpfs" {
                steps.extend(devices(own_devices)?);
            }
        }
        if let Some(terminal) = terminal {
            let file = duplicate(terminal.device.as_fd())?;
            steps.push(Step {
                target: MountPoint::new(Path::new("/dev/console"), true, true)?,
                action: Action::File(file),
            });
        }
        if folder != Path::new("/") {
            steps.push(Step { target: MountPoint::new(folder, true, false)?, action: Action::Folder });
        }
        Ok(Self { steps: steps.into() })
    }

    /// And these device files, after all mounts. In a user namespace none can be made: bind the host's there.
    ///
    /// # Errors
    /// [`Error::Destination`], [`Error::Nul`].
    pub fn with_devices(self, devices: &[Device]) -> Result<Self, Error> {
        let mut steps = self.steps.into_vec();
        for device in devices {
            let target = MountPoint::new(&device.path, true, true)?;
            steps.push(Step { target, action: Action::Device(device.clone()) });
        }
        Ok(Self { steps: steps.into() })
    }
}

impl Step {
    fn prepare(mount: &Mount, terminal: Option<&Terminal>) -> Result<Self, Error> {
        let options = Options::parse(&mount.options)?;
        let bind = mount.fs_type == "bind" || options.bind;
        let file = bind && !options.remount && !is_directory(&mount.source)?;
        // A /proc or /sys that is a link would be mounted over what it points to: refused, as runc does.
        let follow = !matches!(mount.fs_type.as_str(), "proc" | "sysfs");
        let action = match terminal {
            Some(terminal) if mount.fs_type == "devpts" => Action::Made(duplicate(terminal.file_system.as_fd())?),
            _ if options.remount => Action::Attributes { set: options.set, clear: options.clear },
            _ if bind => Action::Bind {
                source: c_string(&mount.source)?,
                recursive: options.recursive || mount.fs_type == "bind" && !options.bind,
                set: options.set,
                clear: options.clear,
                propagation: options.propagation,
            },
            _ => Action::New {
                fs_type: c_string(Path::new(&mount.fs_type))?,
                source: c_string(&mount.source)?,
                attributes: options.set,
                data: options.data()?,
            },
        };
        Ok(Self { target: MountPoint::new(&mount.destination, follow, file)?, action })
    }
}

/// The devices that every program expects. Source: OCI runtime specification, config-linux.md, "Default Devices".
pub(crate) const DEVICES: [(&std::ffi::CStr, u64, u64); 6] =
    [(c"null", 1, 3), (c"zero", 1, 5), (c"full", 1, 7), (c"random", 1, 8), (c"urandom", 1, 9), (c"tty", 5, 0)];

/// What `/dev` gets besides its tmpfs. In a user namespace no device can be made: the host's are bound there instead.
fn devices(own: bool) -> Result<Vec<Step>, Error> {
    let dev = || MountPoint::new(Path::new("/dev"), true, false);
    let mut steps = vec![Step { target: dev()?, action: Action::DeviceLinks }];
    if own {
        steps.push(Step { target: dev()?, action: Action::Devices });
        return Ok(steps);
    }
    for (name, ..) in DEVICES {
        let path = Path::new("/dev").join(name.to_str().expect("the names are ASCII"));
        let source = c_string(&path)?;
        let action = Action::Bind { source, recursive: false, set: 0, clear: 0, propagation: Propagation::Private };
        steps.push(Step { target: MountPoint::new(&path, true, true)?, action });
    }
    Ok(steps)
}

fn is_directory(path: &Path) -> Result<bool, Error> {
    let found = stat(path).map_err(|errno| Error::Path { doing: "find the volume", path: path.to_owned(), errno })?;
    Ok(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

fn duplicate(fd: std::os::fd::BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    fd.try_clone_to_owned().map_err(|error| Error::Terminal {
        doing: "duplicate a descriptor of",
        errno: nix::errno::Errno::try_from(error).unwrap_or(nix::errno::Errno::EMFILE),
    })
}
