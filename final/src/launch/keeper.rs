//! Somebody who holds a terminal when the person at it has gone: without its master, its program would be hung up on.
//!
//! `exec -it` has no monitor. So before it joins the container, where a child of it would be the container's too, it makes a
//! process that waits; and when the detach keys are typed, that one keeps the master open, and empties it, until the last
//! program closes the terminal.

use anyhow::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read, setsid, write};
use std::convert::Infallible;
use std::io::{stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use sys::fd::{close_from_and, dup_onto};
use sys::process::exit_now;

/// The process that waits. It ends when this is dropped, or whoever has it is killed.
#[derive(Debug)]
pub(crate) struct Keeper {
    word: OwnedFd,
}

impl Keeper {
    /// Makes it, for the terminal with this master.
    ///
    /// # Errors
    /// fork(2).
    pub(crate) fn prepare(master: &OwnedFd) -> Result<Self> {
        let (waiting, word) = pipe2(OFlag::O_CLOEXEC).context("make a pipe for who keeps the terminal")?;
        sys::clone::fork(|| wait_alone(&waiting, master)).context("start the process that keeps the terminal")?;
        Ok(Self { word })
    }

    /// The terminal is its from here on.
    ///
    /// # Errors
    /// write(2).
    pub(crate) fn take_over(self) -> Result<()> {
        write(&self.word, b"k").map(drop).context("hand over the terminal")
    }
}

/// Nothing of its parent's stays open but the two, as 0 and 1.
fn wait_alone(waiting: &OwnedFd, master: &OwnedFd) -> u8 {
    let _leads_one_already = setsid();
    let Ok(nothing) = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) else { return 1 };
    let own = [waiting.as_fd(), master.as_fd(), nothing.as_fd()];
    let moved = (0..).zip(own).try_for_each(|(number, fd)| dup_onto(fd, number));
    u8::from(moved.and_then(|()| close_from_and(3, &(), keep)).is_err())
}

fn keep((): &'static ()) -> Infallible {
    let mut buffer = [0; 4096];
    // The end of the pipe without a word: nobody has detached.
    if let Ok(1..) = read(stdin(), &mut buffer) {
        let (input, output) = (stdout(), PollFlags::POLLIN);
        let wait = || poll(&mut [PollFd::new(input.as_fd(), output)], PollTimeout::NONE).is_ok();
        // EIO: the last program has closed the terminal.
        while wait() && matches!(read(stdout(), &mut buffer), Ok(1..)) {}
    }
    exit_now(0)
}
