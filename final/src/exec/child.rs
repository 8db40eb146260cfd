//! The child half of `exec`: into the container, and down to the privileges of the program.
//!
//! System calls only, on what [`super::newcomer`] has laid out: no allocation, no lock, no panic.

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use super::newcomer::Joining;
use crate::launch::own_stdio;
use nix::errno::Errno;
use nix::sched::setns;
use nix::sys::prctl::set_dumpable;
use nix::unistd::{chdir, setsid};
use std::os::fd::{AsFd, BorrowedFd};
use step02_pid_ns::die_with_parent;
use sys::exec::Execute;
use sys::terminal::make_controlling;
use sys::{Failure, Whilst, fd};

/// The child half.
pub(super) fn enter<'p>(joining: &'p Joining<'_>) -> Result<&'p dyn Execute, Failure<'p>> {
    // The container's root sees this process before execve. It must not reach the engine's descriptors and its program
    // through /proc (CVE-2019-5736, CVE-2024-21626); execve makes it an ordinary process again.
    set_dumpable(false).whilst("hide from the container", c"")?;
    // Before the namespaces are the container's: the files of the cgroup are opened in ours, its /proc is not to be trusted, and in a
    // user namespace of its own nobody may do these.
    if let Some(cgroup) = &joining.cgroup {
        cgroup.enter()?;
    }
    joining.settings.enter()?;
    joining.limits.enter()?;
    joining.attributes.enter_early()?;
    joining.attributes.enter()?;
    setns(&joining.target.pidfd, joining.target.namespaces).whilst("enter the namespaces of the container", c"")?;
    setsid().whilst("begin a session", c"")?;
    match (&joining.terminal, &joining.no_input) {
        (Some(terminal), _) => attach(terminal.as_fd())?,
        (None, Some(nothing)) => {
            for number in 0..=(if joining.silent { 2 } else { 0 }) {
                fd::dup_onto(nothing.as_fd(), number).whilst("make standard input or output of", c"/dev/null")?;
            }
        }
        (None, None) => {}
    }
    chdir(joining.workdir.as_c_str()).whilst("change into the working directory", &joining.workdir)?;
    if sys::process::working_directory_is_inside() != Ok(true) {
        return Err(Errno::EACCES).whilst("stay inside with the working directory", &joining.workdir);
    }
    if let Some(user) = joining.owner_of_stdio {
        own_stdio(user)?;
    }
    joining.privileges.become_user()?;
    // The change of user has undone both; and the filter may forbid them.
    if joining.attended {
        die_with_parent()?;
    }
    set_dumpable(false).whilst("hide from the container", c"")?;
    joining.privileges.confine()?;
    Ok(&joining.program)
}

fn attach(terminal: BorrowedFd<'_>) -> Result<(), Failure<'static>> {
    make_controlling(terminal).whilst("make the controlling terminal of", c"the new terminal")?;
    for number in 0..=2 {
        fd::dup_onto(terminal, number).whilst("make standard input and output of", c"the new terminal")?;
    }
    Ok(())
}
