//! Step 6's child half runs under an allocator that ends whoever allocates between clone3 and execve.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::wait::WaitStatus;
use std::fs::create_dir_all;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use step01_chroot::Program;
use step02_pid_ns::{CloneSpec, Error, Namespaces, Running, UserMap, spawn};
use step03_mount_overlay::{Layers, Mounts, Overlay, Setting, defaults, make_private, pivot_root};
use step06_capabilities::{
    Capabilities, Limits, MaskedPaths, Options, OwnNamespaces, Privileges, ProcSettings, Profile, Sets, User,
};
use sys::alloc::ForbiddenInChildren;
use testkit::{BUSYBOX, Host, Need};

#[global_allocator]
static ALLOCATOR: ForbiddenInChildren = ForbiddenInChildren::new();

testkit::suite! {
    the_whole_child_half_allocates_nothing: [Need::Root, BUSYBOX],
    another_user_without_new_privileges_allocates_nothing: [Need::Root, BUSYBOX],
    a_failing_child_half_allocates_nothing: [Need::Root, BUSYBOX],
    settings_are_those_of_the_container: [Need::Root, BUSYBOX],
    an_ordinary_users_container_has_the_same_sets: [],
}

struct Case<'a> {
    user: &'a str,
    no_new_privs: bool,
    sysctl: &'a str,
    script: &'a str,
}

const CASE: Case<'_> = Case { user: "", no_new_privs: false, sysctl: "kernel.msgmax=4321", script: "true" };

fn start(host: &Host, case: &Case<'_>) -> Result<Running, Error> {
    let (lower, scratch) = ([host.busybox_root("rootfs")], host.folder(&format!("scratch-{}", case.no_new_privs)));
    let (upper, work) = (scratch.join("diff"), scratch.join("work"));
    create_dir_all(&upper).unwrap();
    create_dir_all(&work).unwrap();
    let layers = Layers { lower: &lower, upper: &upper, work: &work, volatile: true, userxattr: false };
    let overlay = Overlay::prepare(&layers, &scratch).unwrap();
    let mounts = Mounts::prepare(&defaults(&Setting::default()), true, None, Path::new("/")).unwrap();
    let (mut masked, read_only) = MaskedPaths::docker();
    masked.push(PathBuf::from("/proc/no/such/path"));
    let masked = MaskedPaths::prepare(&masked, &read_only).unwrap();
    let mut limits = Limits::default();
    limits.parse("nofile=64:128").unwrap();
    let mut settings = ProcSettings::default();
    settings.sysctl(case.sysctl, OwnNamespaces { ipc: true, network: true, uts: true }).unwrap();
    settings.oom_score_adj(500).unwrap();
    let user = User::lookup(overlay.as_fd(), case.user).unwrap();
    let privileges = Privileges::new(&Options {
        sets: Sets::of_user(Capabilities::docker(), user.uid),
        user,
        may_set_groups: true,
        profile: Some(Profile::standard().unwrap()),
        no_new_privs: case.no_new_privs,
    })
    .unwrap();
    let program = Program::new(&["sh".to_owned(), "-c".to_owned(), case.script.to_owned()], &[]).unwrap();
    ALLOCATOR.watch();
    let namespaces = Namespaces::PID | Namespaces::MOUNT | Namespaces::IPC | Namespaces::NETWORK | Namespaces::UTS;
    spawn(&CloneSpec { namespaces, dies_with_parent: true, ..CloneSpec::default() }, || {
        settings.enter()?;
        make_private()?;
        overlay.attach()?;
        mounts.enter(overlay.as_fd())?;
        masked.enter(overlay.as_fd())?;
        pivot_root(overlay.as_fd())?;
        limits.enter()?;
        privileges.enter()?;
        Ok(&program)
    })
}

fn ends_well(host: &Host, case: &Case<'_>) {
    let status = start(host, case).unwrap().wait().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
}

fn the_whole_child_half_allocates_nothing(host: &Host) {
    ends_well(host, &CASE);
}

fn another_user_without_new_privileges_allocates_nothing(host: &Host) {
    ends_well(host, &Case { user: "nobody", no_new_privs: true, ..CASE });
    ends_well(host, &Case { user: "nobody", no_new_privs: false, ..CASE });
}

fn a_failing_child_half_allocates_nothing(host: &Host) {
    let error = start(host, &Case { sysctl: "net.no.such=1", ..CASE }).unwrap_err();
    let expected = "write the setting `sys/net/no/such`: no such file or directory (ENOENT)";
    assert_eq!(error.to_string(), expected);
}

fn settings_are_those_of_the_container(host: &Host) {
    let before = std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    let script = "[ $(cat /proc/sys/kernel/msgmax) = 4321 ] && [ $(cat /proc/self/oom_score_adj) = 500 ] && [ $(ulimit -n) = 64 ]";
    ends_well(host, &Case { script, ..CASE });
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
}

/// In a user namespace: every capability is there, over the namespace alone, and a map of one user lets nobody set groups.
fn an_ordinary_users_container_has_the_same_sets(_host: &Host) {
    for (no_new_privs, expected) in [(false, "0"), (true, "1")] {
        let user = User::lookup(std::fs::File::open("/proc/self").unwrap().as_fd(), "0").unwrap();
        let privileges = Privileges::new(&Options {
            sets: Sets::of_user(Capabilities::docker(), user.uid),
            user,
            may_set_groups: false,
            profile: Some(Profile::standard().unwrap()),
            no_new_privs,
        })
        .unwrap();
        let lines =
            format!("CapEff:.00000000a80425fb CapBnd:.00000000a80425fb CapInh:.0* Seccomp:.2 NoNewPrivs:.{expected}");
        let script = format!("for line in {lines}; do grep -q \"^$line$\" /proc/self/status || exit 1; done");
        let path = "PATH=/usr/bin:/bin".to_owned();
        let program = Program::new(&["sh".to_owned(), "-fc".to_owned(), script], &[path]).unwrap();
        let map = UserMap::Single { uid: nix::unistd::geteuid(), gid: nix::unistd::getegid() };
        ALLOCATOR.watch();
        let spec = CloneSpec { namespaces: Namespaces::USER, user_map: Some(&map), ..CloneSpec::default() };
        let running = spawn(&spec, || {
            privileges.enter()?;
            Ok(&program)
        });
        let status = running.unwrap().wait().unwrap();
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    }
}
