//! `step03-mount-overlay run …`: the same process tree, now with a file system of its own.

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, Parser};
use std::fs::create_dir;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use step01_chroot::{DEFAULT_PATH, Program, Root};
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, Hostname, Namespaces, spawn, supervise};
use step03_mount_overlay::{
    Layers, Mounts, Overlay, Setting, defaults, make_private, make_read_only, parse_tmpfs, parse_volume, pivot_root,
};
use sys::Failure;
use sys::process::exit_code;

/// Run a program in a file system of its own: an overlay over ROOTFS, which itself is never changed.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Run a program; what it writes is gone afterwards.
    Run(Args),
}

#[derive(ClapArgs)]
struct Args {
    /// The name of the host inside.
    #[arg(long, default_value = "step03")]
    hostname: String,
    /// Make a small init PID 1: it reaps orphans and passes signals on.
    #[arg(long)]
    init: bool,
    /// Bind a directory or file of the host: SRC:DST[:ro].
    #[arg(short, long, value_name = "SRC:DST[:ro]")]
    volume: Vec<String>,
    /// Mount an empty tmpfs: DST[:size=64m,…].
    #[arg(long, value_name = "DST[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Forbid writing to the root file system.
    #[arg(long)]
    read_only: bool,
    /// A further layer below ROOTFS, the nearest first.
    #[arg(long, value_name = "DIR")]
    lower: Vec<PathBuf>,
    /// The topmost read-only layer.
    rootfs: PathBuf,
    /// The program, looked up inside, and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let Command::Run(args) = Command::parse();
    run(&args).unwrap_or_else(|error| print(&error)).into()
}

// ANCHOR: run
fn run(args: &Args) -> Result<u8> {
    let program = Program::new(&args.command, &environment())?;
    let hostname = Hostname::new(&args.hostname)?;
    // Removed when `scratch` is dropped, and left behind by kill -9: an engine writes down what it makes (final/).
    let scratch = tempfile::Builder::new().prefix("step03-").tempdir().context("scratch directory for the writes")?;
    let overlay = overlay(args, scratch.path())?;
    let mounts = Mounts::prepare(&mounts(args)?, true, None, std::path::Path::new("/"))?;
    let signals = ForwardedSignals::block()?;

    let namespaces = Namespaces::PID | Namespaces::MOUNT | Namespaces::UTS | Namespaces::IPC | Namespaces::CGROUP;
    let spec = CloneSpec { namespaces, init: args.init, dies_with_parent: true, ..CloneSpec::default() };
    let running = spawn(&spec, || {
        // ---- child half: system calls only, on what was prepared above ----
        hostname.set()?;
        make_private()?;
        overlay.attach()?;
        mounts.enter(overlay.as_fd())?;
        if args.read_only {
            make_read_only(overlay.as_fd())?;
        }
        pivot_root(overlay.as_fd())?;
        Ok(&program)
    })
    .map_err(|error| explain(error, &overlay))?;

    let status = supervise(&running, &signals)?;
    exit_code(status).context("the program did not end")
}

fn overlay(args: &Args, scratch: &std::path::Path) -> Result<Overlay> {
    let nearest_first = std::iter::once(&args.rootfs).chain(&args.lower);
    nearest_first.clone().try_for_each(|layer| Root::open(layer).map(drop))?;
    let mut lower = nearest_first.map(std::fs::canonicalize).collect::<Result<Vec<_>, _>>()?;
    lower.reverse();
    let (upper, work) = (scratch.join("diff"), scratch.join("work"));
    create_dir(&upper)?;
    create_dir(&work)?;
    let layers = Layers { lower: &lower, upper: &upper, work: &work, volatile: true, userxattr: false };
    Ok(Overlay::prepare(&layers, scratch)?)
}

fn mounts(args: &Args) -> Result<Vec<step03_mount_overlay::Mount>> {
    // The network is still the host's, and so is what /sys shows of it.
    let mut mounts = defaults(&Setting { own_network: false, ..Setting::default() });
    for volume in &args.volume {
        mounts.push(parse_volume(volume)?);
    }
    for tmpfs in &args.tmpfs {
        mounts.push(parse_tmpfs(tmpfs)?);
    }
    Ok(mounts)
}
// ANCHOR_END: run

/// The host's environment stays outside, but for the kind of the terminal.
fn environment() -> Vec<String> {
    let term = std::env::var("TERM").map(|term| format!("TERM={term}"));
    [format!("PATH={DEFAULT_PATH}"), "HOME=/root".to_owned()].into_iter().chain(term).collect()
}

/// execve's refusal in the words of step 1, which knows what can be wrong with a program.
fn explain(error: Error, overlay: &Overlay) -> anyhow::Error {
    match &error {
        Error::Execute { doing, on, errno } => {
            step01_chroot::Error::of_execute(&Failure { doing, on: on.as_bytes(), errno: *errno }, overlay.as_fd())
                .into()
        }
        _ => error.into(),
    }
}

fn print(error: &anyhow::Error) -> u8 {
    eprintln!("error: {error:#}");
    let program = error.downcast_ref::<step01_chroot::Error>();
    let mounting = error.downcast_ref::<step03_mount_overlay::Error>();
    if let Some(words) = mounting.and_then(|error| error.kernel()) {
        eprintln!("  kernel: {words}");
    }
    let help = program.and_then(|error| error.help()).or_else(|| mounting?.help());
    if let Some(help) = help.or_else(|| error.downcast_ref::<Error>()?.help()) {
        eprintln!("  help: {help}");
    }
    program.map_or(125, step01_chroot::Error::exit_code)
}
