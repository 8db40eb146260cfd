//! Descriptors for the caller: the master of a terminal, the first process. Source: runc, docs/terminals.md, "Detached".

use super::create::has_terminal;
use crate::report::Refusal;
use anyhow::{Context, Result, ensure};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use oci_spec::runtime::Spec;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use step03_mount_overlay::Terminal;

/// A terminal that nobody would show is refused, and a socket for one that there is not.
pub(super) fn check(spec: &Spec, socket: Option<&Path>, attended: bool) -> Result<()> {
    let wanted = has_terminal(spec);
    let refused = |what: &str, help: &str| Refusal::new(what).help(help).code(1);
    let nobody = || refused("process.terminal is set, and nobody would get the terminal", "give `--console-socket`");
    let nothing = || refused("`--console-socket` was given, and process.terminal is not set", "leave it out");
    ensure!(!wanted || attended || socket.is_some(), nobody());
    ensure!(wanted || socket.is_none(), nothing());
    Ok(())
}

/// Sends the master of a terminal, with the name of its device.
pub(super) fn send(socket: &Path, terminal: &Terminal) -> Result<()> {
    send_master(socket, terminal.master())
}

/// The same for a master alone.
pub(super) fn send_master(socket: &Path, master: impl AsFd) -> Result<()> {
    send_descriptor(socket, master, "/dev/pts/ptmx")
}

/// Sends a descriptor with a word.
pub(super) fn send_descriptor(socket: &Path, descriptor: impl AsFd, word: &str) -> Result<()> {
    let context = || format!("send a descriptor to `{}`", socket.display());
    let stream = UnixStream::connect(socket).with_context(context)?;
    let descriptors = [descriptor.as_fd().as_raw_fd()];
    let control = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(word.as_bytes())], &control, MsgFlags::MSG_NOSIGNAL, None)
        .with_context(context)
        .map(drop)
}
