//! Filters of system calls. Source: seccomp(2); the kernel's Documentation/userspace-api/seccomp_filter.rst.

use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// One instruction of classic BPF: `code`, the jumps `jt` and `jf`, the constant `k`. Source: linux/filter.h.
pub use libc::sock_filter as Instruction;

/// The most instructions that a filter may have (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// What a filter returns for a call, before the 16 bits of data. Source: linux/seccomp.h, `SECCOMP_RET_*`.
pub mod answer {
    /// The process is killed, as by SIGSYS.
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    /// The thread is killed.
    pub const KILL_THREAD: u32 = 0;
    /// The thread gets SIGSYS; the data is in `si_errno`.
    pub const TRAP: u32 = 0x0003_0000;
    /// The call fails with the data as its errno.
    pub const ERRNO: u32 = 0x0005_0000;
    /// A listener decides; without one the call fails with ENOSYS.
    pub const NOTIFY: u32 = 0x7fc0_0000;
    /// A tracer decides; without one the call fails with ENOSYS.
    pub const TRACE: u32 = 0x7ff0_0000;
    /// The call is logged and made.
    pub const LOG: u32 = 0x7ffc_0000;
    /// The call is made.
    pub const ALLOW: u32 = 0x7fff_0000;
}

/// Flags of [`load`]. Source: seccomp(2), `SECCOMP_FILTER_FLAG_*`.
pub mod flag {
    /// Log every answer but ALLOW.
    pub const LOG: u32 = 2;
    /// Leave the mitigation of speculative store bypass off, as for any other process.
    pub const SPEC_ALLOW: u32 = 4;
}

/// Loads a filter into the calling thread, for good; its children and what it executes inherit it.
///
/// # Errors
/// EACCES without no_new_privs and without CAP_SYS_ADMIN; EINVAL for a program that the kernel's checker refuses, or a flag
/// it does not know; ENOMEM when all filters together are too large.
pub fn load(program: &[Instruction], flags: u32) -> nix::Result<()> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` names `length` instructions that live over the call; the kernel copies them and writes nothing.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    Errno::result(result).map(drop)
}

/// The same, and gives the descriptor by which a listener hears of the calls that are answered [`answer::NOTIFY`]. Source: seccomp_unotify(2).
///
/// # Errors
/// As [`load`]; EBUSY when there is a listener already.
pub fn load_with_listener(program: &[Instruction], flags: u32) -> nix::Result<OwnedFd> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let flags = flags | u32::try_from(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).map_err(|_| Errno::EINVAL)?;
    // SAFETY: as in `load`.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let fd = libc::c_int::try_from(Errno::result(result)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
