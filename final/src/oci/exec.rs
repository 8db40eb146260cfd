//! `exec`: the same way into a container as `tara exec`'s.

use super::bundle::{parse, wrong};
use super::check::check_process;
use super::console::send_master;
use super::create::write_pid;
use super::state::{Folder, Saved, Status};
use crate::exec::{Newcomer, Target};
use crate::launch::{Console, set_console_size};
use crate::report::Refusal;
use crate::rootless::Privilege;
use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::unistd::Pid;
use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec};
use std::collections::HashSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use step02_pid_ns::{ForwardedSignals, Running, supervise};
use sys::process::exit_code;

/// Run another program in a container.
#[derive(Debug, Args)]
pub(super) struct Exec {
    /// The process as a file, in the form of `process` in `config.json`.
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Let it run on by itself.
    #[arg(short, long)]
    detach: bool,
    /// A file that gets the number of the process.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// A unix socket that gets the master of its terminal.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// A unix socket that gets the descriptor of the process.
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// Give it a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Its working directory.
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// A variable, NAME=value.
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Its user, by number.
    #[arg(short, long, value_name = "UID[:GID]", value_parser = numbers)]
    user: Option<(u32, u32)>,
    /// More groups, by number.
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// A capability on top of the container's.
    #[arg(short, long, value_name = "NAME")]
    cap: Vec<String>,
    /// Never more privileges than it begins with.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    no_new_privs: Option<bool>,
    /// A profile of AppArmor.
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// A label of SELinux.
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// How many descriptors after 0, 1 and 2 it gets too.
    #[arg(long, value_name = "N", default_value = "0")]
    preserve_fds: u32,
    /// A cgroup below the container's; with `CONTROLLERS:` in front only there.
    #[arg(long, value_name = "PATH")]
    cgroup: Vec<String>,
    /// Also in a paused container; it runs when that goes on.
    #[arg(long)]
    ignore_paused: bool,
    /// The container.
    id: String,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    pub(super) fn run(&self, root: &Path) -> Result<u8> {
        let folder = Folder::find(root, &self.id)?;
        let saved = folder.read()?;
        self.check(&folder, &saved)?;
        let mut spec = folder.spec(&saved)?;
        self.choose_cgroup(&mut spec)?;
        let process = self.process(&spec)?;
        let terminal = process.terminal().unwrap_or(false);
        let nobody = || Refusal::new("nobody would get the terminal").help("give `--console-socket`").code(1);
        ensure!(!terminal || !self.detach || self.console_socket.is_some(), nobody());
        let attended = !self.detach;
        let signals = attended.then(ForwardedSignals::block).transpose()?;
        let target = self.target(&saved)?;
        let master = terminal.then(|| target.open_terminal()).transpose()?;
        if let Some(master) = &master {
            set_console_size(master, &process);
        }
        let console = self.console(master.as_ref(), attended)?;
        let newcomer = Newcomer {
            spec: &spec,
            process: &process,
            master: master.as_ref(),
            interactive: true,
            silent: false,
            attended,
            extra_descriptors: self.preserve_fds,
            gives_stdio: true,
        };
        let running = newcomer.join(&target)?;
        self.tell(&running)?;
        let Some(signals) = signals else { return Ok(0) };
        let status = match console {
            Some(console) => console.relay(&running, &signals)?,
            None => supervise(&running, &signals)?,
        };
        exit_code(status).context("the program did not end")
    }

    fn check(&self, folder: &Folder, saved: &Saved) -> Result<()> {
        let status = folder.status(saved);
        let refusal = |why: &str| Refusal::new(format!("cannot exec in a {why} container: `{}`", self.id)).code(1);
        ensure!(status != Status::Paused || self.ignore_paused, refusal("paused").help("`resume` it first"));
        let stopped = Refusal::new(format!("cannot exec in a stopped container: `{}` not running", self.id)).code(1);
        ensure!(!matches!(status, Status::Stopped | Status::Creating), stopped);
        Ok(())
    }

    fn target(&self, saved: &Saved) -> Result<Target> {
        let gone = || Refusal::new(format!("container `{}` not running", self.id)).code(1);
        let first = saved.process.ok_or_else(gone)?;
        let has_many_users = Privilege::of_joining().has_many_users;
        let target = Target::open(Pid::from_raw(first.host_pid), first.start_time, has_many_users)?;
        target.ok_or_else(|| gone().into())
    }

    /// To the socket, or to our own terminal.
    fn console(&self, master: Option<&OwnedFd>, attended: bool) -> Result<Option<Console>> {
        match (master, &self.console_socket) {
            (Some(master), Some(socket)) => send_master(socket, master).map(|()| None),
            (Some(master), None) if attended => Console::of(master.try_clone()?, true).map(Some),
            _ => Ok(None),
        }
    }

    fn tell(&self, running: &Running) -> Result<()> {
        if let Some(socket) = &self.pidfd_socket {
            super::console::send_descriptor(socket, running, "pidfd")?;
        }
        self.pid_file.as_deref().map_or(Ok(()), |file| write_pid(file, running.host_pid()))
    }

    /// What the file says, or the container's own process, and the options on top.
    fn process(&self, spec: &Spec) -> Result<Process> {
        let own = spec.process().clone().context("the container's configuration has no process")?;
        let mut process = match &self.process {
            Some(file) => from_file(file, &own)?,
            None => own,
        };
        if self.process.is_none() || self.tty {
            process.set_terminal(Some(self.tty));
        }
        if !self.command.is_empty() {
            process.set_args(Some(self.command.clone()));
        } else if self.process.is_none() {
            process.set_args(None);
        }
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.clone());
        }
        process.set_env(Some(with(process.env().clone().unwrap_or_default(), &self.env)));
        self.set_privileges(&mut process)?;
        check_process(&process, "process")?;
        Ok(process)
    }

    fn set_privileges(&self, process: &mut Process) -> Result<()> {
        let mut user = process.user().clone();
        if let Some((uid, gid)) = self.user {
            user.set_uid(uid).set_gid(gid);
        }
        let groups = user.additional_gids().clone().unwrap_or_default();
        user.set_additional_gids(Some([groups, self.additional_gids.clone()].concat()));
        process.set_user(user);
        if let Some(no_new_privs) = self.no_new_privs {
            process.set_no_new_privileges(Some(no_new_privs));
        }
        if let Some(profile) = &self.apparmor {
            process.set_apparmor_profile(Some(profile.clone()));
        }
        if let Some(label) = &self.process_label {
            process.set_selinux_label(Some(label.clone()));
        }
        if let (false, Some(mut sets)) = (self.cap.is_empty(), process.capabilities().clone()) {
            let more: HashSet<Capability> = self.cap.iter().map(|name| capability(name)).collect::<Result<_>>()?;
            add(&mut sets, &more);
            process.set_capabilities(Some(sets));
        }
        Ok(())
    }

    /// `--cgroup PATH`: the cgroup that is there already, below the container's.
    fn choose_cgroup(&self, spec: &mut Spec) -> Result<()> {
        let Some(given) = self.cgroup.last() else { return Ok(()) };
        let below = given.rsplit_once(':').map_or(given.as_str(), |(_, path)| path).trim_matches('/');
        let Some(mut linux) = spec.linux().clone() else { return Ok(()) };
        if let Some(path) = linux.cgroups_path().clone().filter(|_| !below.is_empty()) {
            let plain = Path::new(below).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            ensure!(plain, Refusal::new(format!("`{given}` is no cgroup below the container's")).code(1));
            let path = path.join(below);
            let there = crate::cgroup::open_at(&path)?.is_some();
            ensure!(there, Refusal::new(format!("there is no cgroup `{}`", path.display())).code(1));
            linux.set_cgroups_path(Some(path));
        }
        spec.set_linux(Some(linux));
        Ok(())
    }
}

/// What it does not say is the container's own, as in runc: a caller that leaves the capabilities out does not mean all.
fn from_file(file: &Path, own: &Process) -> Result<Process> {
    let text = fs::read(file).with_context(|| format!("read `{}`", file.display()))?;
    let mut process: Process = parse(&text, file)?;
    if process.capabilities().is_none() {
        process.set_capabilities(own.capabilities().clone());
    }
    if process.no_new_privileges().is_none() {
        process.set_no_new_privileges(own.no_new_privileges());
    }
    if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
        process.set_rlimits(own.rlimits().clone());
    }
    if process.oom_score_adj().is_none() {
        process.set_oom_score_adj(own.oom_score_adj());
    }
    Ok(process)
}

fn with(mut env: Vec<String>, more: &[String]) -> Vec<String> {
    let name = |entry: &str| entry.split_once('=').map_or(entry, |(name, _)| name).to_owned();
    env.retain(|entry| !more.iter().any(|other| name(other) == name(entry)));
    env.extend(more.iter().cloned());
    env
}

fn add(sets: &mut LinuxCapabilities, more: &HashSet<Capability>) {
    let with = |set: &Option<HashSet<Capability>>| Some(set.iter().flatten().chain(more).copied().collect());
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
}

fn capability(name: &str) -> Result<Capability> {
    let upper = name.to_uppercase();
    let unknown = || wrong("--cap", format!("`{name}` is no capability"));
    upper.strip_prefix("CAP_").unwrap_or(&upper).parse().map_err(|_| unknown().into())
}

fn numbers(text: &str) -> Result<(u32, u32), String> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number of a user or group"));
    Ok((number(uid)?, number(gid)?))
}
