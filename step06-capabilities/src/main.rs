//! `step06-capabilities run …`: the same container, now with less than root.

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, Parser};
use std::fs::create_dir;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use step01_chroot::{DEFAULT_PATH, Program, Root};
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, Hostname, Namespaces, die_with_parent, spawn, supervise};
use step03_mount_overlay::{Layers, Mounts, Overlay, Setting, defaults, make_private, pivot_root};
use step04_net_bridge::loopback_up;
use step06_capabilities::{Capabilities, Limits, MaskedPaths, Options, Privileges, Profile, Sets, User};
use sys::Failure;
use sys::process::exit_code;

/// Run a program that is root inside and can do little with it.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Run a program; what it writes is gone afterwards.
    Run(Args),
}

#[derive(ClapArgs)]
struct Args {
    /// The name of the host inside.
    #[arg(long, default_value = "step06")]
    hostname: String,
    /// Give a capability, or ALL.
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// Take a capability, or ALL.
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// All capabilities, no filter of system calls, nothing masked.
    #[arg(long)]
    privileged: bool,
    /// The filter of system calls: a profile in docker's format, or `unconfined`.
    #[arg(long, value_name = "FILE|unconfined")]
    seccomp: Option<PathBuf>,
    /// The user, by the root's own /etc/passwd: name or number, with a group after a colon.
    #[arg(short, long, value_name = "USER[:GROUP]", default_value = "root")]
    user: String,
    /// Let set-user-ID programs and file capabilities work.
    #[arg(long)]
    keep_new_privs: bool,
    /// Limit the process: NAME=SOFT[:HARD].
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// The read-only layer.
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
    let hostname = Hostname::new(&args.hostname)?;
    // Removed when `scratch` is dropped, and left behind by kill -9: an engine writes down what it makes (final/).
    let scratch = tempfile::Builder::new().prefix("step06-").tempdir().context("scratch directory for the writes")?;
    let overlay = overlay(&args.rootfs, scratch.path())?;
    let user = User::lookup(overlay.as_fd(), &args.user)?;
    let program = Program::new(&args.command, &environment(&user))?;
    let mounts = Mounts::prepare(&defaults(&Setting::default()), true, None, Path::new("/"))?;
    let (hidden, read_only) = if args.privileged { Default::default() } else { MaskedPaths::docker() };
    let masked = MaskedPaths::prepare(&hidden, &read_only)?;
    let mut limits = Limits::default();
    args.ulimit.iter().try_for_each(|text| limits.parse(text))?;
    let privileges = privileges(args, user)?;
    let signals = ForwardedSignals::block()?;

    let namespaces = Namespaces::PID | Namespaces::MOUNT | Namespaces::UTS | Namespaces::IPC | Namespaces::CGROUP;
    let namespaces = namespaces | Namespaces::NETWORK;
    // Step 5's cgroup goes here: `into_cgroup`.
    let spec = CloneSpec { namespaces, dies_with_parent: true, ..CloneSpec::default() };
    let running = spawn(&spec, || {
        // ---- child half: system calls only, on what was prepared above ----
        hostname.set()?;
        loopback_up()?;
        make_private()?;
        overlay.attach()?;
        mounts.enter(overlay.as_fd())?;
        masked.enter(overlay.as_fd())?;
        pivot_root(overlay.as_fd())?;
        limits.enter()?;
        privileges.become_user()?;
        die_with_parent()?; // a change of user has undone it, and the filter might forbid it
        privileges.confine()?; // from here on there is no way back to what root can do
        Ok(&program)
    })
    .map_err(|error| explain(error, &overlay))?;

    let status = supervise(&running, &signals)?;
    exit_code(status).context("the program did not end")
}

fn privileges(args: &Args, user: User) -> Result<Privileges> {
    let kernel = Capabilities::of_kernel()?;
    let tweaked = Capabilities::docker().tweak(&args.cap_add, &args.cap_drop, kernel)?;
    let capabilities = if args.privileged { kernel } else { tweaked };
    let profile = match args.seccomp.as_deref() {
        None if args.privileged => None,
        None => Some(Profile::standard()?),
        Some(path) if path == Path::new("unconfined") => None,
        Some(path) => Some(Profile::read(path)?),
    };
    let sets = Sets::of_user(capabilities, user.uid);
    Ok(Privileges::new(&Options { sets, user, may_set_groups: true, profile, no_new_privs: !args.keep_new_privs })?)
}
// ANCHOR_END: run

fn overlay(rootfs: &Path, scratch: &Path) -> Result<Overlay> {
    Root::open(rootfs)?;
    let (upper, work) = (scratch.join("diff"), scratch.join("work"));
    create_dir(&upper)?;
    create_dir(&work)?;
    let lower = [std::fs::canonicalize(rootfs)?];
    let layers = Layers { lower: &lower, upper: &upper, work: &work, volatile: true, userxattr: false };
    Ok(Overlay::prepare(&layers, scratch)?)
}

/// The host's environment stays outside, but for the kind of the terminal.
fn environment(user: &User) -> Vec<String> {
    let term = std::env::var("TERM").map(|term| format!("TERM={term}"));
    [format!("PATH={DEFAULT_PATH}"), format!("HOME={}", user.home)].into_iter().chain(term).collect()
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
    let privileges = || Some(error.downcast_ref::<step06_capabilities::Error>()?.help());
    let help = program.and_then(|error| error.help()).or_else(|| mounting?.help()).or_else(privileges);
    if let Some(help) = help.or_else(|| error.downcast_ref::<Error>()?.help()) {
        eprintln!("  help: {help}");
    }
    program.map_or(125, step01_chroot::Error::exit_code)
}
