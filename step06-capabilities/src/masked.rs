//! What of /proc and /sys belongs to the host is hidden, or can be read only.

use crate::Error;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fstat, makedev};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use sys::mount::{FsContext, Propagation, attach, attr, clone_tree, set_attributes};
use sys::{Errno, Failure, Whilst, fd};

/// Paths inside that are ready to be covered by the child.
#[derive(Debug, Default)]
pub struct MaskedPaths {
    masked: Vec<CString>,
    read_only: Vec<CString>,
}

impl MaskedPaths {
    /// What docker hides: the kernel's memory, keys, timers and firmware; what tells one container about another.
    /// Source: OCI runtime specification, config-linux.md, "Masked Paths"; moby, oci/defaults.go.
    pub const MASKED: [&'static str; 12] = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];

    /// What docker lets nobody inside write to.
    pub const READ_ONLY: [&'static str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

    /// Docker's lists. Besides [`Self::MASKED`], what each processor says about its temperature.
    #[must_use]
    pub fn docker() -> (Vec<PathBuf>, Vec<PathBuf>) {
        let masked = Self::MASKED.iter().map(PathBuf::from).chain((0..Self::throttles()).map(throttle)).collect();
        (masked, Self::READ_ONLY.iter().map(PathBuf::from).collect())
    }

    /// How many processors say something about their temperature. Asked once: sysfs has one lock for all, and whoever makes a network
    /// namespace meanwhile holds it (0.2 ms). So it is worth asking before that.
    pub fn throttles() -> u32 {
        static FOUND: OnceLock<u32> = OnceLock::new();
        *FOUND.get_or_init(|| (0..).find(|number| !throttle(*number).exists()).unwrap_or_default())
    }

    /// Takes the paths, as the container sees them.
    ///
    /// # Errors
    /// [`Error::Path`] for one that is not absolute, or has `..` in it.
    pub fn prepare(masked: &[PathBuf], read_only: &[PathBuf]) -> Result<Self, Error> {
        let paths = |list: &[PathBuf]| list.iter().map(|path| inside(path)).collect::<Result<_, _>>();
        Ok(Self { masked: paths(masked)?, read_only: paths(read_only)? })
    }

    /// Covers them below `root`, after its mounts and before it becomes `/`; what is not there is left out. Child half.
    ///
    /// # Errors
    /// ENODEV when the container's `/dev/null` is not the null device (CVE-2025-31133); the call that failed and the path.
    // ANCHOR: enter
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn enter(&self, root: BorrowedFd<'_>) -> Result<(), Failure<'_>> {
        for path in &self.read_only {
            if let Some(place) = open(root, path)? {
                // A second mount of the same files over themselves; the first, which can be written to, is out of reach below.
                let copy = clone_tree(place.as_fd(), c"", true).whilst("copy the mount of", path)?;
                set_attributes(copy.as_fd(), attr::RDONLY, 0, Propagation::Private, true)
                    .whilst("make read-only", path)?;
                attach(copy.as_fd(), place.as_fd()).whilst("mount on", path)?;
            }
        }
        let mut nothing = Nothing { root, file: None, folder: None };
        for path in &self.masked {
            if let Some(place) = open(root, path)? {
                nothing.cover(&place, path)?;
            }
        }
        Ok(())
    }
    // ANCHOR_END: enter
}

fn throttle(processor: u32) -> PathBuf {
    PathBuf::from(format!("/sys/devices/system/cpu/cpu{processor}/thermal_throttle"))
}

/// What lies over masked paths, made when the first one needs it.
struct Nothing<'r> {
    root: BorrowedFd<'r>,
    /// The container's `/dev/null`.
    file: Option<OwnedFd>,
    /// An empty folder that nobody can write to.
    folder: Option<OwnedFd>,
}

#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
#[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
impl Nothing<'_> {
    // ANCHOR: cover
    fn cover<'p>(&mut self, place: &OwnedFd, path: &'p CStr) -> Result<(), Failure<'p>> {
        // ANCHOR: task4_mask
        let kind = fstat(place).whilst("look at", path)?.st_mode;
        let is_folder = SFlag::from_bits_truncate(kind) & SFlag::S_IFMT == SFlag::S_IFDIR;
        let kept = if is_folder { &mut self.folder } else { &mut self.file };
        let tree = match (kept.as_ref(), is_folder) {
            (Some(made), _) => clone_tree(made.as_fd(), c"", false).whilst("copy the mask for", path)?,
            (None, false) => {
                let null = kept.insert(null_device(self.root)?);
                clone_tree(null.as_fd(), c"", false).whilst("copy the mask for", path)?
            }
            (None, true) => {
                let made = empty_folder().whilst("make the mask for", path)?;
                attach(made.as_fd(), place.as_fd()).whilst("mask", path)?;
                *kept = Some(made);
                return Ok(());
            }
        };
        attach(tree.as_fd(), place.as_fd()).whilst("mask", path)
        // ANCHOR_END: task4_mask
    }
    // ANCHOR_END: cover
}

#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
fn empty_folder() -> nix::Result<OwnedFd> {
    let context = FsContext::open(c"tmpfs")?;
    context.set(c"source", c"tmpfs")?;
    context.set(c"size", c"0k")?;
    context.set(c"nr_inodes", c"1")?;
    context.mount(attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC)
}

/// The container's own null device. An image can put anything in its place, and bound over /proc/kcore that would be writable:
/// its number is looked at through the same descriptor that is bound.
// ANCHOR: null
#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
fn null_device(root: BorrowedFd<'_>) -> Result<OwnedFd, Failure<'static>> {
    const PATH: &CStr = c"/dev/null";
    let file = fd::open_in_root(root, PATH, OFlag::O_PATH, Mode::empty()).whilst("open", PATH)?;
    let found = fstat(&file).whilst("look at", PATH)?;
    let is_device = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    if is_device && found.st_rdev == makedev(1, 3) {
        return Ok(file);
    }
    Err(Errno::ENODEV).whilst("find the null device at", PATH)
}
// ANCHOR_END: null

#[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
fn open<'p>(root: BorrowedFd<'_>, path: &'p CStr) -> Result<Option<OwnedFd>, Failure<'p>> {
    match fd::open_in_root(root, path, OFlag::O_PATH, Mode::empty()) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno).whilst("open", path),
    }
}

fn inside(path: &Path) -> Result<CString, Error> {
    let refused = || Error::Path(path.to_owned());
    let goes_down = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    if !path.is_absolute() || !goes_down || path == Path::new("/") {
        return Err(refused());
    }
    CString::new(path.as_os_str().as_bytes()).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_goes_down() {
        let prepare = |path: &str| MaskedPaths::prepare(&[path.into()], &[]);
        assert!(prepare("/proc/kcore").is_ok());
        for bad in ["proc/kcore", "/", "/proc/../etc", "", "/a\0b"] {
            assert!(matches!(prepare(bad), Err(Error::Path(_))), "{bad}");
        }
    }
}
