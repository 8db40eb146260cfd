//! The child half of `tara run`: the order of the calls is the lesson, so it is written out.
//!
//! System calls only, on what [`super::prepare`] has laid out: no allocation, no lock, no panic.

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use super::Prepared;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_dumpable;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chdir, setsid, write};
use std::os::fd::AsFd;
use step02_pid_ns::{Namespaces, die_with_parent};
use step03_mount_overlay::{Root, make_private, make_read_only, pivot_root};
use step04_net_bridge::loopback_up;
use step05_cgroups::own_namespace;
use sys::exec::Execute;
use sys::{Failure, Whilst, fd, process};

/// What the new process does between clone3 and execve.
// ANCHOR: enter
pub(super) fn enter<'p>(prepared: &'p Prepared, root: &'p dyn Root) -> Result<&'p dyn Execute, Failure<'p>> {
    // ANCHOR: task1_order
    // First, so that all that follows is counted. Its namespace before the mounts, which show it.
    if let Some(cgroup) = &prepared.cgroup {
        cgroup.enter()?;
    }
    if prepared.user_map.is_some() {
        be_root_inside()?;
    }
    if prepared.own_cgroups {
        own_namespace()?;
    }
    if let Some(offsets) = &prepared.own_time {
        own_time(offsets)?;
    }
    session(prepared)?;
    network(prepared)?;
    for (namespace, kind) in &prepared.joined {
        setns(namespace, *kind).whilst("enter a namespace of", c"another container")?;
    }
    if let Some(hostname) = &prepared.hostname {
        hostname.set()?;
    }
    prepared.attributes.enter_early()?;
    // While /proc/sys of our namespaces can still be reached as root, and through a procfs of our own.
    prepared.settings.enter()?;
    make_private()?;
    root.attach()?;
    prepared.mounts.enter(root.as_fd())?;
    prepared.masked.enter(root.as_fd())?;
    if prepared.read_only {
        make_read_only(root.as_fd())?;
    }
    if let Some(barrier) = &prepared.barrier {
        barrier.wait()?;
    }
    pivot_root(root.as_fd())?;
    prepared.attributes.enter()?;
    prepared.limits.enter()?;
    working_directory(prepared)?;
    if prepared.program.gate.is_some() {
        own_stdio(prepared.uid)?;
    }
    if let Some(network) = &prepared.network {
        // Made on the other processor while all of the above was done here.
        network.wait()?;
    }
    prepared.privileges.become_user()?;
    // The change of user has undone it, and the filter may forbid it.
    if prepared.dies_with_parent {
        die_with_parent()?;
    }
    // From here on there is no way back to what root can do.
    match &prepared.listener {
        Some(listener) => prepared.privileges.confine_and(|filter| listener.offer(filter.load_with_listener()?))?,
        None => prepared.privileges.confine()?,
    }
    prepared.program.check()?;
    if prepared.program.gate.is_some() {
        // While it waits others may be in its namespaces: they must not reach this program through /proc (CVE-2019-5736).
        set_dumpable(false).whilst("hide from the container", c"")?;
    }
    Ok(&prepared.program)
    // ANCHOR_END: task1_order
}
// ANCHOR_END: enter

/// A session of its own, so that no terminal of the host is its controlling terminal: it could type into that one (TIOCSTI).
fn session(prepared: &Prepared) -> Result<(), Failure<'_>> {
    // ANCHOR: task2_session
    setsid().whilst("begin a session", c"")?;
    if let Some(terminal) = &prepared.terminal {
        return terminal.enter();
    }
    for (number, given) in (0..).zip(&prepared.stdio) {
        if let Some(given) = given {
            fd::dup_onto(given.as_fd(), number).whilst("make standard input or output of", c"a pipe")?;
        }
    }
    Ok(())
    // ANCHOR_END: task2_session
}

/// Root of a new user namespace: until then this is nobody there, and what it made would be nobody's.
fn be_root_inside() -> Result<(), Failure<'static>> {
    process::set_gid(Gid::from_raw(0)).whilst("become the group 0 of", c"the user namespace")?;
    process::set_uid(Uid::from_raw(0)).whilst("become the user 0 of", c"the user namespace")?;
    // Else /proc/self would be the host's root's. Nobody else is in these namespaces yet.
    set_dumpable(true).whilst("own", c"/proc/self")
}

/// A time namespace: offsets can be set as long as nobody is in it, and execve goes into it. Source: time_namespaces(7).
fn own_time(offsets: &[u8]) -> Result<(), Failure<'static>> {
    const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);
    unshare(CLONE_NEWTIME).whilst("make", c"a time namespace")?;
    if !offsets.is_empty() {
        let file = open(c"/proc/self/timens_offsets", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
        file.and_then(|file| write(file, offsets)).whilst("set the offsets of", c"the time namespace")?;
    }
    let made = open(c"/proc/self/ns/time_for_children", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    made.and_then(|made| setns(made, CLONE_NEWTIME)).whilst("enter", c"the time namespace")
}

/// Standard input and output of the host belong to whoever started us: the program may open its own again by `/proc/self/fd/1`, so
/// they become its user's, as runc does.
pub(crate) fn own_stdio(user: Uid) -> Result<(), Failure<'static>> {
    for number in 0..=2 {
        match fd::give_to(number, user) {
            // One that is closed; what cannot have an owner or has one of another namespace.
            Ok(()) | Err(Errno::EBADF | Errno::EPERM | Errno::EINVAL | Errno::EROFS) => {}
            Err(errno) => return Err(errno).whilst("give to its user", c"standard input or output"),
        }
    }
    Ok(())
}

fn network(prepared: &Prepared) -> Result<(), Failure<'_>> {
    match &prepared.network {
        Some(ready) => ready.enter(),
        None if prepared.namespaces.contains(Namespaces::NETWORK) => loopback_up(),
        None => Ok(()),
    }
}

fn working_directory(prepared: &Prepared) -> Result<(), Failure<'_>> {
    // ANCHOR: task3_inside
    let path = prepared.workdir.as_c_str();
    chdir(path).whilst("change into the working directory", path)?;
    // A directory that cannot be named from the root is one of the host's (CVE-2024-21626).
    match process::working_directory_is_inside() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Errno::EACCES),
        Err(errno) => Err(errno),
    }
    .whilst("stay inside with the working directory", path)
    // ANCHOR_END: task3_inside
}
