//! bpf(2): loading a program and attaching it to a cgroup. The bytes of the program are the caller's.

use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// `BPF_PROG_TYPE_CGROUP_DEVICE`: asked by the kernel for each mknod and each open of a device.
pub const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE`: where such a program is attached.
pub const ATTACH_CGROUP_DEVICE: u32 = 6;

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
/// Programs of several cgroups on the way to the root are all asked, and all have to agree.
const F_ALLOW_MULTI: u32 = 2;

/// The first fields of `union bpf_attr` for `BPF_PROG_LOAD`. Source: include/uapi/linux/bpf.h.
#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The first fields of `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Loads a program of the given type; each instruction is the eight bytes of `struct bpf_insn`.
///
/// # Errors
/// bpf(2): EPERM without CAP_BPF (CAP_SYS_ADMIN before Linux 5.8) in the first user namespace, EINVAL or EACCES when the
/// verifier refuses, ENOSYS in a kernel without bpf.
pub fn load(prog_type: u32, instructions: &[[u8; 8]]) -> nix::Result<OwnedFd> {
    let attributes = LoadAttributes {
        prog_type,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?,
        insns: instructions.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    let (attributes, size) = (std::ptr::from_ref(&attributes), size_of::<LoadAttributes>());
    // SAFETY: `attributes` has `size` bytes, and the instructions and the licence that it points to live over the call.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, attributes, size) })?;
    let fd = libc::c_int::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor, close-on-exec; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a loaded program to the cgroup (v2) whose directory is `cgroup`. It stays when `program` is closed.
///
/// # Errors
/// bpf(2): EPERM without CAP_NET_ADMIN or CAP_SYS_ADMIN, EBADF when `cgroup` is no directory of a cgroup of version 2.
pub fn attach(program: impl AsFd, cgroup: impl AsFd, attach_type: u32) -> nix::Result<()> {
    let number = |fd: std::os::fd::BorrowedFd<'_>| u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::EBADF);
    let attributes = AttachAttributes {
        target_fd: number(cgroup.as_fd())?,
        attach_bpf_fd: number(program.as_fd())?,
        attach_type,
        attach_flags: F_ALLOW_MULTI,
    };
    let (attributes, size) = (std::ptr::from_ref(&attributes), size_of::<AttachAttributes>());
    // SAFETY: `attributes` has `size` bytes and lives over the call; the rest are integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, attributes, size) }).map(drop)
}
