//! The kernel's calls that Rust has no safe name for. All `unsafe` code of the workspace is here.
//!
//! The map:
//!
//! | module | what it holds |
//! |---|---|
//! | [`clone`] | [`clone::clone3`], and [`clone::fork`] for a process with one thread |
//! | [`exec`] | [`exec::execve`] on arrays made ready before, the [`exec::Execute`] trait |
//! | [`failure`] | [`Failure`]: an error of a few words that costs no allocation |
//! | [`fd`] | `close_range`, `openat2` below a root, descriptors by number |
//! | [`mount`] | the new mount API (`fsopen` … `move_mount`), `open_tree`, `mount_setattr`, `pivot_root` |
//! | [`netlink`] | options of netlink sockets |
//! | [`process`] | pidfd, wait, start times, exit codes |
//! | [`signal`] | default dispositions, signals by descriptor |
//! | [`terminal`] | pseudo-terminals and the controlling terminal |
//! | [`alloc`] | for tests: an allocator that does not let a child half allocate |
//! | [`xattr`] | extended attributes, by descriptor |
//! | [`arch`] | the one place that knows about processor architectures |
//!
//! Everything a *child half* needs (the code between clone3 and execve) is a plain system call here: no allocation, no
//! lock, no panic. See ARCHITECTURE.md, "Two halves".

#[cfg(not(target_os = "linux"))]
compile_error!(
    "tara is made of Linux kernel mechanisms (namespaces, overlayfs, cgroups) and builds only on Linux. \
     On macOS or Windows build it inside a Linux virtual machine: README.md, \"Without Linux\"."
);

pub mod alloc;
pub mod arch;
pub mod clone;
pub mod exec;
pub mod failure;
pub mod fd;
pub mod mount;
pub mod netlink;
pub mod process;
pub mod signal;
pub mod terminal;
pub mod xattr;

pub use failure::{Failure, Whilst};
pub use nix::errno::Errno;
