//! Following another process from system call to system call. Source: ptrace(2).

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::ptr;

/// Where a traced thread has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Before a call.
    Entry {
        /// Which.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// After a call: its result, or a negative errno.
    Exit(i64),
    /// Elsewhere.
    Other,
}

/// Asks to be traced by the parent, from the next execve on.
///
/// # Errors
/// EPERM when somebody traces it already.
pub fn trace_me() -> nix::Result<()> {
    request(libc::PTRACE_TRACEME, Pid::from_raw(0), 0, 0)
}

/// Follows the threads and children of a stopped process as well; all of them are killed when the tracer dies.
///
/// # Errors
/// ESRCH when it is not stopped, or not traced by us.
pub fn follow_children(pid: Pid) -> nix::Result<()> {
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SETOPTIONS, pid, 0, usize::try_from(options).map_err(|_| Errno::EINVAL)?)
}

/// Lets a stopped thread go on, to the next system call; it gets `signal`.
///
/// # Errors
/// As [`follow_children`].
pub fn go_on(pid: Pid, signal: Option<Signal>) -> nix::Result<()> {
    request(libc::PTRACE_SYSCALL, pid, 0, signal.map_or(0, |signal| signal as usize))
}

/// Lets a stopped thread go on by itself.
///
/// # Errors
/// As [`follow_children`].
pub fn let_go(pid: Pid) -> nix::Result<()> {
    request(libc::PTRACE_DETACH, pid, 0, 0)
}

/// The thread or process that a stopped one has just made.
///
/// # Errors
/// As [`follow_children`].
pub fn new_child(pid: Pid) -> nix::Result<Pid> {
    let mut child: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, pid, 0, ptr::from_mut(&mut child) as usize)?;
    Ok(Pid::from_raw(libc::pid_t::try_from(child).map_err(|_| Errno::ESRCH)?))
}

/// Which call a stopped thread is at. Linux 5.3.
///
/// # Errors
/// As [`follow_children`].
pub fn stop(pid: Pid) -> nix::Result<Stop> {
    // SAFETY: the structure is integers, for which all zeroes is a value.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GET_SYSCALL_INFO, pid, size_of_val(&info), ptr::from_mut(&mut info) as usize)?;
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: `op` says that the kernel has filled in this member.
            let entry = unsafe { info.u.entry };
            Stop::Entry { number: entry.nr, arguments: entry.args }
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => {
            // SAFETY: as above.
            let exit = unsafe { info.u.exit };
            Stop::Exit(exit.sval)
        }
        _ => Stop::Other,
    })
}

fn request(what: libc::c_uint, pid: Pid, address: usize, data: usize) -> nix::Result<()> {
    // SAFETY: of the requests above two write to `data`, which names a live value of the size that the kernel expects there.
    let result = unsafe { libc::ptrace(what, pid.as_raw(), address, data) };
    Errno::result(result).map(drop)
}
