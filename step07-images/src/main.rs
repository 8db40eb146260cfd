//! `step07-images pull|run IMAGE …`: the same container once more, and now there is something to run.

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, Parser};
use std::fs::create_dir;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use step01_chroot::{DEFAULT_PATH, Program};
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, Hostname, Namespaces, spawn, supervise};
use step03_mount_overlay::{Layers, Mounts, Overlay, Setting, defaults, make_private, pivot_root};
use step04_net_bridge::loopback_up;
use step06_capabilities::{Capabilities, MaskedPaths, Options, Privileges, Profile, Sets, User};
use step07_images::registry::Registries;
use step07_images::{Error as ImageError, Image, Store};
use sys::Failure;
use sys::process::exit_code;

/// Get an image from a registry, and run its program with everything of the steps before.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Get an image; `tara registry serve` on this machine is a registry, too.
    Pull(Place),
    /// Run a program of an image, which is pulled if it is not here; what it writes is gone afterwards.
    Run(Args),
}

#[derive(ClapArgs)]
struct Place {
    /// Where images and layers are kept.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/step07")]
    root: PathBuf,
    /// The image's name: `busybox`, `localhost:5000/app:1`; or `demo`, made of this machine's own programs.
    image: String,
}

#[derive(ClapArgs)]
struct Args {
    #[command(flatten)]
    place: Place,
    /// The program and its arguments; without them the image's.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Pull(place) => pull(&place),
        Command::Run(args) => run(&args),
    };
    result.unwrap_or_else(|error| print(&error)).into()
}

fn pull(place: &Place) -> Result<u8> {
    let store = Store::open(&place.root)?;
    let pulled = store.pull(&Registries::read()?, &place.image.parse()?, None, &())?;
    println!("{}", pulled.digest);
    Ok(0)
}

/// What is here is not asked for again.
fn image(store: &Store, name: &str) -> Result<Image> {
    match store.resolve(name) {
        Err(ImageError::NoSuchImage { .. }) if name == "demo" => Ok(store.ensure_demo()?),
        Err(ImageError::NoSuchImage { .. }) => Ok(store.pull(&Registries::read()?, &name.parse()?, None, &())?.image),
        image => Ok(image?),
    }
}

// ANCHOR: run
fn run(args: &Args) -> Result<u8> {
    let store = Store::open(&args.place.root)?;
    let image = image(&store, &args.place.image)?; // a list of directories and a document: nothing else
    let config = image.config.config().clone().unwrap_or_default();
    let hostname = Hostname::new("step07")?;
    let scratch = tempfile::Builder::new().prefix("step07-").tempdir().context("scratch directory for the writes")?;
    let overlay = overlay(&image, scratch.path())?;
    let user = User::lookup(overlay.as_fd(), config.user().as_deref().unwrap_or_default())?;
    let program = Program::new(&command(args, &config)?, &environment(&config, &user))?;
    let workdir = config.working_dir().as_deref().filter(|folder| !folder.is_empty()).unwrap_or("/");
    let mounts = Mounts::prepare(&defaults(&Setting::default()), true, None, Path::new(workdir))?;
    let (hidden, read_only) = MaskedPaths::docker();
    let masked = MaskedPaths::prepare(&hidden, &read_only)?;
    let sets = Sets::of_user(Capabilities::docker(), user.uid);
    let profile = Some(Profile::standard()?);
    let privileges = Privileges::new(&Options { sets, user, may_set_groups: true, profile, no_new_privs: true })?;
    let signals = ForwardedSignals::block()?;

    let namespaces = Namespaces::PID | Namespaces::MOUNT | Namespaces::UTS | Namespaces::IPC | Namespaces::CGROUP;
    let namespaces = namespaces | Namespaces::NETWORK;
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
        privileges.enter()?;
        Ok(&program)
    })
    .map_err(|error| explain(error, &overlay))?;

    let status = supervise(&running, &signals)?;
    exit_code(status).context("the program did not end")
}
// ANCHOR_END: run

/// The image's layers below, for everybody; above them one that is this container's own.
fn overlay(image: &Image, scratch: &Path) -> Result<Overlay> {
    let (upper, work) = (scratch.join("diff"), scratch.join("work"));
    create_dir(&upper)?;
    create_dir(&work)?;
    let layers = Layers { lower: &image.layers, upper: &upper, work: &work, volatile: true, userxattr: false };
    Ok(Overlay::prepare(&layers, scratch)?)
}

/// The image's entrypoint, and after it the command of the command line or else of the image.
fn command(args: &Args, config: &oci_spec::image::Config) -> Result<Vec<String>> {
    let of_image = config.cmd().clone().unwrap_or_default();
    let command = if args.command.is_empty() { of_image } else { args.command.clone() };
    let whole: Vec<_> = config.entrypoint().iter().flatten().cloned().chain(command).collect();
    anyhow::ensure!(!whole.is_empty(), "the image names no program, and neither does the command line");
    Ok(whole)
}

/// The image's environment; the host's stays outside, but for the kind of the terminal.
fn environment(config: &oci_spec::image::Config, user: &User) -> Vec<String> {
    let of_image = config.env().clone().unwrap_or_default();
    let path = (!of_image.iter().any(|it| it.starts_with("PATH="))).then(|| format!("PATH={DEFAULT_PATH}"));
    let term = std::env::var("TERM").ok().map(|term| format!("TERM={term}"));
    path.into_iter().chain([format!("HOME={}", user.home)]).chain(term).chain(of_image).collect()
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
    let image = || error.downcast_ref::<ImageError>()?.help();
    let process = || error.downcast_ref::<Error>()?.help();
    if let Some(help) = program.and_then(|error| error.help()).or_else(image).or_else(process) {
        eprintln!("  help: {help}");
    }
    program.map_or(125, step01_chroot::Error::exit_code)
}
