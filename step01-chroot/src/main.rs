//! `step01-chroot ROOTFS CMD [ARG…]`: run a program with another directory as its root.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use step01_chroot::{DEFAULT_PATH, Error, Program, Root};
use sys::exec::Execute;
use sys::process::exit_code;

/// Run a program with another directory as its root.
///
/// This is a change of view, not a jail: the program still sees the host's processes and network, and root walks out.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The directory that becomes `/`.
    rootfs: PathBuf,
    /// The program, looked up inside, and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|error| print(&error)).into()
}

// ANCHOR: run
fn run(args: &Args) -> Result<u8, Error> {
    // ANCHOR: task3_run
    let root = Root::open(&args.rootfs)?;
    let program = Program::new(&args.command, &environment())?;
    let child = sys::clone::fork(|| print(&enter_and_execute(&root, &program))).map_err(Error::Fork)?;
    let status = nix::sys::wait::waitpid(child, None).map_err(Error::Fork)?;
    Ok(exit_code(status).unwrap_or(125))
    // ANCHOR_END: task3_run
}

/// The child: it becomes the program, or comes back with the reason why not.
fn enter_and_execute(root: &Root, program: &Program) -> Error {
    // ANCHOR: task3_child
    if let Err(failure) = root.enter() {
        return Error::of_enter(&failure);
    }
    let failure = program.execute();
    Error::of_execute(&failure, std::os::fd::AsFd::as_fd(root))
    // ANCHOR_END: task3_child
}
// ANCHOR_END: run

/// The host's environment stays outside, but for the kind of the terminal.
fn environment() -> Vec<String> {
    let term = std::env::var("TERM").map(|term| format!("TERM={term}"));
    [format!("PATH={DEFAULT_PATH}"), "HOME=/root".to_owned()].into_iter().chain(term).collect()
}

fn print(error: &Error) -> u8 {
    eprintln!("error: {error}");
    if let Some(help) = error.help() {
        eprintln!("  help: {help}");
    }
    error.exit_code()
}
