//! What is mounted: which controller lives where.
//!
//! A machine may have cgroup v2 (one tree, all controllers), v1 (a tree for each controller or few of them), both with the
//! controllers split over them (*hybrid*), or nothing. Sources: cgroups(7); proc_pid_mountinfo(5); proc_pid_cgroup(5).

use crate::mountinfo::tree;
use crate::{Error, usual};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A tree for each controller. Source: Documentation/admin-guide/cgroup-v1.
    V1,
    /// One tree. Source: Documentation/admin-guide/cgroup-v2.rst.
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V1 { "v1" } else { "v2" })
    }
}

/// What keeps one kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub enum Controller {
    Memory,
    Cpu,
    Cpuacct,
    Cpuset,
    Pids,
    Blkio,
    Devices,
    Freezer,
}

impl Controller {
    /// All that this project uses.
    pub const ALL: [Self; 8] =
        [Self::Memory, Self::Cpu, Self::Cpuacct, Self::Cpuset, Self::Pids, Self::Blkio, Self::Devices, Self::Freezer];

    /// Its name in v1.
    #[must_use]
    pub fn v1_name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Pids => "pids",
            Self::Blkio => "blkio",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
        }
    }

    /// Its name in v2; `None` for what every cgroup of v2 can do without a controller: `cpu.stat`, `cgroup.freeze`, and
    /// devices by an eBPF program.
    #[must_use]
    pub fn v2_name(self) -> Option<&'static str> {
        match self {
            Self::Cpuacct | Self::Devices | Self::Freezer => None,
            Self::Blkio => Some("io"),
            other => Some(other.v1_name()),
        }
    }
}

/// One mounted tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// v1 or v2.
    pub version: Version,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The names of its controllers.
    pub controllers: Vec<String>,
    /// Our own cgroup in it, as a path below the mount point; `None` when it is outside of what is mounted.
    pub own: Option<PathBuf>,
    /// Whether it is mounted read-only, as in an unprivileged container.
    pub read_only: bool,
}

/// All the trees of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchy {
    trees: Vec<Tree>,
}

impl Hierarchy {
    /// Finds what is mounted, as this process sees it.
    ///
    /// # Errors
    /// [`Error::Path`] without a `/proc`.
    pub fn find() -> Result<Self, Error> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        usual::trees(&own).map_or_else(|| Self::find_below(Path::new("/")), |trees| Ok(Self { trees }))
    }

    /// The same on a machine whose root is `root`: so that it is tested anywhere.
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn find_below(root: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = root.join(name);
            fs::read_to_string(&path).map_err(|error| Error::read(&path, &error))
        };
        let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        // v1 says in mountinfo which controllers a tree has; v2 says it in a file of the tree.
        let controllers = |tree: &Path| fs::read_to_string(inside(tree).join("cgroup.controllers")).unwrap_or_default();
        Ok(Self::parse(&read("proc/self/mountinfo")?, &read("proc/self/cgroup")?, controllers))
    }

    /// From the texts of the two files; `controllers` reads `cgroup.controllers` of the tree of v2 mounted at a path.
    #[must_use]
    pub fn parse(mountinfo: &str, own: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let mut trees: Vec<Tree> = Vec::new();
        for line in mountinfo.lines() {
            let Some(tree) = tree(line, own, &controllers) else { continue };
            let same = |other: &&mut Tree| other.version == tree.version && other.controllers == tree.controllers;
            match trees.iter_mut().find(same) {
                // A mount at the same place covers the one before; of several places the first is the usual one.
                Some(known) if known.mount_point == tree.mount_point => *known = tree,
                Some(_) => {}
                // A named tree (systemd's) has no controller.
                None if tree.version == Version::V1 && tree.controllers.is_empty() => {}
                None => trees.push(tree),
            }
        }
        Self { trees }
    }

    /// The trees.
    #[must_use]
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Where a controller lives. A controller is in one tree only; what v2 does without a controller is looked for in v1 first.
    // ANCHOR: place
    #[must_use]
    pub fn tree_of(&self, controller: Controller) -> Option<&Tree> {
        let holds = |tree: &&Tree| match (tree.version, controller.v2_name()) {
            (Version::V1, _) => tree.controllers.iter().any(|name| name == controller.v1_name()),
            (Version::V2, Some(name)) => tree.controllers.iter().any(|known| known == name),
            (Version::V2, None) => true,
        };
        let v1_first = |version| self.trees.iter().filter(move |tree| tree.version == version);
        v1_first(Version::V1).chain(v1_first(Version::V2)).find(holds)
    }
    // ANCHOR_END: place

    /// `v2`, `v1`, `hybrid` (a tree of v2 beside those of v1) or `none`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let has = |version| self.trees.iter().any(|tree| tree.version == version);
        match (has(Version::V1), has(Version::V2)) {
            (true, true) => "hybrid",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "none",
        }
    }

    /// Each controller, and which version and mount point has it: for `info`.
    #[must_use]
    pub fn describe(&self) -> Vec<(&'static str, Option<(Version, &Path)>)> {
        let place = |controller: Controller| {
            let tree = self.tree_of(controller);
            (controller.v1_name(), tree.map(|tree| (tree.version, tree.mount_point.as_path())))
        };
        Controller::ALL.into_iter().map(place).collect()
    }
}

impl fmt::Display for Hierarchy {
    /// A line for each controller: `memory: v1, /sys/fs/cgroup/memory`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cgroups: {}", self.kind())?;
        self.describe().into_iter().try_for_each(|(name, place)| match place {
            Some((version, path)) => writeln!(f, "{name}: {version}, {}", path.display()),
            None => writeln!(f, "{name}: nowhere"),
        })
    }
}
