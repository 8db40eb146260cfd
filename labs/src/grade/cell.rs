//! The cell that one submission is compiled and checked in, and that nothing of it gets out of.
//!
//! | stage | what it does |
//! |---|---|
//! | `outer` | gives up root, if it is; new user, mount, PID, network, IPC and UTS namespaces; limits |
//! | `inner` | PID 1: every file system read-only but a small tmpfs; `/proc` of its own; other submissions out of sight |
//! | `grade` | unpacks, compiles (nothing of the submission runs yet), makes the result read-only, runs the checks |
//! | `exec` | one more user namespace around each test program: in there, what is read-only can never be made writable again |
//!
//! It ends when its PID 1 ends, with all that was started in it; and that ends with the grader.

use super::{Order, Report, one};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, getegid, geteuid, setgid, setgroups, setuid};
use std::ffi::{CString, OsString};
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use sys::mount::{Propagation, attach, attr, clone_tree, set_attributes};

/// The one place to write to inside: a tmpfs. Not below /run, which tests cover with their own.
const HOME: &str = "/mnt";
/// What all files inside may hold together.
const DISK: &str = "size=768m,mode=755,nr_inodes=20000";
/// Nobody in particular, when the grader is root; each cell is somebody else, because the limit of processes is one a user.
const NOBODY: u32 = 1_900_000_000;

/// The command that grades the order on its standard input in a cell. By /proc: the file may be replaced by a newer build meanwhile.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["cell", "outer"]).env_clear();
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin").env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A stage of the cell.
///
/// # Errors
/// What the kernel refuses: then the submission is not graded.
pub fn main(workspace: &Workspace, stage: &str, program: &[OsString]) -> Result<bool> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask to die with the grader")?;
    match stage {
        "outer" => outer(),
        "inner" => inner(workspace),
        "grade" => grade(workspace),
        "exec" => exec(program),
        other => bail!("there is no stage `{other}`"),
    }
}

fn myself(stage: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["cell", stage]);
    command
}

fn outer() -> Result<bool> {
    let order = Order::read()?;
    if geteuid().is_root() {
        give_up_root(&order)?;
    }
    limit()?;
    own_user_namespace(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )?;
    let mut child = myself("inner").stdin(Stdio::piped()).spawn().context("PID 1 of the cell")?;
    serde_json::to_writer(child.stdin.take().context("a pipe")?, &order)?;
    Ok(child.wait()?.success())
}

/// An ordinary user from here on; what is below a closed folder (`/root`) and needed is put where that user can reach it.
fn give_up_root(order: &Order) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("a table of mounts")?;
    private()?;
    let needed: Vec<(&PathBuf, OwnedFd)> =
        order.needs.iter().map(|path| Ok((path, tree(path)?))).collect::<Result<_>>()?;
    for (path, held) in needed {
        let closed = path
            .ancestors()
            .skip(1)
            .filter(|folder| fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o1 == 0))
            .last();
        if let Some(closed) = closed {
            mount(Some("cell"), closed, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
                .context("cover a closed folder")?;
        }
        if !path.exists() {
            if path.is_file() { touch(path)? } else { fs::create_dir_all(path)? }
        }
        if closed.is_some()
            || fs::metadata(path)
                .is_ok_and(|meta| meta.is_dir() && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()))
        {
            put(&held, path)?;
        }
    }
    setgroups(&[]).context("drop the groups")?;
    let nobody = NOBODY + std::process::id();
    setgid(Gid::from_raw(nobody)).context("another group")?;
    setuid(Uid::from_raw(nobody)).context("another user")?;
    // A change of user closes /proc/self to oneself.
    prctl::set_dumpable(true).context("be seen by oneself")?;
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask to die with the grader")
}

/// For each process. Together they can still fill the memory: then the kernel ends those of the cell first.
fn limit() -> Result<()> {
    const MIB: u64 = 1 << 20;
    let limits = [
        (Resource::RLIMIT_NPROC, 400),
        (Resource::RLIMIT_CPU, 40),
        (Resource::RLIMIT_CORE, 0),
        // For the compiler; a test program gets less.
        (Resource::RLIMIT_DATA, 3072 * MIB),
    ];
    for (resource, most) in limits {
        setrlimit(resource, most, most).with_context(|| format!("limit {resource:?}"))?;
    }
    fs::write("/proc/self/oom_score_adj", "1000").context("be the first to be ended when there is no memory")
}

fn own_user_namespace(more: CloneFlags) -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | more).context("a user namespace: `cargo lab doctor` says what forbids it")?;
    fs::write("/proc/self/setgroups", "deny").context("setgroups")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).context("uid_map")?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).context("gid_map")
}

fn private() -> Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("mounts private")
}

fn tree(path: &Path) -> Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    clone_tree(nix::fcntl::AT_FDCWD, &name, true).with_context(|| format!("copy the mount of `{}`", path.display()))
}

fn put(tree: &OwnedFd, path: &Path) -> Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let place = sys::fd::open_path(&name).with_context(|| format!("open `{}`", path.display()))?;
    attach(tree.as_fd(), place.as_fd()).with_context(|| format!("mount on `{}`", path.display()))
}

fn touch(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    Ok(fs::write(path, "")?)
}

/// PID 1: the file systems.
fn inner(_workspace: &Workspace) -> Result<bool> {
    let order = secret_order()?;
    private()?;
    let (submission, is_folder) = (tree(&order.submission)?, order.submission.is_dir());
    let whole = sys::fd::open_path(c"/")?;
    set_attributes(whole.as_fd(), attr::RDONLY, 0, Propagation::Private, true).context("make every mount read-only")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).context("a /proc of its own")?;
    for place in ["/tmp", "/var/tmp", "/dev/shm"] {
        if Path::new(place).is_dir() && !order.needs.iter().any(|path| path.starts_with(place)) {
            mount(Some("cell"), place, Some("tmpfs"), MsFlags::empty(), Some("size=64m,mode=1777"))
                .with_context(|| format!("a {place}"))?;
        }
    }
    // Over /run: the sockets of the host's services are out of sight.
    mount(Some("cell"), "/run", Some("tmpfs"), MsFlags::empty(), Some("size=64m,mode=755")).context("a /run")?;
    mount(Some("cell"), HOME, Some("tmpfs"), MsFlags::empty(), Some(DISK)).context("a place to write to")?;
    let home = Path::new(HOME);
    let place = home.join("submission");
    if is_folder {
        fs::create_dir_all(&place)?
    } else {
        touch(&place)?
    }
    put(&submission, &place)?;
    set_attributes(
        sys::fd::open_path(&CString::new(place.as_os_str().as_bytes())?)?.as_fd(),
        attr::RDONLY,
        0,
        Propagation::Private,
        true,
    )?;
    let is_needed = |folder: &Path| order.needs.iter().any(|path| path.starts_with(folder));
    for hidden in order.hides.iter().filter(|folder| folder.is_dir() && !is_needed(folder)) {
        mount(Some("cell"), hidden, Some("tmpfs"), MsFlags::MS_RDONLY, Some("size=4k"))
            .with_context(|| format!("cover `{}`", hidden.display()))?;
    }
    let mut child = myself("grade").stdin(Stdio::piped()).spawn().context("the grader in the cell")?;
    serde_json::to_writer(child.stdin.take().context("a pipe")?, &order)?;
    let child = nix::unistd::Pid::from_raw(i32::try_from(child.id())?);
    loop {
        use nix::sys::wait::{WaitStatus, waitpid};
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return Ok(code == 0),
            Ok(WaitStatus::Signaled(pid, ..)) if pid == child => return Ok(false),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => bail!("PID 1 of the cell cannot wait: {errno}"),
        }
    }
}

/// The nonce is in the memory of who has read it, and what is checked runs as the same user.
fn secret_order() -> Result<Order> {
    prctl::set_dumpable(false).context("keep one's memory to oneself")?;
    Order::read()
}

fn grade(workspace: &Workspace) -> Result<bool> {
    let order = secret_order()?;
    let home = Path::new(HOME);
    let report = one::grade(workspace, &order, home, &|command| in_exec(&command))
        .unwrap_or_else(|error| Report::Broken(format!("{error:#}")));
    println!("{} {}", order.nonce, serde_json::to_string(&report)?);
    Ok(true)
}

/// The command `command`, as the stage `exec` of the cell.
fn in_exec(command: &Command) -> Command {
    let mut wrapped = myself("exec");
    wrapped.arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    wrapped.stdin(Stdio::null()).stderr(Stdio::null());
    wrapped
}

fn exec(program: &[OsString]) -> Result<bool> {
    setrlimit(Resource::RLIMIT_DATA, 512 << 20, 512 << 20).context("limit the memory of a test program")?;
    own_user_namespace(CloneFlags::CLONE_NEWNS)?;
    private()?;
    // What was built can be read only from here on; the mount below it cannot be reached any more.
    let built = Path::new(HOME);
    let copy = tree(built)?;
    set_attributes(copy.as_fd(), attr::RDONLY, 0, Propagation::Private, true)?;
    put(&copy, built)?;
    // Locked by one more user namespace: RDONLY stays for whoever is root in it.
    own_user_namespace(CloneFlags::CLONE_NEWNS)?;
    mount(Some("cell"), "/tmp", Some("tmpfs"), MsFlags::empty(), Some("size=64m,mode=1777")).context("a /tmp")?;
    let (program, arguments) = program.split_first().context("a program")?;
    Err(Command::new(program).args(arguments).exec()).context("execute the test program")
}

impl Order {
    fn read() -> Result<Self> {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read the order")?;
        serde_json::from_str(&text).context("understand the order")
    }
}
