//! Where everything is measured: namespaces of the bench's own, and a folder with what the subjects start.
//!
//! The program runs twice. The outer process makes the namespaces and starts the same program as PID 1 in them. When that ends, by itself
//! or by ctrl-C, the kernel ends all that was started there and unmounts all that was mounted there; cgroups have no such
//! namespace, so the outer process, which waits through ctrl-C, removes them.

mod bundle;
mod floor;

use crate::cgroup;
use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc;

pub(crate) use bundle::Bundle;

/// The variable by which the inner process knows that it is one. Its value is the folder on the disk, if one was asked for.
const INSIDE: &str = "TARA_BENCH_INSIDE";

/// The stage's folder, on a tmpfs of its own.
const HOME: &str = "/run/tara-bench";

/// Everything that was prepared.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Programs that were built for the bench.
    pub(crate) bin: PathBuf,
    /// Where the subjects keep images and containers: on a tmpfs, or on the disk that was asked for.
    pub(crate) disk: PathBuf,
    /// A root file system with `/bin/program` and nothing else.
    pub(crate) rootfs: PathBuf,
    /// The folder of the workspace's own programs.
    pub(crate) ours: PathBuf,
}

/// Whether this is the inner process.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The outer process: namespaces, the inner process, and what it leaves behind.
///
/// # Errors
/// Without root; when the namespaces cannot be made.
pub(crate) fn outer(disk: Option<&Path>) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the bench makes namespaces, cgroups and mounts: run it as root");
    }
    let disk = disk.map(|disk| disk.join(format!("tara-bench-{}", std::process::id())));
    // The mounts are the inner process's alone: a folder that is mounted on here could not be removed here.
    let all = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    let mut waiting = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        waiting.add(signal);
    }
    waiting.thread_block()?;
    let of_engines = cgroup::of_engines();
    // PID 1 of a namespace does not hear ctrl-C. When it is killed the kernel kills all the others there. The thread comes before the
    // namespaces: after them this process can make no thread any more, only children.
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let heard = waiting.wait();
        told.recv().map(|pid| heard.map(|_| kill(pid, Signal::SIGKILL)))
    });
    unshare(all).context("make the stage's namespaces")?;
    let mut inner = Command::new("/proc/self/exe");
    inner.args(std::env::args_os().skip(1)).env(INSIDE, disk.as_deref().unwrap_or(Path::new("")));
    let mut inner = inner.spawn().context("start the bench inside its namespaces")?;
    let pid = Pid::from_raw(i32::try_from(inner.id())?);
    tell.send(pid)?;
    let status = inner.wait()?;
    cgroup::remove_all();
    cgroup::remove_of_engines(&of_engines);
    match disk.map(|disk| (fs::remove_dir_all(&disk), disk)) {
        Some((Err(error), disk)) if error.kind() != ErrorKind::NotFound => {
            eprintln!("bench: the folder `{}` stays: {error}", disk.display());
        }
        _ => {}
    }
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(130)))
}

impl Stage {
    /// Prepares all of it. In the inner process.
    ///
    /// # Errors
    /// What cannot be mounted, built or copied.
    pub(crate) fn set(ours: PathBuf) -> Result<Self> {
        set_pdeathsig(Signal::SIGKILL)?;
        umask(Mode::from_bits_truncate(0o022));
        mounts()?;
        let home = PathBuf::from(HOME);
        let disk = match std::env::var_os(INSIDE).filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => home.join("disk"),
        };
        let stage = Self { bin: home.join("bin"), rootfs: disk.join("rootfs"), disk, ours };
        for folder in [&stage.bin, &stage.disk.join("containers"), &stage.disk.join("mnt"), &stage.disk.join("empty")] {
            fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
        }
        floor::build(&stage.bin)?;
        stage.make_rootfs()?;
        stage.make_devices()?;
        cgroup::make_floor()?;
        Ok(stage)
    }

    /// A program of the workspace: a copy, as an installed one is. What a linker has just written starts a tenth slower, until the page
    /// cache has dropped it and read it again.
    pub(crate) fn our(&self, name: &str) -> PathBuf {
        let (built, copy) = (self.ours.join(name), self.bin.join(name));
        if copy.exists() || fs::copy(&built, &copy).is_ok() { copy } else { built }
    }

    /// A folder that is made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.disk.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make `{}`", path.display()))?;
        Ok(path)
    }

    fn make_rootfs(&self) -> Result<()> {
        for folder in
            ["bin", "sbin", "etc", "dev/pts", "dev/shm", "dev/mqueue", "proc", "sys", "run", "tmp", "usr", "var"]
        {
            fs::create_dir_all(self.rootfs.join(folder))?;
        }
        fs::copy(self.bin.join("program"), self.rootfs.join("bin/program"))?;
        // What peers insist on: `init`s of lxc and machines, files that are bound over.
        symlink("/bin/program", self.rootfs.join("sbin/init"))?;
        for file in ["hostname", "hosts", "resolv.conf"] {
            File::create(self.rootfs.join("etc").join(file))?;
        }
        fs::write(self.rootfs.join("etc/passwd"), "root:x:0:0:root:/:/bin/program\n")?;
        fs::write(self.rootfs.join("etc/os-release"), "ID=bench\n")?;
        Ok(())
    }

    /// The template of `/dev` that the floor binds.
    fn make_devices(&self) -> Result<()> {
        let dev = self.folder("dev")?;
        mount(Some("tmpfs"), &dev, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))?;
        for (name, major, minor) in
            [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
        {
            mknod(&dev.join(name), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor))?;
        }
        for (target, name) in [("/proc/self/fd", "fd"), ("pts/ptmx", "ptmx")] {
            symlink(target, dev.join(name))?;
        }
        for folder in ["pts", "shm", "mqueue"] {
            fs::create_dir(dev.join(folder))?;
        }
        Ok(())
    }
}

fn mounts() -> Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).context("make the stage's table of mounts")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("keep the stage's mounts private")?;
    // The host's would show the host's processes.
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).context("mount `/proc`")?;
    // Empty, and a tmpfs as systemd makes it: no engine meets what the host's has there.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755")).context("mount `/run`")?;
    step04_net_bridge::loopback_up().map_err(|failure| anyhow::anyhow!("the stage's loopback link: {failure}"))
}
