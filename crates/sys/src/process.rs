//! Processes by descriptor, their end, and the exit code a shell would show.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens the process `pid` as a descriptor. Check its start time ([`start_time`]) when the number was stored: pids are reused.
///
/// # Errors
/// ESRCH when there is no such process; ENOSYS before Linux 5.3. Source: pidfd_open(2).
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: integers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0 as libc::c_uint) };
    let fd = libc::c_int::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends the signal number `signal` to the process that `pidfd` is. Source: pidfd_send_signal(2).
///
/// # Errors
/// ESRCH when it has been waited for; EPERM.
pub fn pidfd_send(pidfd: impl AsFd, signal: i32) -> nix::Result<()> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a descriptor that lives over the call, integers, and a null siginfo, which means "as kill(2) would".
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, info, 0 as libc::c_uint)
    };
    Errno::result(result).map(drop)
}

/// A copy of the descriptor `number` of the process that `pidfd` is. Source: pidfd_getfd(2).
///
/// # Errors
/// EBADF when it has no such descriptor; EPERM without the right to trace it; ENOSYS before Linux 5.6.
pub fn pidfd_getfd(pidfd: impl AsFd, number: i32) -> nix::Result<OwnedFd> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: a descriptor that lives over the call, and integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, number, 0 as libc::c_uint) };
    let fd = libc::c_int::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until the process that `pidfd` is has ended, and reaps it. Source: waitid(2), P_PIDFD.
///
/// # Errors
/// ECHILD when it is no child of the caller.
pub fn wait(pidfd: BorrowedFd<'_>) -> nix::Result<WaitStatus> {
    loop {
        match nix::sys::wait::waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// The exit code a shell shows for an ended process: its own, or 128 and the signal's number; `None` if it has not ended.
#[must_use]
pub fn exit_code(status: WaitStatus) -> Option<u8> {
    match status {
        WaitStatus::Exited(_, code) => u8::try_from(code & 0xff).ok(),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal_number(signal)),
        _ => None,
    }
}

fn signal_number(signal: Signal) -> u8 {
    u8::try_from(signal as i32).expect("signal numbers are below 128")
}

/// When the process started, in clock ticks since boot: with the pid it names a process for good.
///
/// # Errors
/// ESRCH (or ENOENT) when there is no such process. Source: proc_pid_stat(5), field 22.
pub fn start_time(pid: Pid) -> std::io::Result<u64> {
    // More than it ever is, so that one call reads it.
    let mut stat = [0; 1024];
    let length = std::fs::File::open(format!("/proc/{pid}/stat"))?.read(&mut stat)?;
    let stat = String::from_utf8_lossy(stat.get(..length).unwrap_or_default());
    parse_start_time(&stat).ok_or_else(|| std::io::Error::other(format!("/proc/{pid}/stat has no start time")))
}

/// Field 22 of a `stat` line; the command in field 2 is in parentheses and may itself hold spaces and parentheses.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_command) = stat.rsplit_once(')')?;
    after_command.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Gives the calling process a new, empty keyring for its session, in the place of its parent's.
///
/// # Errors
/// ENOSYS in a kernel without keys, EDQUOT when the user has too many. Source: keyctl(2), KEYCTL_JOIN_SESSION_KEYRING.
pub fn join_new_keyring() -> nix::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    const ANONYMOUS: *const libc::c_char = std::ptr::null();
    // SAFETY: an integer and the null pointer that means a keyring without a name.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ANONYMOUS) };
    match Errno::result(result) {
        // Without keys there is nothing to keep from anybody; a filter that hides the call keeps them as well.
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        result => result.map(drop),
    }
}

/// Sets the NIS domain name of the UTS namespace.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN, EINVAL above 64 bytes. Source: setdomainname(2).
pub fn set_domainname(name: &std::ffi::CStr) -> nix::Result<()> {
    // SAFETY: the string and its length belong together and live over the call.
    let result = unsafe { libc::setdomainname(name.as_ptr(), name.count_bytes()) };
    Errno::result(result).map(drop)
}

/// The kind of namespace behind a descriptor of `/proc/<pid>/ns/…`, as the flag of clone that makes one.
///
/// # Errors
/// ENOTTY when it is no namespace. Source: NS_GET_NSTYPE(2const).
pub fn namespace_kind(namespace: impl AsFd) -> nix::Result<i32> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: an ioctl on a descriptor that lives over the call; it takes no argument.
    let kind = unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
    Errno::result(kind)
}

/// Makes the calling thread, for good, the user `uid` and group `gid` in the eyes of file systems, without the loss of
/// capabilities that goes with a change of user. Sources: setfsuid(2); capabilities(7), SECBIT_NO_SETUID_FIXUP.
///
/// # Errors
/// EPERM without CAP_SETPCAP.
pub fn be_file_user(uid: nix::unistd::Uid, gid: nix::unistd::Gid) -> nix::Result<()> {
    const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: integers only.
    let result = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) };
    Errno::result(result)?;
    nix::unistd::setfsgid(gid);
    nix::unistd::setfsuid(uid);
    Ok(())
}

/// Fills `bytes` with random ones. Source: getrandom(2).
///
/// # Errors
/// ENOSYS before Linux 3.17; with up to 256 bytes nothing else.
pub fn random(bytes: &mut [u8]) -> nix::Result<()> {
    // SAFETY: the kernel writes at most `bytes.len()` bytes to `bytes`.
    let filled = Errno::result(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })?;
    if usize::try_from(filled) == Ok(bytes.len()) { Ok(()) } else { Err(Errno::EIO) }
}

/// Whether the working directory can be named from the root: false for one that was left outside, which the kernel calls
/// `(unreachable)/…`. Source: getcwd(2), "NOTES".
///
/// # Errors
/// ENOENT for a directory that was removed.
pub fn working_directory_is_inside() -> nix::Result<bool> {
    let mut path = [0u8; 4096];
    // The system call and not libc's getcwd, which allocates or looks around by itself.
    // SAFETY: the kernel writes at most `path.len()` bytes to `path`.
    Errno::result(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })?;
    Ok(path.first() == Some(&b'/'))
}

/// Ends this process at once: no destructors, no buffers flushed, no exit handlers. Source: _exit(2).
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit never returns and touches no memory of ours.
    unsafe { libc::_exit(code.into()) }
}

/// Ends the process when it is dropped: a panic that unwinds out of a child half must not run on in the parent's frames.
#[derive(Debug)]
pub struct ExitOnDrop;

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        exit_now(125)
    }
}

#[cfg(target_pointer_width = "64")]
const SET_USERS: [libc::c_long; 3] = [libc::SYS_setgroups, libc::SYS_setresgid, libc::SYS_setresuid];
/// Without the `32` their arguments have 16 bits.
#[cfg(target_pointer_width = "32")]
const SET_USERS: [libc::c_long; 3] = [libc::SYS_setgroups32, libc::SYS_setresgid32, libc::SYS_setresuid32];

/// Sets the supplementary groups of the calling thread by the system call itself.
///
/// The C library's function of this name does it for all threads: it takes the lock of their list, and waits for each. In a
/// child that was cloned beside threads, those do not exist, and it waits for ever. (Credentials belong to a thread, for the kernel:
/// credentials(7), "NOTES".) The same goes for [`set_gid`] and [`set_uid`].
///
/// # Errors
/// EPERM without CAP_SETGID.
pub fn set_groups(groups: &[nix::unistd::Gid]) -> nix::Result<()> {
    // SAFETY: `Gid` is a transparent `gid_t`; the kernel reads `len` of them.
    let result = unsafe { libc::syscall(SET_USERS[0], groups.len(), groups.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Sets the real, effective and saved group of the calling thread.
///
/// # Errors
/// EPERM without CAP_SETGID, EINVAL for one that is not in the map of the user namespace.
pub fn set_gid(gid: nix::unistd::Gid) -> nix::Result<()> {
    let gid = gid.as_raw();
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(SET_USERS[1], gid, gid, gid) };
    Errno::result(result).map(drop)
}

/// Sets the real, effective and saved user of the calling thread.
///
/// # Errors
/// EPERM without CAP_SETUID, EINVAL for one that is not in the map of the user namespace.
pub fn set_uid(uid: nix::unistd::Uid) -> nix::Result<()> {
    let uid = uid.as_raw();
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(SET_USERS[2], uid, uid, uid) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_survives_a_hostile_command_name() {
        let stat = "7 (a) S 1 (b)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 10";
        assert_eq!(parse_start_time(stat), Some(4242));
    }

    #[test]
    fn exit_code_is_the_programs_own_or_128_and_the_signal() {
        let pid = Pid::from_raw(1);
        assert_eq!(exit_code(WaitStatus::Exited(pid, 7)), Some(7));
        assert_eq!(exit_code(WaitStatus::Signaled(pid, Signal::SIGTERM, false)), Some(143));
        assert_eq!(exit_code(WaitStatus::StillAlive), None);
    }
}
