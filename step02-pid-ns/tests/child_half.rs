//! The child half runs under an allocator that ends whoever allocates between clone3 and execve.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::wait::WaitStatus;
use step01_chroot::{Program, Root};
use step02_pid_ns::{CloneSpec, Error, Hostname, Namespaces, Running, mount_proc, receive_mounts_only, spawn};
use sys::alloc::ForbiddenInChildren;
use sys::exec::Execute;
use testkit::{BUSYBOX, Host, Need};

#[global_allocator]
static ALLOCATOR: ForbiddenInChildren = ForbiddenInChildren::new();

testkit::suite! {
    the_whole_child_half_allocates_nothing: [Need::Root, BUSYBOX],
    the_init_allocates_nothing: [Need::Root, BUSYBOX],
    a_failing_child_half_allocates_nothing: [Need::Root, BUSYBOX],
    the_guard_itself_works: [Need::Root],
}

fn all() -> Namespaces {
    Namespaces::PID | Namespaces::MOUNT | Namespaces::UTS | Namespaces::IPC
}

fn start(host: &Host, command: &[&str], init: bool) -> Result<Running, Error> {
    let root = Root::open(&host.busybox_root("rootfs")).unwrap();
    let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let program = Program::new(&words, &[]).unwrap();
    let hostname = Hostname::new("quiet").unwrap();
    ALLOCATOR.watch();
    spawn(&CloneSpec { namespaces: all(), init, dies_with_parent: true, ..CloneSpec::default() }, || {
        hostname.set()?;
        receive_mounts_only()?;
        root.enter()?;
        mount_proc()?;
        Ok(&program)
    })
}

fn exit_code(running: &Running) -> i32 {
    match running.wait().unwrap() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

fn the_whole_child_half_allocates_nothing(host: &Host) {
    assert_eq!(exit_code(&start(host, &["sh", "-c", "exit 7"], false).unwrap()), 7);
}

fn the_init_allocates_nothing(host: &Host) {
    assert_eq!(exit_code(&start(host, &["sh", "-c", "(true &); exit 8"], true).unwrap()), 8);
}

fn a_failing_child_half_allocates_nothing(host: &Host) {
    for init in [false, true] {
        let error = start(host, &["no-such-program"], init).unwrap_err();
        assert!(matches!(&error, Error::Execute { doing, .. } if doing == "find"), "{error}");
    }
}

fn the_guard_itself_works(_host: &Host) {
    let program = Program::new(&["true".to_owned()], &[]).unwrap();
    ALLOCATOR.watch();
    let spec = CloneSpec::default();
    let error = spawn(&spec, || {
        let forbidden = vec![std::hint::black_box(0u8); 4096];
        drop(std::hint::black_box(forbidden));
        Ok(&program as &dyn Execute)
    });
    assert!(matches!(&error, Err(Error::Died(Some(WaitStatus::Exited(_, 99))))), "{error:?}");
}
