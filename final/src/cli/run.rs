//! `tara run`.

use super::options::{FileOptions, NetworkOptions, ProcessOptions, ResourceOptions, SecurityOptions};
use super::print;
use crate::engine::{Engine, RunRequest};
use crate::explain::{self, Form};
use crate::monitor::{self, Task};
use crate::spec::Arguments;
use anyhow::Result;
use clap::{ArgAction, Args};
use std::path::PathBuf;

/// Run a program in a new container.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Run {
    /// Let it run on by itself, and print its id.
    #[arg(short, long)]
    detach: bool,
    /// Show every kernel call of the start, with its time and its reason.
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text", conflicts_with = "detach")]
    explain: Option<Form>,
    /// Write that to this file instead of to standard error.
    #[arg(long, value_name = "FILE", requires = "explain")]
    explain_file: Option<PathBuf>,
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
    /// Run this instead of the image's entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Make a small init PID 1: it reaps orphans and passes signals on.
    #[arg(long)]
    init: bool,
    /// The image's name or id; `demo` is made on first use.
    image: String,
    /// The program and its arguments; without them the image's.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    // Last, because their headings in the help hold for what comes after them.
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    security: SecurityOptions,
    #[command(flatten)]
    resources: ResourceOptions,
}

impl Run {
    /// With `--explain`: the exit code of the same command line, which was run and followed. In that one: nothing, but from here on it
    /// says what its calls are for.
    pub(crate) fn explain(&self) -> Option<Result<u8>> {
        let form = self.explain?;
        if explain::is_explained() {
            sys::explain::begin();
            return None;
        }
        Some(explain::run(form, self.explain_file.as_deref()))
    }

    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        if self.detach {
            return self.run_detached(engine);
        }
        self.options.process.check_terminal()?;
        let request = self.options.request(engine)?;
        engine.warn_of_the_network(&request.networking);
        engine.run(&request)
    }

    fn run_detached(&self, engine: &Engine) -> Result<u8> {
        let request = self.options.request(engine)?;
        engine.warn_of_the_network(&request.networking);
        // Before the monitor, whose messages cannot be followed while an image is made.
        engine.image(&request.image)?;
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
        let id = engine.create(&self.options.request(engine)?)?;
        print(&format!("{id}\n"));
        Ok(0)
    }
}

impl Options {
    fn request(&self, engine: &Engine) -> Result<RunRequest> {
        let networking = self.network.networking(engine)?;
        Ok(RunRequest {
            image: self.image.clone(),
            name: self.name.clone(),
            hostname: self.network.hostname.clone(),
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
                own_network: networking.mode != crate::network::Mode::Host,
                security: self.security.security()?,
                resources: self.resources.resources()?,
                cgroup_parent: self.resources.cgroup_parent.clone(),
                no_cgroup: !self.resources.has_cgroup(),
                ..Arguments::default()
            },
            networking,
        })
    }
}
