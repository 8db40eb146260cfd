//! New processes: `clone3`, and `fork` where it is safe.

use nix::errno::Errno;
use nix::unistd::Pid;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What [`clone3`] is asked for. Source: clone(2), `struct clone_args`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneArgs<'a> {
    /// `CLONE_NEW*` and other flags; `CLONE_PIDFD` and `SIGCHLD` are added by [`clone3`].
    pub flags: u64,
    /// The cgroup (v2) the child is born in: a descriptor of its directory.
    pub into_cgroup: Option<BorrowedFd<'a>>,
}

/// Who is who after [`clone3`].
#[derive(Debug)]
pub enum Cloned {
    /// The caller: the child's PID in the caller's PID namespace, and a descriptor that names the process for good.
    Parent {
        /// The child's PID as the caller sees it.
        host_pid: Pid,
        /// The child itself: signals and waits through it never hit another process.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Makes a child process in new namespaces by one `clone3`.
///
/// Memory is copied on write, as after fork: the child sees all that the parent had prepared, at the same addresses.
///
/// # Errors
/// clone(2): EPERM without the privilege for a namespace, ENOSPC or EUSERS at a limit, EINVAL on an unknown flag,
/// ENOSYS before Linux 5.3. Where a filter hides the call and no flag is asked for, it is done by `clone`.
///
/// # Safety
/// In the child, until execve or `_exit`, only async-signal-safe work may be done: no allocation, no lock, no unwinding
/// out of the caller's frame. The other threads of the parent do not exist there, but the locks they held do.
pub unsafe fn clone3(args: &CloneArgs<'_>) -> nix::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes is the documented "not asked for".
    let mut raw: libc::clone_args = unsafe { std::mem::zeroed() };
    raw.flags = args.flags | libc::CLONE_PIDFD as u64;
    raw.exit_signal = libc::SIGCHLD as u64;
    raw.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    if let Some(cgroup) = args.into_cgroup {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        raw.flags |= CLONE_INTO_CGROUP;
        raw.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    }
    // SAFETY: `raw` and `pidfd` outlive the call; no stack is given and CLONE_VM is not set, so the child runs on its
    // own copy of this stack, as after fork.
    let mut result = unsafe { libc::syscall(libc::SYS_clone3, &raw, size_of::<libc::clone_args>()) };
    if args.flags == 0 && args.into_cgroup.is_none() && result == -1 && Errno::last() == Errno::ENOSYS {
        // Under docker's filter of system calls: it cannot see what clone3's structure asks for, so it hides the call. clone shows
        // its flags. Its order of arguments up to the third, where the descriptor goes, is the same on all our processors.
        let flags = libc::c_ulong::try_from(libc::CLONE_PIDFD | libc::SIGCHLD).map_err(|_| Errno::EINVAL)?;
        // SAFETY: as above: `pidfd` outlives the call, no stack, no CLONE_VM.
        result =
            unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, std::ptr::from_mut(&mut pidfd), 0_usize, 0_usize) };
    }
    match Errno::result(result)? {
        0 => Ok(Cloned::Child),
        pid => {
            // SAFETY: on success with CLONE_PIDFD the kernel has put a new descriptor, owned by nobody else, here.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { host_pid: pid_of(pid), pidfd })
        }
    }
}

fn pid_of(pid: libc::c_long) -> Pid {
    Pid::from_raw(libc::pid_t::try_from(pid).expect("the kernel's pids fit pid_t"))
}

/// Makes a child by fork that runs `child` and exits with its result. Only for a process with a single thread, where
/// the child may do anything that the parent may.
///
/// # Errors
/// `EBUSY` when this process has more than one thread; fork(2) otherwise.
pub fn fork(child: impl FnOnce() -> u8) -> nix::Result<Pid> {
    if threads()? != 1 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: there is no second thread (checked above), so no lock is held by a thread that the child would not have.
    match unsafe { nix::unistd::fork()? } {
        nix::unistd::ForkResult::Parent { child } => Ok(child),
        nix::unistd::ForkResult::Child => {
            let unwinding = crate::process::ExitOnDrop;
            let code = child();
            std::mem::forget(unwinding);
            crate::process::exit_now(code)
        }
    }
}

/// Ends this process with `code` and leaves `heir` to do the rest: in a process of its own that takes over the memory as it is.
///
/// Nothing is copied, as fork does, and nothing is torn down, as a last process does it: both would cost whoever waits for the exit
/// status. The descriptors are the heir's too, standard output among them: it closes what others wait for. Where there are other
/// threads, or no new process can be had, `heir` comes first. What is buffered is for the caller to flush. Source: clone(2), `CLONE_VM`.
pub fn exit_leaving<H: FnOnce()>(code: u8, heir: H) -> ! {
    if !matches!(threads(), Ok(1)) {
        heir();
        crate::process::exit_now(code);
    }
    let heir = Box::into_raw(Box::new(heir));
    if let Ok(stack) = new_stack() {
        // Shared as well: nothing of it has to be copied, and nothing closed before the exit status is out.
        let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_FS | libc::CLONE_SIGHAND;
        // SAFETY: the stack is new, nobody else's, and never unmapped. There is no second thread (checked above), and after the call
        // this one does nothing but end: the heir has the memory, and what it borrows from our frames stays as it is. It returns
        // to no frame of ours, and where it panics, the guard in `inherit` ends it.
        if unsafe { libc::clone(inherit::<H>, stack, flags, heir.cast()) } != -1 {
            crate::process::exit_now(code);
        }
    }
    // SAFETY: nobody has taken it.
    let heir = unsafe { Box::from_raw(heir) };
    heir();
    crate::process::exit_now(code)
}

extern "C" fn inherit<H: FnOnce()>(heir: *mut libc::c_void) -> libc::c_int {
    let unwinding = crate::process::ExitOnDrop;
    // SAFETY: `exit_leaving` made it from a box and does not touch it again.
    let heir = unsafe { Box::from_raw(heir.cast::<H>()) };
    heir();
    std::mem::forget(unwinding);
    0
}

/// The upper end of a new stack, as large as a main thread's: memory is taken when it is used. Below lies a page that is nobody's.
fn new_stack() -> nix::Result<*mut libc::c_void> {
    const SIZE: usize = 8 << 20;
    const GUARD: usize = 64 << 10;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new mapping where the kernel wants it; nobody's memory is touched.
    let low = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if low == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: the lowest part of the mapping that was just made.
    Errno::result(unsafe { libc::mprotect(low, GUARD, libc::PROT_NONE) })?;
    // SAFETY: one past the end of the mapping.
    Ok(unsafe { low.byte_add(SIZE) })
}

/// How many threads this process has: /proc/self/task holds a directory for each.
fn threads() -> nix::Result<u64> {
    let task = nix::sys::stat::stat("/proc/self/task")?;
    // A directory's link count is its sub-directories and two (proc(5)).
    Ok(task.st_nlink.saturating_sub(2))
}
