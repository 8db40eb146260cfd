//! `tara run`.

use super::print;
use crate::engine::{Engine, RunRequest};
use crate::monitor::{self, Task};
use crate::report::Refusal;
use crate::spec::Arguments;
use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args, ValueEnum};
use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use step03_mount_overlay::{Mount, parse_tmpfs, parse_volume};

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
    /// Keep standard input open.
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Remove the container when it ends.
    #[arg(long)]
    rm: bool,
    /// The container's name.
    #[arg(long)]
    name: Option<String>,
    /// Set an environment variable; NAME alone takes the caller's value.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file, one a line.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// The working directory inside.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The user: name or number, with a group after a colon.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Bind a directory or file of the host.
    #[arg(short, long, value_name = "SRC:DST[:ro]")]
    volume: Vec<String>,
    /// Attach a file system: `type=bind|tmpfs,src=…,dst=…[,readonly]`.
    #[arg(long, value_name = "KEY=VALUE,…")]
    mount: Vec<String>,
    /// Mount an empty tmpfs.
    #[arg(long, value_name = "DST[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Forbid writing to the root file system.
    #[arg(long)]
    read_only: bool,
    /// The host name inside.
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// Run this instead of the image's entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Make a small init PID 1: it reaps orphans and passes signals on.
    #[arg(long)]
    init: bool,
    /// The network.
    #[arg(long, default_value = "none")]
    network: Network,
    /// The image's name or id; `demo` is made on first use.
    image: String,
    /// The program and its arguments; without them the image's.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Network {
    /// The loopback link only.
    None,
    /// The host's network.
    Host,
}

impl Run {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        if self.detach {
            return self.run_detached(engine);
        }
        if self.options.tty && self.options.interactive && !stdin().is_terminal() {
            let refusal = Refusal::new("the input device is not a terminal");
            return Err(refusal.help("leave out `-t` when standard input is a file or a pipe").code(1).into());
        }
        engine.run(&self.options.request()?)
    }

    fn run_detached(&self, engine: &Engine) -> Result<u8> {
        let request = self.options.request()?;
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
        let id = engine.create(&self.options.request()?)?;
        print(&format!("{id}\n"));
        Ok(0)
    }
}

impl Options {
    fn request(&self) -> Result<RunRequest> {
        Ok(RunRequest {
            image: self.image.clone(),
            name: self.name.clone(),
            hostname: self.hostname.clone(),
            user: self.user.clone(),
            mounts: self.mounts()?,
            auto_remove: self.rm,
            init: self.init,
            interactive: self.interactive,
            arguments: Arguments {
                entrypoint: self.entrypoint.clone(),
                command: self.command.clone(),
                env: environment(&self.env_file, &self.env)?,
                workdir: self.workdir()?,
                terminal: self.tty,
                read_only: self.read_only,
                own_network: self.network == Network::None,
                ..Arguments::default()
            },
        })
    }

    fn workdir(&self) -> Result<Option<String>> {
        match &self.workdir {
            Some(path) if !path.starts_with('/') => {
                Err(Refusal::new(format!("the working directory `{path}` is not an absolute path")).into())
            }
            path => Ok(path.clone()),
        }
    }

    fn mounts(&self) -> Result<Vec<Mount>> {
        let volumes = self.volume.iter().map(|text| volume(text));
        let mounts = self.mount.iter().map(|text| mount(text));
        let tmpfs = self.tmpfs.iter().map(|text| Ok(parse_tmpfs(text)?));
        let mounts: Vec<Mount> = volumes.chain(mounts).chain(tmpfs).collect::<Result<_>>()?;
        for (index, mount) in mounts.iter().enumerate() {
            if mounts.iter().skip(index + 1).any(|other| other.destination == mount.destination) {
                bail!(Refusal::new(format!("duplicate mount point: `{}`", mount.destination.display())));
            }
        }
        Ok(mounts)
    }
}

/// The variables of files, one a line, and of `-e`.
pub(super) fn environment(files: &[PathBuf], given: &[String]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read the env file `{}`", file.display()))?;
        let entries = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.extend(entries.map(str::to_owned));
    }
    lines.extend(given.iter().cloned());
    lines.into_iter().filter_map(|entry| variable(entry).transpose()).collect()
}

/// `NAME` alone takes the caller's value, and nothing when the caller has none.
fn variable(entry: String) -> Result<Option<String>> {
    let (name, value) = entry.split_once('=').map_or((entry.as_str(), None), |(name, value)| (name, Some(value)));
    if name.is_empty() || name.contains(char::is_whitespace) {
        bail!(Refusal::new(format!("`{entry}` is no environment variable")).help("write NAME=VALUE"));
    }
    match value {
        Some(_) => Ok(Some(entry)),
        None => Ok(std::env::var(name).ok().map(|value| format!("{name}={value}"))),
    }
}

/// As docker's: a directory that is not there is made.
fn volume(text: &str) -> Result<Mount> {
    let source = text.split(':').next().unwrap_or_default();
    if !source.starts_with(['/', '.']) && text.contains(':') {
        let what = format!("named volumes such as `{source}` are not there yet");
        bail!(Refusal::new(what).help("give a directory of the host, as an absolute path"));
    }
    let absolute = std::path::absolute(source).context("the volume's directory")?;
    let rest = text.get(source.len()..).unwrap_or_default();
    let mount = parse_volume(&format!("{}{rest}", absolute.display()))?;
    if !mount.source.exists() {
        fs::create_dir_all(&mount.source)
            .with_context(|| format!("cannot make the volume `{}`", mount.source.display()))?;
    }
    Ok(mount)
}

/// `--mount type=bind,src=/a,dst=/b,readonly`. Source: docker's reference, "Bind mounts", "tmpfs mounts".
fn mount(text: &str) -> Result<Mount> {
    let refused = |why: &str| {
        Refusal::new(format!("`--mount {text}`: {why}")).help("write type=bind|tmpfs,src=…,dst=…[,readonly]")
    };
    let (mut kind, mut source, mut destination, mut options) = ("bind", None, None, Vec::new());
    for field in text.split(',') {
        match field.split_once('=').unwrap_or((field, "")) {
            ("type", value) => kind = value,
            ("src" | "source", value) => source = Some(value),
            ("dst" | "destination" | "target", value) => destination = Some(value),
            ("readonly" | "ro", "" | "true" | "1") => options.push("ro".to_owned()),
            ("readonly" | "ro", "false" | "0") => {}
            ("bind-propagation", value) => options.push(value.to_owned()),
            ("tmpfs-size", value) => options.push(format!("size={value}")),
            ("tmpfs-mode", value) => options.push(format!("mode={value}")),
            ("", _) => bail!(refused("a field is empty")),
            (other, _) => bail!(refused(&format!("`{other}` is unknown"))),
        }
    }
    let destination = destination.ok_or_else(|| refused("`dst` is missing"))?;
    match (kind, source) {
        ("bind", Some(source)) if Path::new(source).is_absolute() => {
            let propagation = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "ro"];
            if let Some(wrong) = options.iter().find(|option| !propagation.contains(&option.as_str())) {
                bail!(refused(&format!("`{wrong}` does not go with a bind mount")));
            }
            Ok(parse_volume(&join_options(&format!("{source}:{destination}"), &options))?)
        }
        ("bind", _) => bail!(refused("`src` has to be an absolute path")),
        ("tmpfs", None) => Ok(parse_tmpfs(&join_options(destination, &options))?),
        ("tmpfs", Some(_)) => bail!(refused("a tmpfs has no `src`")),
        ("volume", _) => bail!(refused("named volumes are not there yet")),
        (other, _) => bail!(refused(&format!("the type `{other}` is unknown"))),
    }
}

fn join_options(text: &str, options: &[String]) -> String {
    if options.is_empty() { text.to_owned() } else { format!("{text}:{}", options.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_takes_dockers_words() {
        let bind = mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave").unwrap();
        assert_eq!(
            (bind.fs_type.as_str(), bind.options),
            ("bind", ["rbind", "ro", "rslave"].map(str::to_owned).to_vec())
        );
        let tmpfs = mount("type=tmpfs,target=/t,tmpfs-size=1m").unwrap();
        assert!(tmpfs.fs_type == "tmpfs" && tmpfs.options.contains(&"size=1m".to_owned()));
        for bad in
            ["type=bind,dst=/b", "src=a,dst=/b", "type=tmpfs,src=/a,dst=/t", "type=x,dst=/b", "dst=/b,colour=1", ""]
        {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_variable_needs_a_name() {
        assert_eq!(variable("A=b=c".to_owned()).unwrap(), Some("A=b=c".to_owned()));
        assert_eq!(variable("SURELY_NOT_SET_ANYWHERE".to_owned()).unwrap(), None);
        assert!(variable("=x".to_owned()).is_err() && variable("a b=x".to_owned()).is_err());
    }
}
