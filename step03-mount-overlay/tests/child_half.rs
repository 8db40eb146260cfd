//! Step 3's child half runs under an allocator that ends whoever allocates between clone3 and execve.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::wait::WaitStatus;
use std::fs::create_dir_all;
use std::os::fd::AsFd;
use step01_chroot::Program;
use step02_pid_ns::{CloneSpec, Error, Namespaces, Running, spawn};
use step03_mount_overlay::{
    Layers, Mounts, Overlay, Setting, defaults, make_private, make_read_only, parse_tmpfs, parse_volume, pivot_root,
};
use sys::alloc::ForbiddenInChildren;
use testkit::{BUSYBOX, Host, Need};

#[global_allocator]
static ALLOCATOR: ForbiddenInChildren = ForbiddenInChildren::new();

testkit::suite! {
    the_whole_child_half_allocates_nothing: [Need::Root, BUSYBOX],
    a_failing_child_half_allocates_nothing: [Need::Root, BUSYBOX],
}

fn start(host: &Host, volume: &str) -> Result<Running, Error> {
    let (lower, scratch) = ([host.busybox_root("rootfs")], host.folder("scratch"));
    let (upper, work) = (scratch.join("diff"), scratch.join("work"));
    create_dir_all(&upper).unwrap();
    create_dir_all(&work).unwrap();
    let layers = Layers { lower: &lower, upper: &upper, work: &work, volatile: true, userxattr: false };
    let overlay = Overlay::prepare(&layers, &scratch).unwrap();
    let mut list = defaults(&Setting { own_network: false, ..Setting::default() });
    list.push(parse_volume(volume).unwrap());
    list.push(parse_tmpfs("/some/new/place").unwrap());
    let mounts = Mounts::prepare(&list, true, None, std::path::Path::new("/a/working/directory")).unwrap();
    let program = Program::new(&["true".to_owned()], &[]).unwrap();
    ALLOCATOR.watch();
    let namespaces = Namespaces::PID | Namespaces::MOUNT;
    spawn(&CloneSpec { namespaces, dies_with_parent: true, ..CloneSpec::default() }, || {
        make_private()?;
        overlay.attach()?;
        mounts.enter(overlay.as_fd())?;
        make_read_only(overlay.as_fd())?;
        pivot_root(overlay.as_fd())?;
        Ok(&program)
    })
}

fn the_whole_child_half_allocates_nothing(host: &Host) {
    let status = start(host, "/etc:/etc/of/the/host:ro").unwrap().wait().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
}

fn a_failing_child_half_allocates_nothing(host: &Host) {
    let error = start(host, "/etc:/bin/busybox/in/a/file").unwrap_err();
    assert!(matches!(&error, Error::ChildHalf { on, .. } if on == "/bin/busybox/in/a/file"), "{error}");
}
