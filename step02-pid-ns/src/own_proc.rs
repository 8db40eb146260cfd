//! A `/proc` of one's own: without it `ps` inside would show the host's processes.

use nix::mount::{MsFlags, mount};
use sys::{Failure, Whilst};

/// Mounts a new procfs on `/proc`, once the root is entered: it shows the PID namespace of whoever mounts it. Child half.
///
/// Every mount is made a slave of the host's before: on most hosts mounts are *shared*, and ours would appear there and stay.
/// The host's later mounts still come in; step 3 cuts that as well.
///
/// # Errors
/// ENOENT without a `/proc` to mount on; EPERM without CAP_SYS_ADMIN over the PID namespace. Source: proc(5).
// ANCHOR: mount_proc
pub fn mount_proc() -> Result<(), Failure<'static>> {
    // ANCHOR: task1_mount_proc
    const PATH: &std::ffi::CStr = c"/proc";
    let harmless = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(c"proc"), PATH, Some(c"proc"), harmless, None::<&std::ffi::CStr>).whilst("mount a new proc on", PATH)
    // ANCHOR_END: task1_mount_proc
}
// ANCHOR_END: mount_proc

/// Stops our mounts from appearing on the host. Child half, before the root is changed: `/` is still the host's here.
///
/// # Errors
/// EINVAL when `/` is no mount point (a chroot). Source: mount_namespaces(7), "Shared subtrees".
pub fn receive_mounts_only() -> Result<(), Failure<'static>> {
    // ANCHOR: task1_slave
    const NONE: Option<&std::ffi::CStr> = None;
    mount(NONE, c"/", NONE, MsFlags::MS_SLAVE | MsFlags::MS_REC, NONE).whilst("make a slave of every mount below", c"/")
    // ANCHOR_END: task1_slave
}
