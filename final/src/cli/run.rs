//! `tara run`.

use super::options::{FileOptions, NetworkOptions, ProcessOptions};
use super::print;
use super::pull::{Policy, platform, with_image};
use crate::engine::{Engine, RunRequest};
use crate::monitor::{self, Task};
use crate::spec::Arguments;
use anyhow::Result;
use clap::{ArgAction, Args};
use step07_images::registry::Platform;

/// Run a program in a new container.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Run {
    /// Let it run on by itself, and print its id.
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    options: Options,
}

/// Make a container without starting its program, and print its id.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Create {
    #[command(flatten)]
    options: Options,
}

/// What a new container is like.
#[derive(Debug, Args)]
struct Options {
    /// Print help (`-h` is the host name, as docker's).
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    process: ProcessOptions,
    /// Remove the container when it ends.
    #[arg(long)]
    rm: bool,
    /// The container's name.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    files: FileOptions,
    /// The host name inside.
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// Run this instead of the image's entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Make a small init PID 1: it reaps orphans and passes signals on.
    #[arg(long)]
    init: bool,
    #[command(flatten)]
    network: NetworkOptions,
    /// When to get the image from its registry.
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "missing|always|never")]
    pull: Policy,
    /// The image for this platform (`linux/arm64`), where it has to be pulled.
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    /// The image's name or id; `demo` is made on first use.
    image: String,
    /// The program and its arguments; without them the image's.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Run {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        if self.detach {
            return self.run_detached(engine);
        }
        self.options.process.check_terminal()?;
        let request = self.options.request()?;
        self.options.with_image(engine, || engine.run(&request))
    }

    fn run_detached(&self, engine: &Engine) -> Result<u8> {
        let request = self.options.request()?;
        // Before the monitor, whose messages cannot be followed while an image is made.
        self.options.with_image(engine, || engine.image(&request.image))?;
        match monitor::start(engine, &Task::Run(Box::new(request)))? {
            Ok(id) => {
                print(&format!("{id}\n"));
                Ok(0)
            }
            Err(failed) => {
                eprint!("{}", failed.report);
                Ok(failed.code)
            }
        }
    }
}

impl Create {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let request = self.options.request()?;
        let id = self.options.with_image(engine, || engine.create(&request))?;
        print(&format!("{id}\n"));
        Ok(0)
    }
}

impl Options {
    /// Does what needs the image, which is pulled when it has to be.
    fn with_image<T>(&self, engine: &Engine, action: impl Fn() -> Result<T>) -> Result<T> {
        with_image(engine, &self.image, self.pull, self.platform.as_ref(), action)
    }

    fn request(&self) -> Result<RunRequest> {
        Ok(RunRequest {
            image: self.image.clone(),
            name: self.name.clone(),
            hostname: self.hostname.clone(),
            user: self.process.user.clone(),
            mounts: self.files.mounts()?,
            auto_remove: self.rm,
            init: self.init,
            interactive: self.process.interactive,
            arguments: Arguments {
                entrypoint: self.entrypoint.clone(),
                command: self.command.clone(),
                env: self.process.environment()?,
                workdir: self.process.workdir()?,
                terminal: self.process.tty,
                read_only: self.files.read_only,
                own_network: self.network.is_own(),
                ..Arguments::default()
            },
        })
    }
}
