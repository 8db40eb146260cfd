//! What is mounted inside, in order. Host half: everything is looked up and laid out here.

use crate::Error;
use crate::copy_up::copy_up;
use crate::mount_point::MountPoint;
use crate::options::{Attributes, Options, Reach};
use crate::overlay::c_string;
use crate::terminal::Terminal;
use nix::errno::Errno;
use nix::sys::stat::{SFlag, stat};
use serde::{Deserialize, Serialize};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::mount::{FsContext, Propagation, attr, map_owners, set_attributes};

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

/// What becomes of the owners of a mount's files, by the map of a user namespace (`idmap`, or `ridmap` for the mounts below it too).
#[derive(Debug)]
pub struct MappedMount {
    /// Which of the mounts.
    pub index: usize,
    /// The user namespace.
    pub users: OwnedFd,
}

/// Where the mounts are made, and what the host half has to do because the child cannot.
#[derive(Debug, Default)]
pub struct Surroundings<'a> {
    /// Device files can be made; else the host's are bound.
    pub own_devices: bool,
    /// The child is in a user namespace of its own: it may not reach what it binds.
    pub own_users: bool,
    /// The new root, for a tmpfs that begins with what it covers (`tmpcopyup`).
    pub root: Option<&'a Path>,
    /// The mounts with a map of owners.
    pub mapped: Vec<MappedMount>,
    /// A mount that somebody has made already, for this destination in place of a new one.
    pub made: Option<(&'a Path, BorrowedFd<'a>)>,
}

/// A device file that one container has besides those of all. Source: OCI runtime specification, config-linux.md, "Devices".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Where, as an absolute path inside the root.
    pub path: PathBuf,
    /// What it is.
    pub kind: DeviceFile,
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

/// What a device file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum DeviceFile {
    Block,
    Character,
    Fifo,
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
    New {
        fs_type: CString,
        source: CString,
        data: Vec<(CString, Option<CString>)>,
        attributes: u64,
        propagation: Propagation,
    },
    /// A copy of a mount of the host.
    Bind(Bind),
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

/// A copy of a mount of the host.
#[derive(Debug)]
pub(crate) struct Bind {
    pub(crate) source: CString,
    pub(crate) recursive: bool,
    pub(crate) own: Attributes,
    pub(crate) all: Attributes,
    pub(crate) propagation: Propagation,
    pub(crate) propagation_of_all: bool,
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
        Self::prepare_in(mounts, &Surroundings { own_devices, ..Surroundings::default() }, terminal, folder)
    }

    /// The same for any surroundings.
    ///
    /// # Errors
    /// As [`Mounts::prepare`].
    pub fn prepare_in(
        mounts: &[Mount],
        surroundings: &Surroundings<'_>,
        terminal: Option<&Terminal>,
        folder: &Path,
    ) -> Result<Self, Error> {
        let mut steps = Vec::new();
        for (index, mount) in mounts.iter().enumerate() {
            steps.push(Step::prepare(index, mount, surroundings, terminal)?);
            if mount.destination == Path::new("/dev") && mount.fs_type == "tmpfs" {
                steps.extend(devices(surroundings)?);
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

    /// And these device files, after all mounts. In a user namespace none can be made: the host's are bound there.
    ///
    /// # Errors
    /// [`Error::Destination`], [`Error::Nul`]; [`Error::Path`] for one to bind that the host does not have.
    pub fn with_devices(self, devices: &[Device], surroundings: &Surroundings<'_>) -> Result<Self, Error> {
        let mut steps = self.steps.into_vec();
        for device in devices {
            let target = MountPoint::new(&device.path, true, true)?;
            let action = if surroundings.own_devices || device.kind == DeviceFile::Fifo {
                Action::Device(device.clone())
            } else {
                bound(&device.path, surroundings)?
            };
            steps.push(Step { target, action });
        }
        Ok(Self { steps: steps.into() })
    }
}

impl Step {
    fn prepare(
        index: usize,
        mount: &Mount,
        surroundings: &Surroundings<'_>,
        terminal: Option<&Terminal>,
    ) -> Result<Self, Error> {
        let options = Options::parse(&mount.options)?;
        let bind = mount.fs_type == "bind" || options.bind;
        let file = bind && !options.remount && !is_directory(&mount.source)?;
        // A /proc or /sys that is a link would be mounted over what it points to: refused, as runc does.
        let follow = !matches!(mount.fs_type.as_str(), "proc" | "sysfs");
        let made = surroundings.made.filter(|(destination, _)| mount.destination == *destination);
        let action = match (terminal, made) {
            (_, Some((_, made))) => Action::Made(duplicate(made)?),
            (Some(terminal), _) if mount.fs_type == "devpts" => Action::Made(duplicate(terminal.file_system.as_fd())?),
            _ if options.remount => {
                let Attributes { set, clear } = options.own;
                Action::Attributes { set, clear }
            }
            _ if bind => bind_action(index, mount, &options, surroundings)?,
            _ if options.copy_up && surroundings.root.is_some() => copied_up(mount, options, surroundings)?,
            _ => Action::New {
                fs_type: c_string(Path::new(&mount.fs_type))?,
                source: c_string(&mount.source)?,
                attributes: options.own.set | options.all.set,
                propagation: options.propagation,
                data: options.data()?,
            },
        };
        Ok(Self { target: MountPoint::new(&mount.destination, follow, file)?, action })
    }
}

/// A bind mount. It is made by the host half where the child could not reach its source, has no right to map owners, or has cut its
/// table of mounts off from the host's, with which this one shall stay linked.
fn bind_action(
    index: usize,
    mount: &Mount,
    options: &Options,
    surroundings: &Surroundings<'_>,
) -> Result<Action, Error> {
    let bind = Bind {
        source: c_string(&mount.source)?,
        recursive: options.recursive || mount.fs_type == "bind" && !options.bind,
        own: options.own,
        all: options.all,
        propagation: options.propagation,
        propagation_of_all: options.propagation_of_all,
    };
    let users = surroundings.mapped.iter().find(|mapped| mapped.index == index);
    let linked = matches!(options.propagation, Propagation::Slave | Propagation::Shared);
    if users.is_none() && !linked && !surroundings.own_users {
        return Ok(Action::Bind(bind));
    }
    let tree = bind.make()?;
    if let Some(MappedMount { users, .. }) = users {
        let recursive = options.map_owners == Some(Reach::All);
        map_owners(tree.as_fd(), users.as_fd(), recursive).map_err(refused("map the owners of", &mount.source))?;
    }
    Ok(Action::Made(tree))
}

impl Bind {
    /// As [`Bind::copy`], with the host half's words.
    fn make(&self) -> Result<OwnedFd, Error> {
        self.copy().map_err(|sys::Failure { on, errno, .. }| Error::Path {
            doing: "bind",
            path: Path::new(OsStr::from_bytes(on)).to_owned(),
            errno,
        })
    }
}

/// A tmpfs with a copy of what it will cover, made by the host half: the child may not allocate.
fn copied_up(mount: &Mount, options: Options, surroundings: &Surroundings<'_>) -> Result<Action, Error> {
    let attributes = options.own.set | options.all.set;
    let context = FsContext::open(c"tmpfs").map_err(refused("make the tmpfs for", &mount.destination))?;
    let word = |errno| Error::Path { doing: "set an option of the tmpfs for", path: mount.destination.clone(), errno };
    for (key, value) in options.data()? {
        value.map_or_else(|| context.set_flag(&key), |value| context.set(&key, &value)).map_err(word)?;
    }
    let made = context.mount(attributes & !attr::RDONLY).map_err(refused("make the tmpfs for", &mount.destination))?;
    if let Some(root) = surroundings.root {
        copy_up(root, &mount.destination, made.as_fd())?;
    }
    if attributes & attr::RDONLY != 0 {
        set_attributes(made.as_fd(), attr::RDONLY, 0, Propagation::Unchanged, false)
            .map_err(refused("make read-only", &mount.destination))?;
    }
    Ok(Action::Made(made))
}

pub(crate) fn refused(doing: &'static str, path: &Path) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Path { doing, path: path.to_owned(), errno }
}

/// The devices that every program expects. Source: OCI runtime specification, config-linux.md, "Default Devices".
pub(crate) const DEVICES: [(&std::ffi::CStr, u64, u64); 6] =
    [(c"null", 1, 3), (c"zero", 1, 5), (c"full", 1, 7), (c"random", 1, 8), (c"urandom", 1, 9), (c"tty", 5, 0)];

/// What `/dev` gets besides its tmpfs. In a user namespace no device can be made: the host's are bound there instead.
fn devices(surroundings: &Surroundings<'_>) -> Result<Vec<Step>, Error> {
    let dev = || MountPoint::new(Path::new("/dev"), true, false);
    let mut steps = vec![Step { target: dev()?, action: Action::DeviceLinks }];
    if surroundings.own_devices {
        steps.push(Step { target: dev()?, action: Action::Devices });
        return Ok(steps);
    }
    for (name, ..) in DEVICES {
        let path = Path::new("/dev").join(name.to_str().expect("the names are ASCII"));
        steps.push(Step { target: MountPoint::new(&path, true, true)?, action: bound(&path, surroundings)? });
    }
    Ok(steps)
}

/// A device file of the host, bound at the same place.
fn bound(path: &Path, surroundings: &Surroundings<'_>) -> Result<Action, Error> {
    let bind = Bind {
        source: c_string(path)?,
        recursive: false,
        own: Attributes::NONE,
        all: Attributes::NONE,
        propagation: Propagation::Private,
        propagation_of_all: false,
    };
    Ok(if surroundings.own_users { Action::Made(bind.make()?) } else { Action::Bind(bind) })
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
