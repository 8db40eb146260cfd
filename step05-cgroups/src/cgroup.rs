//! The cgroup of one container: a directory in each tree that is needed.

use crate::error::errno;
use crate::hierarchy::{Controller, Tree, Version};
use crate::limits::Limits;
use crate::parent::{Parent, Wish, is_name, make};
use crate::words::{DEVICES, Setting, WORDS, needed};
use crate::{Error, device_program, files};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A cgroup. It outlives this value: [`Cgroup::remove`] ends it.
#[derive(Debug)]
pub struct Cgroup {
    pub(crate) parent: Parent,
    pub(crate) id: String,
    pub(crate) directories: Vec<Directory>,
}

/// The cgroup in one tree.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) version: Version,
    /// The controllers of the tree, by v1's names.
    controllers: Vec<Controller>,
    pub(crate) path: PathBuf,
    fd: OwnedFd,
    /// v1: where the child writes itself into.
    pub(crate) tasks: Option<Tasks>,
}

/// `tasks` of a cgroup of v1, opened, and its path for messages.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) fd: OwnedFd,
    pub(crate) name: CString,
}

/// What statistics read. In v1 that is a directory each, about 35 to 85 µs; so nothing else is made that no limit needs.
const MEASURED: [Controller; 3] = [Controller::Memory, Controller::Cpuacct, Controller::Pids];

impl Cgroup {
    /// Makes the cgroup `id` below `parent` and sets the limits. Nothing is in it yet: see [`Cgroup::into_cgroup`] and
    /// [`Cgroup::enter`]. Host half.
    ///
    /// Where no cgroup can be had and nothing is limited, the result has no directory, and statistics have no numbers.
    ///
    /// # Errors
    /// A limit that cannot be had is an error that names its flag; what was made until then is removed.
    // ANCHOR: create
    pub fn create(parent: &Parent, id: &str, limits: &Limits) -> Result<Self, Error> {
        let mut cgroup = Self::named(parent, id)?;
        limits.check()?;
        match cgroup.fill(limits) {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                // What we made, and nothing that was there before under this name.
                let begin = Instant::now();
                let _the_first_error_says_more = cgroup.paths().try_for_each(|path| remove_tree(path, begin));
                Err(error)
            }
        }
    }

    fn fill(&mut self, limits: &Limits) -> Result<(), Error> {
        let parent = self.parent.clone();
        for (tree, wishes) in trees(&parent, &wishes(limits))? {
            let asked = wishes.iter().any(|(_, flag)| flag.is_some());
            match self.make_in(tree, &wishes) {
                // For statistics alone nothing is worth failing.
                Err(Error::Path { errno: Errno::EEXIST, doing, path }) => {
                    return Err(Error::Path { doing, path, errno: Errno::EEXIST });
                }
                Err(_) if !asked => {}
                result => result?,
            }
        }
        self.set(limits)?;
        limits.devices.as_ref().map_or(Ok(()), |_| self.set_devices(limits))
    }
    // ANCHOR_END: create

    /// The cgroup `id` that another process made.
    ///
    /// # Errors
    /// [`Error::Gone`] when there is none in any tree.
    pub fn open(parent: &Parent, id: &str) -> Result<Self, Error> {
        let mut cgroup = Self::named(parent, id)?;
        for (tree, path) in parent.directories(id) {
            if path.is_dir() {
                cgroup.directories.push(Directory::open(tree, path)?);
            }
        }
        if cgroup.directories.is_empty() { Err(Error::Gone(cgroup.name())) } else { Ok(cgroup) }
    }

    fn named(parent: &Parent, id: &str) -> Result<Self, Error> {
        if !is_name(id) {
            return Err(Error::Name(id.to_owned()));
        }
        Ok(Self { parent: parent.clone(), id: id.to_owned(), directories: Vec::new() })
    }

    /// The path from the root of each tree, as `/proc/PID/cgroup` shows it on the host.
    #[must_use]
    pub fn name(&self) -> String {
        let directory = self.directories.first().map(|directory| directory.path.display().to_string());
        directory.unwrap_or_else(|| self.id.clone())
    }

    /// Its directories: one in v2, one for each controller in use in v1.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().map(|directory| directory.path.as_path())
    }

    /// v2: the directory that clone3 puts the new process into. Source: clone(2), CLONE_INTO_CGROUP.
    #[must_use]
    pub fn into_cgroup(&self) -> Option<BorrowedFd<'_>> {
        self.directories.iter().find(|directory| directory.version == Version::V2).map(|directory| directory.fd.as_fd())
    }

    fn make_in(&mut self, tree: &Tree, wishes: &[Wish]) -> Result<(), Error> {
        let path = self.parent.ensure(tree, wishes)?.join(&self.id);
        match make(&path) {
            // Whoever shares the parent may have removed it between the two calls.
            Err(Error::Path { errno: Errno::ENOENT, .. }) => {
                self.parent.ensure(tree, wishes)?;
                make(&path)?;
            }
            result => result?,
        }
        self.directories.push(Directory::open(tree, path)?);
        Ok(())
    }

    pub(crate) fn directory_of(&self, controller: Controller) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.controllers.contains(&controller))
    }

    /// Sets the limits that are given and leaves the others as they are. In v1 a controller that had no limit so far has no
    /// directory yet: it is made, and the processes are moved into it.
    ///
    /// # Errors
    /// As [`Cgroup::create`]; [`Error::DevicesAreFixed`].
    pub fn update(&mut self, limits: &Limits) -> Result<(), Error> {
        limits.check()?;
        if limits.devices.is_some() {
            return Err(Error::DevicesAreFixed);
        }
        for (controller, flag) in needed(limits) {
            self.ensure_controller(controller, flag)?;
        }
        self.set(limits)
    }

    fn ensure_controller(&mut self, controller: Controller, flag: &'static str) -> Result<(), Error> {
        let parent = self.parent.clone();
        for (tree, wishes) in trees(&parent, &[(controller, Some(flag))])? {
            if self.directory_of(controller).is_none() {
                self.make_in(tree, &wishes)?;
                self.gather(controller)?;
            } else {
                parent.ensure(tree, &wishes)?;
            }
        }
        Ok(())
    }

    /// The directory in the freezer's tree, which no start pays for.
    pub(crate) fn make_freezer(&mut self) -> Result<(), Error> {
        let parent = self.parent.clone();
        for (tree, wishes) in trees(&parent, &[(Controller::Freezer, Some("pause"))])? {
            self.make_in(tree, &wishes)?;
        }
        Ok(())
    }

    /// Moves all processes that are in the cgroup into the directory of `controller`, until no new one turns up. Not for a start:
    /// each move waits for the kernel, 4 to 11 ms.
    pub(crate) fn gather(&self, controller: Controller) -> Result<(), Error> {
        let Some(directory) = self.directory_of(controller) else { return Ok(()) };
        let (begin, procs) = (Instant::now(), directory.path.join("cgroup.procs"));
        loop {
            let inside = files::processes(&directory.path)?;
            let outside: Vec<i32> = self.processes()?.into_iter().filter(|pid| !inside.contains(pid)).collect();
            if outside.is_empty() {
                return Ok(());
            }
            for pid in outside {
                match files::write(&procs, &pid.to_string()) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(Error::path("move a process into", &directory.path, errno)),
                }
            }
            if begin.elapsed() > DEADLINE {
                return Err(deadline("move", "moved", &directory.path));
            }
        }
    }

    /// The numbers of all processes in it, also of those in cgroups below it.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn processes(&self) -> Result<Vec<i32>, Error> {
        self.directories.first().map_or(Ok(Vec::new()), |directory| files::processes(&directory.path))
    }

    fn set(&self, limits: &Limits) -> Result<(), Error> {
        let mut again = Vec::new();
        for word in &WORDS {
            let Some(directory) = self.directory_of(word.controller) else { continue };
            for setting in word.settings(limits, directory.version) {
                match directory.set(&setting) {
                    // v1 wants memory ≤ memory and swap at every moment: when both grow, the second has to go first.
                    Err(Error::Limit { errno: Errno::EINVAL, .. }) => again.push((directory, setting)),
                    result => result?,
                }
            }
        }
        again.iter().try_for_each(|(directory, setting)| directory.set(setting))
    }

    /// v1 has files for it, v2 a program.
    fn set_devices(&self, limits: &Limits) -> Result<(), Error> {
        let rules = limits.devices.as_deref().unwrap_or_default();
        let Some(directory) = self.directory_of(Controller::Devices) else { return Ok(()) };
        if directory.version == Version::V2 {
            return device_program::attach(rules, directory.fd.as_fd(), &directory.path);
        }
        let deny = ("devices.deny", "a *:* rwm".to_owned());
        let file = |allow| if allow { "devices.allow" } else { "devices.deny" };
        let rules = rules.iter().map(|rule| (file(rule.allow), rule.to_string()));
        for (file, value) in std::iter::once(deny).chain(rules) {
            directory.set(&Setting { flag: DEVICES, file, value, asked: true })?;
        }
        Ok(())
    }
}

/// How long the kernel gets to do what it was told.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) fn deadline(doing: &'static str, state: &'static str, path: &Path) -> Error {
    Error::Deadline { doing, state, path: path.to_owned(), seconds: DEADLINE.as_secs() }
}

/// What the limits need, and what statistics do.
fn wishes(limits: &Limits) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = needed(limits).into_iter().map(|(controller, flag)| (controller, Some(flag))).collect();
    for controller in MEASURED {
        if wishes.iter().all(|(known, _)| *known != controller) {
            wishes.push((controller, None));
        }
    }
    wishes
}

/// The wishes by the trees that can fulfil them.
fn trees<'p>(parent: &'p Parent, wishes: &[Wish]) -> Result<Vec<(&'p Tree, Vec<Wish>)>, Error> {
    let mut trees: Vec<(&Tree, Vec<Wish>)> = Vec::new();
    for (controller, flag) in wishes.iter().copied() {
        let Some(tree) = parent.hierarchy().tree_of(controller) else {
            let controller = controller.v1_name();
            flag.map_or(Ok(()), |flag| Err(Error::NoController { flag, controller }))?;
            continue;
        };
        match trees.iter_mut().find(|(known, _)| known.mount_point == tree.mount_point) {
            Some((_, wishes)) => wishes.push((controller, flag)),
            None => trees.push((tree, vec![(controller, flag)])),
        }
    }
    Ok(trees)
}

impl Directory {
    fn open(tree: &Tree, path: PathBuf) -> Result<Self, Error> {
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

    fn set(&self, setting: &Setting) -> Result<(), Error> {
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

impl Cgroup {
    /// Removes it, and cgroups that were made below it. Already gone is no error; what the kernel is still letting go of is
    /// waited for.
    ///
    /// # Errors
    /// [`Error::Busy`] when processes stay in it.
    pub fn remove(&self) -> Result<(), Error> {
        reclaim(&self.parent, &self.id)
    }
}

/// Removes all that is called `id` below `parent`, in every tree, whoever made it.
///
/// # Errors
/// As [`Cgroup::remove`]: the first one; everything else is gone.
pub fn reclaim(parent: &Parent, id: &str) -> Result<(), Error> {
    if !is_name(id) {
        return Err(Error::Name(id.to_owned()));
    }
    let begin = Instant::now();
    let results: Vec<_> = parent.directories(id).iter().map(|(_, path)| remove_tree(path, begin)).collect();
    results.into_iter().collect()
}

// ANCHOR: remove
fn remove_tree(path: &Path, begin: Instant) -> Result<(), Error> {
    let mut pause = Duration::from_micros(50);
    loop {
        match std::fs::remove_dir(path).map_err(|error| errno(&error)) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            // Also when a process has ended and the kernel has not put it away yet.
            Err(Errno::EBUSY | Errno::ENOTEMPTY) if begin.elapsed() < DEADLINE => {}
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => return Err(Error::Busy(path.to_owned())),
            Err(errno) => return Err(Error::path("remove the cgroup", path, errno)),
        }
        files::children(path).iter().try_for_each(|child| remove_tree(child, begin))?;
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}
// ANCHOR_END: remove
