//! Hooks: programs of the bundle that run at stages of a container's life. Source: config.md, "POSIX-platform Hooks".

use super::bundle::wrong;
use crate::launch::Barrier;
use crate::report::Refusal;
use anyhow::{Context, Result, bail};
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use oci_spec::runtime::{Hook, Hooks};
use serde_json::Value;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use step01_chroot::Program;
use step02_pid_ns::{CloneSpec, Running, spawn};
use sys::exec::Execute;
use sys::process::exit_code;
use sys::{Failure, Whilst, fd};

/// When hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    fn of(self, hooks: &Hooks) -> &[Hook] {
        match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::CreateContainer => hooks.create_container(),
            Self::StartContainer => hooks.start_container(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        }
        .as_deref()
        .unwrap_or_default()
    }

    /// In the container's namespaces; else in ours.
    fn is_inside(self) -> bool {
        matches!(self, Self::CreateContainer | Self::StartContainer)
    }
}

/// Runs the hooks of a stage, one after the other. `pid` is the container's first process.
///
/// # Errors
/// The first hook that fails, by its field.
pub(super) fn run_hooks(hooks: Option<&Hooks>, stage: Stage, state: &Value, pid: Pid) -> Result<()> {
    let hooks = hooks.map_or(&[][..], |hooks| stage.of(hooks));
    for (index, hook) in hooks.iter().enumerate() {
        let field = format!("hooks.{}[{index}]", stage.name());
        let inside = stage.is_inside().then_some(pid);
        run_hook(hook, state, inside).with_context(|| wrong(&field, format!("`{}`", hook.path().display())))?;
    }
    Ok(())
}

/// The same for hooks that come too late to stop anything: each runs, and a failure is a complaint.
pub(super) fn run_hooks_and_complain(hooks: Option<&Hooks>, stage: Stage, state: &Value, pid: Pid) {
    for (index, hook) in hooks.map_or(&[][..], |hooks| stage.of(hooks)).iter().enumerate() {
        let inside = stage.is_inside().then_some(pid);
        if let Err(error) = run_hook(hook, state, inside) {
            let field = format!("hooks.{}[{index}]", stage.name());
            let error = error.context(wrong(&field, format!("`{}`", hook.path().display())));
            eprint!("{}", crate::report::text(&error));
        }
    }
}

fn run_hook(hook: &Hook, state: &Value, inside: Option<Pid>) -> Result<()> {
    let path = hook.path().to_str().context("the path is not UTF-8")?.to_owned();
    let mut command = hook.args().clone().unwrap_or_default();
    if command.is_empty() {
        command.push(path.clone());
    }
    let program = Program::at(&path, &command, hook.env().as_deref().unwrap_or_default())?;
    let input = input(state)?;
    let home = open("/proc/self/ns/pid", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let joined = inside.map(sys::process::pidfd_open).transpose()?;
    if let Some(container) = &joined {
        setns(container, CloneFlags::CLONE_NEWPID).context("enter the PID namespace of the container")?;
    }
    let spawned = spawn(&CloneSpec::default(), || enter(&input, joined.as_ref(), &program));
    // The next hook may be one of ours again.
    setns(home, CloneFlags::CLONE_NEWPID).context("leave the PID namespace of the container")?;
    wait(&spawned?, hook.timeout())
}

/// The child half of a hook.
fn enter<'p>(input: &File, container: Option<&OwnedFd>, program: &'p Program) -> Result<&'p dyn Execute, Failure<'p>> {
    fd::dup_onto(input, 0).whilst("make standard input of", c"the state")?;
    if let Some(container) = container {
        let all =
            CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNET;
        setns(container, all).whilst("enter the namespaces of the container", c"")?;
    }
    Ok(program)
}

/// The state as a file to read: a hook that reads nothing of it must not kill us by SIGPIPE, nor wait.
fn input(state: &Value) -> Result<File> {
    let mut file = File::from(memfd_create(c"state", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(state.to_string().as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// Waits for the hook, as long as it may take.
fn wait(hook: &Running, seconds: Option<i64>) -> Result<()> {
    let limit = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let timeout = limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
    let mut ended = [PollFd::new(hook.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ended, timeout)? == 0 {
        hook.signal(nix::libc::SIGKILL)?;
        hook.wait()?;
        bail!(Refusal::new("did not end within its timeout").code(1));
    }
    match exit_code(hook.wait()?) {
        Some(0) => Ok(()),
        Some(code) => bail!(Refusal::new(format!("exited with {code}")).code(1)),
        None => bail!("did not end"),
    }
}

/// Whether the child has to wait before pivot_root for hooks.
pub(super) fn barrier(hooks: Option<&Hooks>) -> Result<Option<Arc<Barrier>>> {
    let stages = [Stage::Prestart, Stage::CreateRuntime, Stage::CreateContainer];
    let needed = hooks.is_some_and(|hooks| stages.iter().any(|stage| !stage.of(hooks).is_empty()));
    Ok(needed.then(Barrier::new).transpose()?.map(Arc::new))
}
