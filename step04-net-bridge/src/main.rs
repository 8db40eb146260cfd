//! `step04-net-bridge run …`: the same file system, now with a network of its own.

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, Parser, ValueEnum};
use std::fs::{create_dir, write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use step01_chroot::{DEFAULT_PATH, Program, Root};
use step02_pid_ns::{CloneSpec, Error, ForwardedSignals, Hostname, Namespaces, spawn, supervise};
use step03_mount_overlay::{Layers, Mount, Mounts, Overlay, Setting, defaults, make_private, parse_volume, pivot_root};
use step04_net_bridge::resolv::{Resolver, hosts};
use step04_net_bridge::{Endpoint, Netns, Networks, PortSpec, Request, Settings, Subnet, forward_blocker, loopback_up};
use sys::Failure;
use sys::process::exit_code;

/// Run a program with a network of its own: an address on a bridge, a way out, and the ports that you publish.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Run a program; its network goes with it.
    Run(Args),
}

#[derive(ClapArgs)]
struct Args {
    /// Which network: an address on a bridge, only loopback, or the host's own.
    #[arg(long, value_enum, default_value_t = Kind::Bridge)]
    network: Kind,
    /// Publish a port: [ADDRESS:][HOST_PORT:]PORT[/udp].
    #[arg(short, long, value_name = "PORTS")]
    publish: Vec<PortSpec>,
    /// The addresses of the bridge, for example 172.30.0.0/16.
    #[arg(long)]
    subnet: Option<Subnet>,
    /// The name of the host inside.
    #[arg(long, default_value = "step04")]
    hostname: String,
    /// The directory that becomes `/`.
    rootfs: PathBuf,
    /// The program, looked up inside, and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Kind {
    Bridge,
    None,
    Host,
}

/// The one network of this step, and where its leases are.
const NETWORK: &str = "step04";
const NETWORKS: &str = "/run/step04-net-bridge";

fn main() -> ExitCode {
    let Command::Run(args) = Command::parse();
    run(&args).unwrap_or_else(|error| print(&error)).into()
}

// ANCHOR: run
fn run(args: &Args) -> Result<u8> {
    if args.network != Kind::Bridge {
        return run_in(args, None);
    }
    let networks = Networks::open(Path::new(NETWORKS))?;
    let settings = Settings { name: NETWORK.to_owned(), subnet: args.subnet, ..Settings::default() };
    let id = new_id()?;
    let result = connect(&networks, &settings, &id, args).and_then(|network| run_in(args, Some(network)));
    // Also after a failure. The link has gone with its namespace; the bridge goes when nobody is left on it.
    networks.reclaim(&id)?;
    let _somebody_else_uses_it = networks.remove(NETWORK);
    result
}

fn new_id() -> Result<String> {
    let mut bytes = [0; 6];
    sys::process::random(&mut bytes).context("random bytes for an id")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// An address and a way out, before there is a process.
fn connect(networks: &Networks, settings: &Settings, id: &str, args: &Args) -> Result<(Netns, Endpoint)> {
    let joined = networks.join(settings, &Request { id: id.to_owned(), ..Request::default() })?;
    if let Some(blocker) = forward_blocker()? {
        eprintln!("warning: {blocker}\n  help: {}", blocker.help());
    }
    let netns = Netns::create()?;
    let endpoint = Endpoint::connect(&joined, &netns, &args.publish)?;
    Ok((netns, endpoint))
}

fn run_in(args: &Args, network: Option<(Netns, Endpoint)>) -> Result<u8> {
    let program = Program::new(&args.command, &environment())?;
    let hostname = Hostname::new(&args.hostname)?;
    let scratch = tempfile::Builder::new().prefix("step04-").tempdir().context("scratch directory for the writes")?;
    let overlay = overlay(args, scratch.path())?;
    let mounts = Mounts::prepare(&mounts(args, network.as_ref(), scratch.path())?, true, None, Path::new("/"))?;
    let signals = ForwardedSignals::block()?;

    let mut namespaces = Namespaces::PID | Namespaces::MOUNT | Namespaces::UTS | Namespaces::IPC | Namespaces::CGROUP;
    if args.network == Kind::None {
        namespaces |= Namespaces::NETWORK;
    }
    let spec = CloneSpec { namespaces, dies_with_parent: true, ..CloneSpec::default() };
    let running = spawn(&spec, || {
        // ---- child half: system calls only, on what was prepared above ----
        match &network {
            Some((netns, _)) => netns.enter()?,
            None if namespaces.contains(Namespaces::NETWORK) => loopback_up()?,
            None => {}
        }
        hostname.set()?;
        make_private()?;
        overlay.attach()?;
        mounts.enter(overlay.as_fd())?;
        pivot_root(overlay.as_fd())?;
        Ok(&program)
    })
    .map_err(|error| explain(error, &overlay))?;
    // From here on the namespace lives as long as the processes in it.
    drop(network);

    let status = supervise(&running, &signals)?;
    exit_code(status).context("the program did not end")
}
// ANCHOR_END: run

fn overlay(args: &Args, scratch: &Path) -> Result<Overlay> {
    Root::open(&args.rootfs)?;
    let lower = [std::fs::canonicalize(&args.rootfs)?];
    let (upper, work) = (scratch.join("diff"), scratch.join("work"));
    // Not on the scratch directory itself: that would cover what is bound from there.
    let at = scratch.join("merged");
    for folder in [&upper, &work, &at] {
        create_dir(folder)?;
    }
    let layers = Layers { lower: &lower, upper: &upper, work: &work, volatile: true, userxattr: false };
    Ok(Overlay::prepare(&layers, &at)?)
}

/// The usual mounts, and on the container's own address its own `/etc/hosts` and `/etc/resolv.conf`.
fn mounts(args: &Args, network: Option<&(Netns, Endpoint)>, scratch: &Path) -> Result<Vec<Mount>> {
    let mut mounts = defaults(&Setting { own_network: args.network != Kind::Host, ..Setting::default() });
    if let Some((_, endpoint)) = network {
        let addresses = [endpoint.lease.address.into()];
        for (name, text) in
            [("hosts", hosts(&addresses, &[&args.hostname], &[])), ("resolv.conf", Resolver::of_host().to_text())]
        {
            let file = scratch.join(name);
            write(&file, text)?;
            mounts.push(parse_volume(&format!("{}:/etc/{name}", file.display()))?);
        }
    }
    Ok(mounts)
}

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
    let network = error.downcast_ref::<step04_net_bridge::Error>();
    if let Some(words) = network.and_then(|error| error.kernel_words()).or_else(|| mounting?.kernel()) {
        eprintln!("  kernel: {words}");
    }
    let help = program.and_then(|error| error.help()).or_else(|| mounting?.help()).or_else(|| network?.help());
    if let Some(help) = help.or_else(|| error.downcast_ref::<Error>()?.help()) {
        eprintln!("  help: {help}");
    }
    program.map_or(125, step01_chroot::Error::exit_code)
}
