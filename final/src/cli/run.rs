//! `tara run`.

use super::attach::code;
use super::options::{
    AttachOptions, FileOptions, NetworkOptions, ProcessOptions, ResourceOptions, SecurityOptions, SupervisionOptions,
    labels, write_id,
};
use super::print;
use super::pull::{Policy, platform, with_image};
use crate::attach::End;
use crate::attach::frame::Wish;
use crate::engine::{Engine, Finished, RunRequest};
use crate::explain::{self, Form};
use crate::monitor::{self, Task};
use crate::report::Refusal;
use crate::spec::Arguments;
use anyhow::Result;
use clap::{ArgAction, Args};
use std::path::PathBuf;
use step02_pid_ns::ForwardedSignals;
use step07_images::registry::Platform;

/// Run a program in a new container.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Run {
    /// Let it run on by itself, and print its id.
    #[arg(short, long)]
    detach: bool,
    /// Attach only to these: stdin, stdout, stderr.
    #[arg(short, long, value_name = "STREAM", conflicts_with = "detach")]
    attach: Vec<String>,
    #[command(flatten)]
    how: AttachOptions,
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
    /// Give the container a label.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Read labels from a file, one a line.
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    #[command(flatten)]
    files: FileOptions,
    /// Run this instead of the image's entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Make a small init PID 1: it reaps orphans and passes signals on.
    #[arg(long)]
    init: bool,
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
    // Last, because their headings in the help hold for what comes after them.
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    supervision: SupervisionOptions,
    #[command(flatten)]
    security: SecurityOptions,
    #[command(flatten)]
    resources: ResourceOptions,
}

impl Run {
    /// With `--explain`: the exit code of the same command line, which was run and followed. In that one: nothing, but from here on it
    /// says what its calls are for.
    fn explain(&self) -> Option<Result<u8>> {
        let form = self.explain?;
        if explain::is_explained() {
            sys::explain::begin();
            return None;
        }
        Some(explain::run(form, self.explain_file.as_deref()))
    }

    pub(crate) fn run(&self, engine: impl FnOnce() -> Result<Engine>) -> Result<Finished> {
        if let Some(code) = self.explain() {
            return code.map(Finished::from);
        }
        let engine = &engine()?;
        if self.detach {
            return self.run_detached(engine).map(Finished::from);
        }
        self.options.process.check_terminal()?;
        let request = self.options.request(engine)?;
        engine.warn_of_the_network(&request.networking);
        // What is thrown away when it ends, and cannot be detached from, may as well end with us: nobody else is needed then.
        let has_terminal = self.options.process.tty;
        if request.auto_remove && !has_terminal && self.attach.is_empty() && !self.options.supervision.needs_a_monitor()
        {
            return self.options.with_image(engine, || engine.run(&request));
        }
        self.run_attached(engine, request).map(Finished::from)
    }

    fn run_detached(&self, engine: &Engine) -> Result<u8> {
        let request = self.options.request(engine)?;
        engine.warn_of_the_network(&request.networking);
        let file = self.options.supervision.cidfile()?;
        // Before the monitor, whose messages cannot be followed while an image is made.
        self.options.with_image(engine, || engine.image(&request.image))?;
        match monitor::start(engine, Task::Run(Box::new(request)), None)? {
            Ok(started) => {
                write_id(file, &started.id)?;
                print(&format!("{}\n", started.id));
                Ok(0)
            }
            Err(failed) => {
                eprint!("{}", failed.report);
                Ok(failed.code)
            }
        }
    }

    /// In the foreground, but the container has a monitor and outlives us.
    fn run_attached(&self, engine: &Engine, request: RunRequest) -> Result<u8> {
        let streams = Streams::parse(&self.attach)?;
        let input = request.interactive && streams.input;
        let session = self.how.session(request.arguments.terminal, input, streams.wish.and(Wish::OWNER))?;
        let file = self.options.supervision.cidfile()?;
        self.options.with_image(engine, || engine.image(&request.image))?;
        let signals = ForwardedSignals::block()?;
        let raw = session.enter_terminal()?;
        let end = match monitor::start(engine, Task::Run(Box::new(request)), Some(&session))? {
            Ok(started) => {
                write_id(file, &started.id)?;
                started.relay(session, &signals)
            }
            Err(failed) => Ok(End::Failed(failed)),
        };
        drop(raw);
        Ok(code(end?))
    }
}

/// What `-a` names; without it, everything.
struct Streams {
    input: bool,
    wish: Wish,
}

impl Streams {
    fn parse(names: &[String]) -> Result<Self> {
        if names.is_empty() {
            return Ok(Self { input: true, wish: Wish::STDOUT.and(Wish::STDERR) });
        }
        let mut streams = Self { input: false, wish: Wish::default() };
        for name in names {
            match name.to_ascii_lowercase().as_str() {
                "stdin" => streams.input = true,
                "stdout" => streams.wish = streams.wish.and(Wish::STDOUT),
                "stderr" => streams.wish = streams.wish.and(Wish::STDERR),
                _ => {
                    let refusal = Refusal::new(format!("`--attach {name}`"));
                    return Err(refusal.help("write stdin, stdout or stderr").into());
                }
            }
        }
        Ok(streams)
    }
}

impl Create {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let file = self.options.supervision.cidfile()?;
        let request = self.options.request(engine)?;
        let id = self.options.with_image(engine, || engine.create(&request))?;
        write_id(file, &id)?;
        print(&format!("{id}\n"));
        Ok(0)
    }
}

impl Options {
    /// Does what needs the image, which is pulled when it has to be.
    fn with_image<T>(&self, engine: &Engine, action: impl Fn() -> Result<T>) -> Result<T> {
        with_image(engine, &self.image, self.pull, self.platform.as_ref(), action)
    }

    fn request(&self, engine: &Engine) -> Result<RunRequest> {
        let networking = self.network.networking(engine)?;
        let (mounts, volumes) = self.files.mounts()?;
        let security = self.security.security()?;
        crate::users::check(engine.privilege(), &security, &networking)?;
        Ok(RunRequest {
            image: self.image.clone(),
            name: self.name.clone(),
            hostname: self.network.hostname.clone(),
            user: self.process.user.clone(),
            mounts,
            volumes,
            volumes_from: self.files.volumes_from(),
            labels: labels(&self.label_file, &self.label)?,
            auto_remove: self.rm,
            init: self.init,
            interactive: self.process.interactive,
            upkeep: self.supervision.upkeep(self.rm)?,
            arguments: Arguments {
                entrypoint: self.entrypoint.clone(),
                command: self.command.clone(),
                env: self.process.environment()?,
                workdir: self.process.workdir()?,
                terminal: self.process.tty,
                read_only: self.files.read_only,
                own_network: networking.mode != crate::network::Mode::Host,
                security,
                resources: self.resources.resources()?,
                cgroup_parent: self.resources.cgroup_parent.clone(),
                no_cgroup: !self.resources.has_cgroup(),
                ..Arguments::default()
            },
            networking,
        })
    }
}
