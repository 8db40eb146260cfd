//! PID 1 for a program that was not written to be one.
//!
//! The kernel gives PID 1 two duties: orphans become its children, and a signal without a handler does not end it. A shell
//! or a database does neither well. This init stands in its place, starts the program as PID 2, passes signals on, reaps
//! whatever ends, and ends as the program ended. Sources: pid_namespaces(7), "The namespace init process"; kill(2), "NOTES".

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use crate::report::{Channel, Report};
use crate::spawn::{become_program, clone_child};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, setpgid, tcsetpgrp};
use std::convert::Infallible;
use sys::clone::CloneArgs;
use sys::exec::Execute;
use sys::process::{exit_code, exit_now};
use sys::{Failure, fd};

/// Becomes the init; the program runs under it. Child half.
// ANCHOR: init
pub(crate) fn run(parent: &Channel, program: &dyn Execute) -> Infallible {
    // The init is never replaced by execve, so close-on-exec does not help it: what it holds open, everybody inside could
    // reach through /proc/1/fd. Before the program is there to look; the channel it needs until then is a socket, and a
    // socket cannot be opened through /proc.
    if let Err(errno) = parent.close_others() {
        give_up(parent, errno);
    }
    // From here on nothing is delivered: signals are taken one by one by sigwait. Blocked before the clone, so that none is
    // lost between the clone and the first wait.
    let started = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)
        .and_then(|()| clone_child(&CloneArgs::default(), || be_program(parent, program)));
    match started {
        // The channel too, or its end would never come; the program's own copy closes on execve.
        Ok((pid, _pidfd)) => match fd::close_from_and(3, pid, reap_until_the_end) {
            Err(errno) => give_up(parent, errno),
        },
        Err(errno) => give_up(parent, errno),
    }
}
// ANCHOR_END: init

fn give_up(parent: &Channel, errno: Errno) -> Infallible {
    let failure = Failure { doing: "start the program under an init of its own", on: b"", errno };
    let _nobody_reads = parent.report(Report::ChildHalf(failure));
    exit_now(125)
}

fn be_program(parent: &Channel, program: &dyn Execute) -> Infallible {
    // A job of its own in the foreground of the terminal, so that ctrl-C reaches it and not its init. Both calls fail where
    // there is no terminal, and then nothing is lost. SIGTTOU, which tcsetpgrp may send, is still blocked here.
    let _no_job_control = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let _no_terminal = tcsetpgrp(fd::standard_input(), getpid());
    match sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None) {
        Ok(()) => become_program(parent, program),
        Err(errno) => give_up(parent, errno),
    }
}

/// Passes every signal on to the program; reaps orphans; ends as the program ends, and the kernel ends the rest.
// ANCHOR: reap
fn reap_until_the_end(program: Pid) -> Infallible {
    // ANCHOR: task4_loop
    loop {
        match SigSet::all().wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(program) {
                    exit_now(code);
                }
            }
            // The program may have ended already; then SIGCHLD comes next.
            Ok(signal) => drop(kill(program, signal)),
            Err(_) => {}
        }
    }
    // ANCHOR_END: task4_loop
}

/// Reaps all that have ended: several ends may come as one SIGCHLD. `Some` is the program's exit code.
fn reap(program: Pid) -> Option<u8> {
    // ANCHOR: task4_reap
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) if status.pid() == Some(program) => ended = ended.or(exit_code(status)),
            Ok(WaitStatus::StillAlive) | Err(_) => return ended,
            Ok(_) => {}
        }
    }
    // ANCHOR_END: task4_reap
}
// ANCHOR_END: reap
