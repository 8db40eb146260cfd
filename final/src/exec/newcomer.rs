//! A process that joins a container: what it needs, laid out by the host half.

use super::child::enter;
use super::target::Target;
use crate::cgroup;
use crate::launch::{Attributes, limits, oom_score, privileges_of_exec};
use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::unistd::Uid;
use oci_spec::runtime::{Process, Spec};
use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use step01_chroot::{Error as ProgramError, Program};
use step02_pid_ns::{CloneSpec, Error, Running, spawn};
use step05_cgroups::Cgroup;
use step06_capabilities::{Limits, Privileges, ProcSettings};
use sys::Failure;
use sys::terminal::open_peer;

/// A process that joins a container.
pub(crate) struct Newcomer<'a> {
    /// The container's.
    pub(crate) spec: &'a Spec,
    /// What it is, whole: nothing of the container's first process is added.
    pub(crate) process: &'a Process,
    /// Its terminal, where it has one.
    pub(crate) master: Option<&'a OwnedFd>,
    /// Whether it gets our standard input.
    pub(crate) interactive: bool,
    /// Whether nobody gets its output.
    pub(crate) silent: bool,
    /// Whether somebody stays with it: then it ends with them.
    pub(crate) attended: bool,
    /// How many descriptors after 0, 1 and 2 it gets too.
    pub(crate) extra_descriptors: u32,
    /// Whether what 0, 1 and 2 are becomes its user's.
    pub(crate) gives_stdio: bool,
}

/// Everything the child half uses.
pub(super) struct Joining<'a> {
    pub(super) target: &'a Target,
    pub(super) terminal: Option<OwnedFd>,
    pub(super) no_input: Option<OwnedFd>,
    /// Whether its output goes there too.
    pub(super) silent: bool,
    pub(super) workdir: CString,
    /// The container's share of the machine is its share too.
    pub(super) cgroup: Option<Cgroup>,
    pub(super) settings: ProcSettings,
    pub(super) attributes: Attributes,
    pub(super) limits: Limits,
    pub(super) privileges: Privileges,
    pub(super) attended: bool,
    /// Who gets what 0, 1 and 2 are.
    pub(super) owner_of_stdio: Option<Uid>,
    pub(super) program: Program,
}

impl Newcomer<'_> {
    /// Makes it. Children of the calling process are born in the container's PID namespace from then on.
    ///
    /// # Errors
    /// What keeps it from running; execve's refusal is [`step01_chroot::Error`].
    pub(crate) fn join(&self, target: &Target) -> Result<Running> {
        let process = self.process;
        let joining = Joining {
            target,
            terminal: self.master.map(open_peer).transpose().context("open the device of the terminal")?,
            no_input: (!self.interactive && self.master.is_none()).then(nothing).transpose()?,
            silent: self.silent,
            workdir: CString::new(process.cwd().as_os_str().as_encoded_bytes()).context("the working directory")?,
            cgroup: cgroup::open(self.spec)?,
            settings: oom_score(process)?,
            attributes: Attributes::of_exec(process)?,
            limits: limits(process)?,
            privileges: privileges_of_exec(self.spec, process, target.may_set_groups)?,
            attended: self.attended,
            // A new terminal belongs to whoever opened it, outside.
            owner_of_stdio: (self.gives_stdio || self.master.is_some()).then(|| Uid::from_raw(process.user().uid())),
            program: Program::new(
                process.args().as_deref().unwrap_or_default(),
                process.env().as_deref().unwrap_or_default(),
            )?,
        };
        setns(&target.pidfd, CloneFlags::CLONE_NEWPID).context("enter the PID namespace of the container")?;
        let clone = CloneSpec {
            into_cgroup: joining.cgroup.as_ref().and_then(Cgroup::into_cgroup),
            dies_with_parent: self.attended,
            extra_descriptors: self.extra_descriptors,
            ..CloneSpec::default()
        };
        spawn(&clone, || enter(&joining)).map_err(|error| explain(error, target.root()))
    }
}

fn nothing() -> Result<OwnedFd> {
    open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).context("open `/dev/null`")
}

fn explain(error: Error, root: BorrowedFd<'_>) -> anyhow::Error {
    match &error {
        Error::Execute { doing, on, errno } => {
            ProgramError::of_execute(&Failure { doing, on: on.as_bytes(), errno: *errno }, root).into()
        }
        _ => error.into(),
    }
}
