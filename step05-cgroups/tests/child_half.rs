//! Step 5's child half runs under an allocator that ends whoever allocates between clone3 and execve.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::wait::WaitStatus;
use step01_chroot::{Program, Root};
use step02_pid_ns::{CloneSpec, Error, Namespaces, Running, spawn};
use step05_cgroups::{Cgroup, Hierarchy, Limits, Parent, own_namespace};
use sys::alloc::ForbiddenInChildren;
use testkit::{BUSYBOX, Host, Need};

#[global_allocator]
static ALLOCATOR: ForbiddenInChildren = ForbiddenInChildren::new();

testkit::suite! {
    the_whole_child_half_allocates_nothing: [Need::Root, BUSYBOX, Need::Machine],
    a_failing_child_half_allocates_nothing: [Need::Root, BUSYBOX],
}

fn start(host: &Host, cgroup: &Cgroup) -> Result<Running, Error> {
    let root = Root::open(&host.busybox_root("rootfs")).unwrap();
    let program = Program::new(&["true".to_owned()], &[]).unwrap();
    ALLOCATOR.watch();
    let namespaces = Namespaces::PID | Namespaces::MOUNT;
    let into_cgroup = cgroup.into_cgroup();
    spawn(&CloneSpec { namespaces, into_cgroup, dies_with_parent: true, ..CloneSpec::default() }, || {
        cgroup.enter()?;
        own_namespace()?;
        root.enter()?;
        Ok(&program)
    })
}

fn the_whole_child_half_allocates_nothing(host: &Host) {
    let parent = Parent::new(Hierarchy::find().unwrap(), Some(&host.cgroup_parent())).unwrap();
    let cgroup = Cgroup::create(&parent, "quiet", &Limits::default()).unwrap();
    let status = start(host, &cgroup).unwrap().wait().unwrap();
    cgroup.remove().unwrap();
    parent.remove().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
}

/// A cgroup of v1 that was removed before the child could join it.
fn a_failing_child_half_allocates_nothing(host: &Host) {
    let parent = Parent::new(Hierarchy::find().unwrap(), Some(&host.cgroup_parent())).unwrap();
    let cgroup = Cgroup::create(&parent, "gone", &Limits::default()).unwrap();
    cgroup.remove().unwrap();
    parent.remove().unwrap();
    let error = start(host, &cgroup).unwrap_err();
    match &error {
        Error::ChildHalf { doing, on, .. } => assert!(doing == "join the cgroup" && on.ends_with("/gone"), "{error}"),
        // v2: clone3 itself refuses.
        Error::Clone { errno: nix::errno::Errno::ENODEV, .. } => {}
        other => panic!("{other:?}"),
    }
}
