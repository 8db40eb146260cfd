//! One clone3, the child half, the report, execve.

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use crate::report::{Channel, Message, Report};
use crate::{Error, Namespaces, Running, UserMap, init};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::convert::Infallible;
use std::os::fd::{BorrowedFd, OwnedFd};
use sys::clone::{CloneArgs, Cloned, clone3};
use sys::exec::Execute;
use sys::process::{ExitOnDrop, exit_now};
use sys::{Failure, Whilst, fd, signal};

/// What the new process is born with.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneSpec<'a> {
    /// The namespaces made anew.
    pub namespaces: Namespaces,
    /// Which users exist inside; needed with [`Namespaces::USER`].
    pub user_map: Option<&'a UserMap>,
    /// The cgroup (v2) it is born in.
    pub into_cgroup: Option<BorrowedFd<'a>>,
    /// Whether an init of our own is PID 1, and the program PID 2.
    pub init: bool,
    /// Whether it is killed when its parent dies ([`die_with_parent`]).
    pub dies_with_parent: bool,
    /// Whether the program is executed later, by [`Execute::execute`] waiting for something: then [`spawn()`] returns when all
    /// is prepared, and nobody hears of what comes after.
    pub executes_later: bool,
    /// How many descriptors after 0, 1 and 2 the program gets too.
    pub extra_descriptors: u32,
}

/// Makes a process, lets it do `child_half`, and returns once it has become the program that `child_half` names.
///
/// `child_half` runs between clone3 and execve: system calls only, on data prepared before; no allocation, no lock, no
/// panic. What it borrows (`'p`) has to be there before the call. Signals have their default actions there, none is blocked.
///
/// # Errors
/// [`Error::Clone`] and what comes before it; [`Error::ChildHalf`] with the call that failed, [`Error::Execute`] when execve
/// refused, [`Error::Died`] when the child ended without a word. The child is gone then, and waited for.
// ANCHOR: spawn
pub fn spawn<'p>(
    spec: &CloneSpec<'_>,
    child_half: impl FnOnce() -> Result<&'p dyn Execute, Failure<'p>>,
) -> Result<Running, Error> {
    spawn_and(spec, child_half, |_| ())
}

/// As [`spawn()`], and `meanwhile` runs in the parent as soon as there is a child: work that the child does not wait for is
/// done on the other processor. It gets the child's PID.
///
/// # Errors
/// As [`spawn()`].
pub fn spawn_and<'p>(
    spec: &CloneSpec<'_>,
    child_half: impl FnOnce() -> Result<&'p dyn Execute, Failure<'p>>,
    meanwhile: impl FnOnce(Pid),
) -> Result<Running, Error> {
    let (ours, theirs) = Channel::pair().map_err(Error::Channel)?;
    let args = CloneArgs { flags: spec.namespaces.flags(), into_cgroup: spec.into_cgroup };
    let (host_pid, pidfd) = clone_child(&args, || be_the_child(spec, &theirs, &ours, child_half))
        .map_err(|errno| Error::clone(spec.namespaces, errno))?;
    let running = Running::new(host_pid, pidfd);
    // Only the child may hold its end now, or the end of file would never come.
    drop(theirs);
    match follow(spec, &ours, host_pid, meanwhile) {
        Ok(()) => Ok(running),
        Err(error) => Err(running.after_failure(error)),
    }
}
// ANCHOR_END: spawn

/// Parent: gives the child its users, then reads its reports until the program runs.
fn follow(spec: &CloneSpec<'_>, child: &Channel, host_pid: Pid, meanwhile: impl FnOnce(Pid)) -> Result<(), Error> {
    // ANCHOR: task3_follow
    if let Some(map) = spec.user_map {
        map.write(host_pid)?;
        // EPIPE: the child is dead already; how it died is what the report, or its absence, says.
        child.go().or_else(|errno| if errno == Errno::EPIPE { Ok(()) } else { Err(Error::Channel(errno)) })?;
    }
    meanwhile(host_pid);
    if !spec.executes_later {
        child.wait_for_the_end().map_err(Error::Channel)?;
    }
    let mut ready = false;
    while let Some(received) = child.receive().map_err(Error::Channel)? {
        match received.message() {
            Message::Ready if spec.executes_later => return Ok(()),
            Message::Ready => ready = true,
            Message::ChildHalf(words) => return Err(Error::child_half(words)),
            Message::Execute(words) => return Err(Error::execute(words)),
            Message::Unknown => return Err(Error::Channel(Errno::EBADMSG)),
        }
    }
    if ready { Ok(()) } else { Err(Error::Died(None)) }
    // ANCHOR_END: task3_follow
}

/// The one unsafe call outside of `crates/sys`: `child` is what the child does, and it never comes back.
pub(crate) fn clone_child(args: &CloneArgs<'_>, child: impl FnOnce() -> Infallible) -> nix::Result<(Pid, OwnedFd)> {
    #[allow(unsafe_code, reason = "clone3's contract is what `child_half` promises: DESIGN of this module")]
    // SAFETY: the child goes straight into `child`, which makes system calls only (its modules deny what allocates, and a
    // test runs it under an allocator that aborts); the guard ends the process where a panic would unwind out of it.
    match unsafe { clone3(args)? } {
        Cloned::Parent { host_pid, pidfd } => Ok((host_pid, pidfd)),
        Cloned::Child => {
            let _no_way_back = ExitOnDrop;
            #[allow(unreachable_code, reason = "`match` on what never comes")]
            match child() {}
        }
    }
}

// ---- from here on: the child; system calls only --------------------------------------------------------------------

fn be_the_child<'p>(
    spec: &CloneSpec<'_>,
    parent: &Channel,
    parents_end: &Channel,
    child_half: impl FnOnce() -> Result<&'p dyn Execute, Failure<'p>>,
) -> Infallible {
    match prepare(spec, parent, parents_end, child_half) {
        Err(failure) => {
            let _nobody_reads = parent.report(Report::ChildHalf(failure));
            exit_now(125)
        }
        Ok(program) => {
            // EPIPE: the parent is dead. What it was asked for is not wanted any more.
            if parent.report(Report::Ready).is_err() {
                exit_now(125);
            }
            if spec.init { init::run(parent, program) } else { become_program(parent, program) }
        }
    }
}

/// execve, or the reason why not.
pub(crate) fn become_program(parent: &Channel, program: &dyn Execute) -> Infallible {
    let failure = program.execute();
    let _nobody_reads = parent.report(Report::Execute(failure));
    exit_now(if failure.errno == Errno::ENOENT { 127 } else { 126 })
}

/// Asks the kernel to kill this process when its parent dies. [`spawn()`] does it for [`CloneSpec::dies_with_parent`]; a child half
/// that changes its user has to do it again, because the kernel forgets it then. Source: PR_SET_PDEATHSIG(2const).
///
/// # Errors
/// None that the manual knows of.
pub fn die_with_parent() -> Result<(), Failure<'static>> {
    set_pdeathsig(Signal::SIGKILL).whilst("ask to die with the parent", c"")
}

// ANCHOR: child
fn prepare<'p>(
    spec: &CloneSpec<'_>,
    parent: &Channel,
    parents_end: &Channel,
    child_half: impl FnOnce() -> Result<&'p dyn Execute, Failure<'p>>,
) -> Result<&'p dyn Execute, Failure<'p>> {
    // ANCHOR: task2_prepare
    // A copy of the parent's end would keep the channel open when the parent dies.
    parents_end.close_copy().whilst("close the parent's end of the report", c"")?;
    // What is ignored or blocked would stay so across execve, and Rust ignores SIGPIPE.
    signal::reset_all().whilst("reset the signals", c"")?;
    if spec.user_map.is_some() && !parent.wait_for_go() {
        exit_now(125);
    }
    // Only 0, 1 and 2 go to the program. Marked, not closed: the report's channel has to live until execve. Before the child
    // half, whose filter of system calls may forbid it; what that opens is close-on-exec by itself.
    fd::cloexec_from(3 + spec.extra_descriptors).whilst("mark the descriptors close-on-exec", c"")?;
    if spec.dies_with_parent {
        // A parent that died before this line is seen by the report: EPIPE.
        die_with_parent()?;
    }
    child_half()
    // ANCHOR_END: task2_prepare
}
// ANCHOR_END: child
