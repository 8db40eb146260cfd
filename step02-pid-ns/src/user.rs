//! Users inside: which numbers of a new user namespace are which numbers outside. Source: user_namespaces(7).

use crate::spawn::{clone_child, die_with_parent};
use crate::{Error, Namespaces};
use nix::libc::SIGKILL;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid, User, getegid, geteuid};
use std::convert::Infallible;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use sys::clone::CloneArgs;
use sys::process::exit_now;

/// What is written to `uid_map` and `gid_map` of a child in a new user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserMap {
    /// Root inside is the caller outside, and there is nobody else: all that the kernel lets an ordinary user write.
    Single {
        /// The caller's user.
        uid: Uid,
        /// The caller's group.
        gid: Gid,
    },
    /// Root inside is the caller, 1 and up are the caller's subordinate numbers. Written by newuidmap(1), which is privileged.
    Full {
        /// The caller's user.
        uid: Uid,
        /// The caller's group.
        gid: Gid,
        /// The caller's range in /etc/subuid.
        sub_uids: SubIds,
        /// The caller's range in /etc/subgid.
        sub_gids: SubIds,
    },
    /// As somebody says who may: lines of three numbers, the first inside, the first outside, how many.
    Given {
        /// `uid_map`.
        uids: Vec<[u32; 3]>,
        /// `gid_map`.
        gids: Vec<[u32; 3]>,
    },
}

/// A range of subordinate user or group numbers. Source: subuid(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubIds {
    /// The first number outside.
    pub start: u32,
    /// How many there are.
    pub count: u32,
}

impl UserMap {
    /// The fullest map that the calling user can have: full where newuidmap is installed and /etc/subuid names the user.
    #[must_use]
    pub fn of_caller() -> Self {
        let (uid, gid) = (geteuid(), getegid());
        let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
        let range = |file: &str| sub_ids(&fs::read_to_string(file).ok()?, name.as_deref(), uid);
        match (range("/etc/subuid"), range("/etc/subgid"), program("newuidmap"), program("newgidmap")) {
            (Some(sub_uids), Some(sub_gids), Some(_), Some(_)) => Self::Full { uid, gid, sub_uids, sub_gids },
            _ => Self::Single { uid, gid },
        }
    }

    /// Whether numbers other than 0 exist inside.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !matches!(self, Self::Single { .. })
    }

    /// Writes the map of the process `pid`, a child in a new user namespace. Host half, from outside that namespace.
    ///
    /// # Errors
    /// [`Error::UserMap`] with the file or the program that refused.
    pub fn write(&self, pid: Pid) -> Result<(), Error> {
        match self {
            Self::Single { uid, gid } => {
                // Without "deny" an ordinary user may not write gid_map: dropping a group could open files to it
                // (user_namespaces(7), "Defining user and group ID mappings").
                write_map(pid, "setgroups", "deny")?;
                write_map(pid, "gid_map", &format!("0 {gid} 1"))?;
                write_map(pid, "uid_map", &format!("0 {uid} 1"))
            }
            Self::Full { uid, gid, sub_uids, sub_gids } => {
                run_helper("newgidmap", pid, gid.as_raw(), *sub_gids)?;
                run_helper("newuidmap", pid, uid.as_raw(), *sub_uids)
            }
            Self::Given { uids, gids } => {
                let line = |[inside, outside, count]: &[u32; 3]| format!("{inside} {outside} {count}\n");
                // One write each: the kernel takes no second one.
                write_map(pid, "gid_map", &gids.iter().map(line).collect::<String>())?;
                write_map(pid, "uid_map", &uids.iter().map(line).collect::<String>())
            }
        }
    }
}

/// Makes this process root of a user namespace of its own, with a table of mounts that this root may change: what an
/// engine does first when an ordinary user starts it. Everything after it is the same as for real root.
///
/// The map has to come from outside: a helper, forked before, writes it. Host half, single-threaded.
///
/// # Errors
/// [`Error::Clone`] where user namespaces are forbidden, [`Error::UserMap`].
pub fn become_root_inside() -> Result<UserMap, Error> {
    let map = UserMap::of_caller();
    let (mut ours, theirs) = UnixStream::pair().map_err(broken)?;
    let me = Pid::this();
    let helper = sys::clone::fork(|| write_when_told(&map, me, &theirs)).map_err(|errno| broken(errno.into()))?;
    drop(theirs);
    let refused = |errno| Error::clone(Namespaces::USER | Namespaces::MOUNT, errno);
    let unshared = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(refused);
    if unshared.is_ok() {
        ours.write_all(b"go").map_err(broken)?;
    }
    ours.shutdown(Shutdown::Write).map_err(broken)?;
    let mut complaint = String::new();
    ours.read_to_string(&mut complaint).map_err(broken)?;
    waitpid(helper, None).map_err(Error::Wait)?;
    unshared?;
    if complaint.is_empty() { Ok(map) } else { Err(broken(io::Error::other(complaint))) }
}

/// The helper: outside of the new namespace; silence means success.
fn write_when_told(map: &UserMap, pid: Pid, mut parent: &UnixStream) -> u8 {
    let mut told = String::new();
    let go = parent.read_to_string(&mut told).is_ok() && told == "go";
    if let (true, Err(error)) = (go, map.write(pid)) {
        let _parent_is_gone = write!(parent, "{error}");
        return 1;
    }
    0
}

/// A user namespace with `map` that nobody is in, for [`sys::mount::map_owners`]: a child is born in it, and ends when it is open.
/// Host half; other threads do not matter.
///
/// # Errors
/// As [`UserMap::write`]; [`Error::Clone`].
pub fn open_new(map: &UserMap) -> Result<OwnedFd, Error> {
    let us = Pid::this();
    let args = CloneArgs { flags: Namespaces::USER.flags(), into_cgroup: None };
    let (pid, pidfd) =
        clone_child(&args, || wait_to_be_killed(us)).map_err(|errno| Error::clone(Namespaces::USER, errno))?;
    let path = format!("/proc/{pid}/ns/user");
    let opened = map
        .write(pid)
        .and_then(|()| fs::File::open(&path).map(OwnedFd::from).map_err(|error| Error::UserMap { what: path, error }));
    let _ended_already = sys::process::pidfd_send(&pidfd, SIGKILL);
    sys::process::wait(pidfd.as_fd()).map_err(Error::Wait)?;
    opened
}

/// Child half.
fn wait_to_be_killed(parent: Pid) -> Infallible {
    let asked = die_with_parent();
    if asked.is_err() || Pid::parent() != parent {
        exit_now(1);
    }
    loop {
        nix::unistd::pause();
    }
}

fn broken(error: io::Error) -> Error {
    Error::UserMap { what: "a helper outside of the new user namespace".to_owned(), error }
}

fn write_map(pid: Pid, name: &str, line: &str) -> Result<(), Error> {
    let path = format!("/proc/{pid}/{name}");
    fs::write(&path, line).map_err(|error| Error::UserMap { what: path, error })
}

fn run_helper(name: &str, pid: Pid, own: u32, sub: SubIds) -> Result<(), Error> {
    let refused = |error| Error::UserMap { what: name.to_owned(), error };
    let path = program(name).ok_or_else(|| refused(io::Error::from(io::ErrorKind::NotFound)))?;
    let numbers = [pid.as_raw().cast_unsigned(), 0, own, 1, 1, sub.start, sub.count].map(|number| number.to_string());
    let output = Command::new(path).args(numbers).output().map_err(refused)?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(refused(io::Error::other(words)))
}

fn program(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/local/bin"].iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// The first range of the user in the text of /etc/subuid or /etc/subgid (`name-or-uid:start:count`).
fn sub_ids(table: &str, name: Option<&str>, uid: Uid) -> Option<SubIds> {
    let uid = uid.to_string();
    table.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        let (start, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (who == uid || Some(who) == name).then_some(SubIds { start, count })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ranges_are_found_by_name_and_by_number() {
        let table = "root:1:2\nann:100000:65536\n1001:200000:1000\nbroken:x:y\n";
        let range = |name, uid| sub_ids(table, name, Uid::from_raw(uid));
        assert_eq!(range(Some("ann"), 1000), Some(SubIds { start: 100_000, count: 65536 }));
        assert_eq!(range(None, 1001), Some(SubIds { start: 200_000, count: 1000 }));
        assert_eq!(range(Some("broken"), 7), None);
    }
}
