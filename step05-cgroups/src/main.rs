//! `step05-cgroups run …`: the same container, now with a share of the machine and not all of it.

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, Parser};
use std::fs::create_dir;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use step01_chroot::{DEFAULT_PATH, Program, Root};
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, Hostname, Namespaces, spawn, supervise};
use step03_mount_overlay::{Layers, Mounts, Overlay, Setting, defaults, make_private, pivot_root};
use step04_net_bridge::loopback_up;
use step05_cgroups::{Bytes, Cgroup, Cpus, DeviceRate, Hierarchy, Limits, Maximum, Parent, Set};
use step05_cgroups::{default_devices, own_namespace, words};
use sys::Failure;
use sys::process::exit_code;

/// Run a program with limits on memory, processor time, processes and traffic.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Run a program in a cgroup of its own.
    Run(Box<Args>),
    /// Show which controller lives where on this machine.
    Info,
    /// Print the table of docker's words and the kernel's files.
    Words,
}

#[derive(ClapArgs)]
struct Args {
    /// Memory: 64m, 1.5g.
    #[arg(short, long)]
    memory: Option<Bytes>,
    /// Memory and swap together; -1 is unlimited.
    #[arg(long, allow_hyphen_values = true)]
    memory_swap: Option<Maximum<Bytes>>,
    /// Processors: .5, 2.
    #[arg(long)]
    cpus: Option<Cpus>,
    /// The processors it may run on: 0-2,5.
    #[arg(long)]
    cpuset_cpus: Option<Set>,
    /// How many processes and threads; -1 is unlimited.
    #[arg(long, allow_hyphen_values = true)]
    pids_limit: Option<Maximum<u64>>,
    /// Bytes a second written to a disk.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_bps: Vec<DeviceRate>,
    /// The cgroup below which it gets its own.
    #[arg(long)]
    cgroup_parent: Option<String>,
    /// Print afterwards what it used.
    #[arg(long)]
    stats: bool,
    /// The read-only layer.
    rootfs: PathBuf,
    /// The program, looked up inside, and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Run(args) => run(&args),
        Command::Info => Hierarchy::find().map(|found| show(&found.to_string())).map_err(Into::into),
        Command::Words => Ok(show(&words::markdown())),
    };
    result.unwrap_or_else(|error| print(&error)).into()
}

fn show(text: &str) -> u8 {
    print!("{text}");
    0
}

// ANCHOR: run
fn run(args: &Args) -> Result<u8> {
    let parent = Parent::new(Hierarchy::find()?, args.cgroup_parent.as_deref())?;
    let cgroup = Cgroup::create(&parent, &format!("step05-{}", std::process::id()), &limits(args))?;
    let ended = run_in(args, &cgroup);
    if args.stats {
        eprintln!("{}", cgroup.statistics()?);
    }
    // The kernel kills by SIGKILL, as others do: only the cgroup knows that memory was the reason.
    if cgroup.oom_killed()? {
        eprintln!("the kernel killed a process: out of memory");
    }
    cgroup.remove()?;
    // The demo leaves nothing; an engine keeps the parent for the next container.
    parent.remove()?;
    ended
}

fn run_in(args: &Args, cgroup: &Cgroup) -> Result<u8> {
    let program = Program::new(&args.command, &[format!("PATH={DEFAULT_PATH}"), "HOME=/root".to_owned()])?;
    let hostname = Hostname::new("step05")?;
    let scratch = tempfile::Builder::new().prefix("step05-").tempdir().context("scratch directory for the writes")?;
    let overlay = overlay(&args.rootfs, scratch.path())?;
    let mounts = Mounts::prepare(&defaults(&Setting::default()), true, None, Path::new("/"))?;
    let signals = ForwardedSignals::block()?;

    let namespaces = Namespaces::PID | Namespaces::MOUNT | Namespaces::UTS | Namespaces::IPC | Namespaces::NETWORK;
    // v2: born inside. v1: the first thing that the child does.
    let into_cgroup = cgroup.into_cgroup();
    let spec = CloneSpec { namespaces, into_cgroup, dies_with_parent: true, ..CloneSpec::default() };
    let running = spawn(&spec, || {
        // ---- child half: system calls only, on what was prepared above ----
        cgroup.enter()?;
        own_namespace()?;
        loopback_up()?;
        hostname.set()?;
        make_private()?;
        overlay.attach()?;
        mounts.enter(overlay.as_fd())?;
        pivot_root(overlay.as_fd())?;
        Ok(&program)
    })
    .map_err(|error| explain(error, &overlay))?;

    let status = supervise(&running, &signals)?;
    exit_code(status).context("the program did not end")
}
// ANCHOR_END: run

fn limits(args: &Args) -> Limits {
    Limits {
        memory: args.memory,
        memory_swap: args.memory_swap,
        cpus: args.cpus,
        cpuset_cpus: args.cpuset_cpus.clone(),
        pids: args.pids_limit,
        device_write_bps: args.device_write_bps.clone(),
        devices: Some(default_devices()),
        ..Limits::default()
    }
}

fn overlay(rootfs: &Path, scratch: &Path) -> Result<Overlay> {
    Root::open(rootfs)?;
    let lower = [rootfs.canonicalize()?];
    let (upper, work) = (scratch.join("diff"), scratch.join("work"));
    create_dir(&upper)?;
    create_dir(&work)?;
    let layers = Layers { lower: &lower, upper: &upper, work: &work, volatile: true, userxattr: false };
    Ok(Overlay::prepare(&layers, scratch)?)
}

/// execve's refusal in the words of step 1, which knows what can be wrong with a program.
fn explain(error: Error, overlay: &Overlay) -> anyhow::Error {
    match &error {
        Error::Execute { doing, on, errno } => {
            let failure = Failure { doing, on: on.as_bytes(), errno: *errno };
            step01_chroot::Error::of_execute(&failure, overlay.as_fd()).into()
        }
        _ => error.into(),
    }
}

fn print(error: &anyhow::Error) -> u8 {
    eprintln!("error: {error:#}");
    let program = error.downcast_ref::<step01_chroot::Error>();
    let share = error.downcast_ref::<step05_cgroups::Error>().and_then(step05_cgroups::Error::help);
    let mounting = error.downcast_ref::<step03_mount_overlay::Error>().and_then(step03_mount_overlay::Error::help);
    let help = program.and_then(step01_chroot::Error::help).or(share).or(mounting);
    if let Some(help) = help.or_else(|| error.downcast_ref::<Error>()?.help()) {
        eprintln!("  help: {help}");
    }
    program.map_or(125, step01_chroot::Error::exit_code)
}
