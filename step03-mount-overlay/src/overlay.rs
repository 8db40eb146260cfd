//! The overlay: a writable directory over read-only layers. Source: Documentation/filesystems/overlayfs.rst.

use crate::Error;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, fchdir};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::mount::{FsContext, attach};
use sys::{Failure, Whilst, fd};

/// What an overlay is made of.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// The read-only layers, the lowest first, as an image lists them.
    pub lower: &'a [PathBuf],
    /// Where writes go.
    pub upper: &'a Path,
    /// The kernel's own scratch directory, on the same mount as `upper`.
    pub work: &'a Path,
    /// Do not sync `upper` at unmount: for what is thrown away anyway. Unmounting costs 26 µs instead of up to 8 ms then.
    pub volatile: bool,
    /// Keep marks in `user.overlay.*` attributes: the only ones that a user namespace may write.
    pub userxattr: bool,
}

/// An overlay that is mounted, and attached nowhere until its child half comes.
#[derive(Debug)]
pub struct Overlay {
    mount: OwnedFd,
    at: CString,
}

/// The longest string that fsconfig(2) takes, without the end.
const LONGEST: usize = 255;

impl Overlay {
    /// Mounts the overlay; `at` is the directory that it will cover, in the new process's table of mounts only.
    ///
    /// Host half: this is where a mount fails, and here the kernel's own words about it can be read.
    ///
    /// # Errors
    /// [`Error::Overlay`], [`Error::Path`], [`Error::Nul`].
    pub fn prepare(layers: &Layers<'_>, at: &Path) -> Result<Self, Error> {
        match Self::prepare_with(layers, at, |context| set_lower(context, layers)) {
            // Before Linux 6.5 the option for one layer is taken like any other, and then the whole mount is refused. A newer
            // kernel has words for what else it may be.
            Err(Error::Overlay { errno: Errno::EINVAL, kernel: None, .. }) => Self::prepare_as_before_6_5(layers, at),
            result => result,
        }
    }

    /// The same in the way of Linux before 6.5, which [`Overlay::prepare`] falls back to: public so that a test on a newer
    /// kernel can show that it works.
    ///
    /// All the layers go into one string, and 255 bytes do not hold many paths. So each layer is opened, and named by the
    /// number of its descriptor: from within /proc/self/fd that is a path of two characters, and about 80 of them fit. The
    /// names are looked up when the mount is made: until then the working directory has to stay there.
    ///
    /// # Errors
    /// As [`Overlay::prepare`]; ENAMETOOLONG above about 80 layers.
    pub fn prepare_as_before_6_5(layers: &Layers<'_>, at: &Path) -> Result<Self, Error> {
        let refused = |errno| refusal(layers, errno, None);
        let opened: Vec<OwnedFd> =
            layers.lower.iter().rev().map(|layer| open_layer(layer)).collect::<Result<_, _>>()?;
        let names: Vec<String> = opened.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
        let names = names.join(":");
        if names.len() > LONGEST {
            return Err(refused(Errno::ENAMETOOLONG));
        }
        let names = CString::new(names).expect("numbers and colons hold no zero byte");
        let here = open(c".", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(refused)?;
        chdir(c"/proc/self/fd").map_err(refused)?;
        let result = Self::prepare_with(layers, at, |context| {
            context.set(c"lowerdir", &names).map_err(|errno| refusal(layers, errno, Some(context)))
        });
        fchdir(here).map_err(refused)?;
        result
    }

    fn prepare_with(
        layers: &Layers<'_>,
        at: &Path,
        set_lower: impl FnOnce(&FsContext) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let at = c_string(at)?;
        let context = FsContext::open(c"overlay").map_err(|errno| refusal(layers, errno, None))?;
        set_lower(&context)?;
        // Kept open until the mount is made: a path that is named by a descriptor is looked up only then.
        let _named = set_upper(&context, layers)?;
        let mount = context.mount(0).map_err(|errno| refusal(layers, errno, Some(&context)))?;
        Ok(Self { mount, at })
    }

    /// Attaches it to the table of mounts of the caller. Child half, after [`crate::make_private`].
    ///
    /// # Errors
    /// move_mount(2).
    // ANCHOR: attach
    pub fn attach(&self) -> Result<(), Failure<'_>> {
        // By name: a descriptor from before clone3 would lead into the host's table.
        let place = fd::open_path(&self.at).whilst("open", &self.at)?;
        attach(self.mount.as_fd(), place.as_fd()).whilst("attach the overlay on", &self.at)
    }
    // ANCHOR_END: attach
}

impl AsFd for Overlay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

// ANCHOR: configure
fn set_upper(context: &FsContext, layers: &Layers<'_>) -> Result<[Named; 2], Error> {
    // ANCHOR: task2_upper
    let refused = |errno| refusal(layers, errno, Some(context));
    context.set(c"source", c"overlay").map_err(refused)?;
    let upper = Named::new(layers.upper)?;
    let work = Named::new(layers.work)?;
    context.set(c"upperdir", &upper.name).map_err(refused)?;
    context.set(c"workdir", &work.name).map_err(refused)?;
    if layers.volatile {
        context.set_flag(c"volatile").map_err(refused)?;
    }
    if layers.userxattr {
        context.set_flag(c"userxattr").map_err(refused)?;
    }
    Ok([upper, work])
    // ANCHOR_END: task2_upper
}

/// The kernel wants the topmost layer first.
fn set_lower(context: &FsContext, layers: &Layers<'_>) -> Result<(), Error> {
    // ANCHOR: task2_lower
    let refused = |errno| refusal(layers, errno, Some(context));
    layers.lower.iter().rev().try_for_each(|layer| context.set(c"lowerdir+", &Named::new(layer)?.name).map_err(refused))
    // ANCHOR_END: task2_lower
}
// ANCHOR_END: configure

/// A path that fsconfig takes: itself, or by descriptor when it is too long or holds the backslash that overlayfs takes as an escape
/// (for some of its options). The descriptor has to live until the mount is made.
struct Named {
    name: CString,
    _kept_open: Option<OwnedFd>,
}

impl Named {
    fn new(path: &Path) -> Result<Self, Error> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() <= LONGEST && !bytes.contains(&b'\\') {
            return Ok(Self { name: c_string(path)?, _kept_open: None });
        }
        let dir = open_layer(path)?;
        let name = c_string(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())))?;
        Ok(Self { name, _kept_open: Some(dir) })
    }
}

fn open_layer(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(AT_FDCWD, path, flags, Mode::empty()).map_err(|errno| Error::Path {
        doing: "open the layer",
        path: path.to_owned(),
        errno,
    })
}

fn refusal(layers: &Layers<'_>, errno: Errno, context: Option<&FsContext>) -> Error {
    let kernel = context.and_then(kernels_words);
    Error::Overlay { layers: layers.lower.len(), upper: layers.upper.to_owned(), errno, kernel }
}

/// The kernel's last words about a context, without the `e ` in front.
fn kernels_words(context: &FsContext) -> Option<String> {
    let mut buffer = [0; 512];
    let mut last = None;
    while let Some(words) = context.read_log(&mut buffer) {
        last = Some(String::from_utf8_lossy(words.get(2..).unwrap_or_default()).into_owned());
    }
    last
}

pub(crate) fn c_string(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Nul(path.to_owned()))
}
