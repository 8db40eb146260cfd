//! The kernel's calls that Rust has no safe name for. All `unsafe` code of the workspace is here.
//!
//! The map:
//!
//! | module | what it holds |
//! |---|---|
//! | [`clone`] | [`clone::clone3`]; [`clone::fork`] and [`clone::exit_leaving`] for a process with one thread |
//! | [`exec`] | [`exec::execve`] on arrays made ready before, the [`exec::Execute`] trait |
//! | [`explain`] | the words beside system calls, for `tara run --explain` |
//! | [`failure`] | [`Failure`]: an error of a few words that costs no allocation |
//! | [`fd`] | `close_range`, `openat2` below a root, descriptors by number |
//! | [`memory`] | giving back what a process at rest does not need |
//! | [`mount`] | the new mount API (`fsopen` … `move_mount`), `open_tree`, `mount_setattr`, `pivot_root` |
//! | [`process`] | pidfd, wait, start times, exit codes |
//! | [`ptrace`] | following a process from system call to system call |
//! | [`signal`] | default dispositions, signals by descriptor |
//! | [`terminal`] | pseudo-terminals and the controlling terminal |
//! | [`alloc`] | for tests: an allocator that does not let a child half allocate |
//! | [`xattr`] | extended attributes, by descriptor |
//! | [`capability`] | the five sets of capabilities, bounding to ambient |
//! | [`schedule`] | schedulers and I/O priorities |
//! | [`seccomp`] | loading a filter of system calls |
//! | [`syscall`] | for tests: a system call by its number, through any entry |
//! | [`bpf`] | `bpf`: load a program, attach it to a cgroup |
//! | [`netlink`] | options of netlink sockets |
//! | [`arch`] | the one place that knows about processor architectures |
//!
//! Everything a *child half* needs (the code between clone3 and execve) is a plain system call here: no allocation, no
//! lock, no panic. See ARCHITECTURE.md, "Two halves".

#[cfg(not(target_os = "linux"))]
compile_error!(
    "tara is made of Linux kernel mechanisms (namespaces, overlayfs, cgroups) and builds only on Linux. \
     On macOS or Windows build it inside a Linux virtual machine: README.md, \"Without Linux\"."
);

// Nothing of it is compiled elsewhere, so that the message above is the only one.
#[cfg(target_os = "linux")]
pub mod alloc;
#[cfg(target_os = "linux")]
pub mod arch;
#[cfg(target_os = "linux")]
pub mod bpf;
#[cfg(target_os = "linux")]
pub mod capability;
#[cfg(target_os = "linux")]
pub mod clone;
#[cfg(target_os = "linux")]
pub mod exec;
#[cfg(target_os = "linux")]
pub mod explain;
#[cfg(target_os = "linux")]
pub mod failure;
#[cfg(target_os = "linux")]
pub mod fd;
#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
pub mod mount;
#[cfg(target_os = "linux")]
pub mod netlink;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod ptrace;
#[cfg(target_os = "linux")]
pub mod schedule;
#[cfg(target_os = "linux")]
pub mod seccomp;
#[cfg(target_os = "linux")]
pub mod signal;
#[cfg(target_os = "linux")]
pub mod syscall;
#[cfg(target_os = "linux")]
pub mod terminal;
#[cfg(target_os = "linux")]
pub mod xattr;

#[cfg(target_os = "linux")]
pub use failure::{Failure, Whilst};
#[cfg(target_os = "linux")]
pub use nix::errno::Errno;
