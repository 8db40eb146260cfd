//! `step02-pid-ns run …`: the same root, now with processes, names and IPC of its own.

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, Parser};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use step01_chroot::{DEFAULT_PATH, Program, Root};
use step02_pid_ns::{
    CloneSpec, Error, ForwardedSignals, Hostname, Namespaces, UserMap, mount_proc, receive_mounts_only, spawn,
    supervise,
};
use sys::Failure;
use sys::process::exit_code;

/// Run a program as PID 1 of its own process tree.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Run a program in new namespaces, with another directory as its root.
    Run(Args),
}

#[derive(ClapArgs)]
struct Args {
    /// The name of the host inside.
    #[arg(long, default_value = "step02")]
    hostname: String,
    /// Also make a user namespace: works without root, and root inside is you outside.
    #[arg(long)]
    user: bool,
    /// Namespaces of the host to keep: pid, mnt, uts, ipc, net, cgroup.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    keep: Vec<String>,
    /// Make a small init PID 1: it reaps orphans and passes signals on.
    #[arg(long)]
    init: bool,
    /// The directory that becomes `/`.
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
    let root = Root::open(&args.rootfs)?;
    let program = Program::new(&args.command, &environment())?;
    let hostname = Hostname::new(&args.hostname)?;
    let namespaces = namespaces(args)?;
    let user_map = args.user.then(UserMap::of_caller);
    let signals = ForwardedSignals::block()?;

    let spec = CloneSpec {
        namespaces,
        user_map: user_map.as_ref(),
        init: args.init,
        dies_with_parent: true,
        ..CloneSpec::default()
    };
    let running = spawn(&spec, || {
        // ---- child half: system calls only, on what was prepared above ----
        if namespaces.contains(Namespaces::UTS) {
            hostname.set()?;
        }
        enter_root(&root, namespaces)?;
        Ok(&program)
    })
    .map_err(|error| explain(error, &root))?;

    let status = supervise(&running, &signals)?;
    exit_code(status).context("the program did not end")
}

fn enter_root(root: &Root, namespaces: Namespaces) -> Result<(), Failure<'_>> {
    // A new /proc only with a mount table of our own: else it would cover the host's.
    if !namespaces.contains(Namespaces::MOUNT) {
        return root.enter();
    }
    receive_mounts_only()?;
    root.enter()?;
    mount_proc()
}
// ANCHOR_END: run

fn namespaces(args: &Args) -> Result<Namespaces> {
    let mut set = Namespaces::PID | Namespaces::MOUNT | Namespaces::UTS | Namespaces::IPC | Namespaces::CGROUP;
    if args.user {
        set |= Namespaces::USER;
    }
    for name in &args.keep {
        set = set - Namespaces::by_name(name)?;
    }
    Ok(set)
}

/// The host's environment stays outside, but for the kind of the terminal.
fn environment() -> Vec<String> {
    let term = std::env::var("TERM").map(|term| format!("TERM={term}"));
    [format!("PATH={DEFAULT_PATH}"), "HOME=/root".to_owned()].into_iter().chain(term).collect()
}

/// execve's refusal in the words of step 1, which knows what can be wrong with a program.
fn explain(error: Error, root: &Root) -> anyhow::Error {
    match &error {
        Error::Execute { doing, on, errno } => {
            step01_chroot::Error::of_execute(&Failure { doing, on: on.as_bytes(), errno: *errno }, root.as_fd()).into()
        }
        _ => error.into(),
    }
}

fn print(error: &anyhow::Error) -> u8 {
    eprintln!("error: {error:#}");
    let program = error.downcast_ref::<step01_chroot::Error>();
    let help = program.and_then(step01_chroot::Error::help);
    if let Some(help) = help.or_else(|| error.downcast_ref::<Error>()?.help()) {
        eprintln!("  help: {help}");
    }
    program.map_or(125, step01_chroot::Error::exit_code)
}
