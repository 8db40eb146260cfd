//! `tara`'s whole child half under an allocator that ends whoever allocates between clone3 and execve. Without root the fake host
//! is a user namespace, and that way is tested.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::remove_parent;
use oci_spec::image::Config;
use std::path::PathBuf;
use step03_mount_overlay::{parse_tmpfs, parse_volume};
use step07_images::Source;
use sys::alloc::ForbiddenInChildren;
use tara::engine::{Engine, RunRequest};
use tara::report;
use tara::spec::Arguments;
use testkit::{BUSYBOX, Host, Need};

#[global_allocator]
static ALLOCATOR: ForbiddenInChildren = ForbiddenInChildren::new();

testkit::suite! {
    the_child_half_allocates_nothing: [BUSYBOX],
    nor_with_a_terminal: [BUSYBOX],
    nor_with_an_init: [BUSYBOX],
    nor_with_everything: [Need::Root, BUSYBOX],
    nor_with_the_hosts_network: [BUSYBOX],
    nor_when_a_call_fails: [BUSYBOX],
    nor_when_execve_fails: [BUSYBOX],
    the_guard_sees_a_child_that_allocates: [],
}

/// An engine with the image `box`.
fn engine(host: &Host) -> Engine {
    let engine = Engine::open(Some(&host.path("tara-root")), Some(&host.path("tara-run"))).unwrap();
    let root = host.busybox_root("box");
    engine.store().import(Source::Path(&root), Some(&"box".parse().unwrap()), Config::default()).unwrap();
    engine
}

fn request(command: &[&str]) -> RunRequest {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let arguments = Arguments { command, own_network: true, ..Arguments::default() };
    RunRequest { image: "box".to_owned(), auto_remove: true, arguments, ..RunRequest::default() }
}

/// Runs it with the guard armed; an error is what the user would read.
fn run(host: &Host, request: &RunRequest) -> Result<u8, String> {
    let engine = engine(host);
    let mut request = request.clone();
    request.arguments.cgroup_parent = Some(host.cgroup_parent());
    ALLOCATOR.watch();
    let ended = engine.run(&request).map(|finished| finished.code).map_err(|error| report::text(&error));
    remove_parent(host);
    ended
}

fn exit(code: u8) -> RunRequest {
    request(&["sh", "-c", &format!("exit {code}")])
}

fn the_child_half_allocates_nothing(host: &Host) {
    assert_eq!(run(host, &exit(7)), Ok(7));
}

fn nor_with_a_terminal(host: &Host) {
    for init in [false, true] {
        let mut request = request(&["sh", "-c", "test -t 0 && test -t 1 && exit 8"]);
        (request.arguments.terminal, request.init) = (true, init);
        assert_eq!(run(host, &request), Ok(8), "init: {init}");
    }
}

fn nor_with_an_init(host: &Host) {
    assert_eq!(run(host, &RunRequest { init: true, ..exit(9) }), Ok(9));
}

fn everything(command: &[&str]) -> RunRequest {
    let mut request = request(command);
    request.mounts = vec![
        parse_volume("/etc:/etc/of/the/host:ro").unwrap(),
        parse_volume("/run/testkit/box:/data").unwrap(),
        parse_tmpfs("/some/new/place:size=1m").unwrap(),
    ];
    (request.user, request.hostname) = (Some("5:7".to_owned()), Some("quiet".to_owned()));
    (request.init, request.interactive) = (true, true);
    (request.arguments.read_only, request.arguments.workdir) = (true, Some("/very/new".to_owned()));
    request.arguments.env = vec!["A=1".to_owned()];
    request
}

fn nor_with_everything(host: &Host) {
    let script = "[ $(id -u):$(id -g):$(hostname):$PWD:$A = 5:7:quiet:/very/new:1 ] && ! touch /x && exit 10";
    assert_eq!(run(host, &everything(&["sh", "-c", script])), Ok(10));
}

fn nor_with_the_hosts_network(host: &Host) {
    let mut request = exit(11);
    request.arguments.own_network = false;
    assert_eq!(run(host, &request), Ok(11));
}

/// In the middle of the child half, near its beginning, near its end.
fn nor_when_a_call_fails(host: &Host) {
    let mut on_a_file = exit(0);
    on_a_file.mounts = vec![parse_volume("/etc:/bin/busybox/x").unwrap()];
    let mut outside = exit(0);
    outside.arguments.workdir = Some("/etc/passwd".to_owned());
    for (mut request, named) in [(on_a_file, "`/bin/busybox/x`: not a directory"), (outside, "`/etc/passwd`")] {
        for init in [false, true] {
            request.init = init;
            let text = run(host, &request).unwrap_err();
            assert!(text.contains(named), "{text}");
        }
    }
}

fn nor_when_execve_fails(host: &Host) {
    for (program, why) in [("no-such-program", "was not found"), ("/etc/passwd", "permission denied (EACCES)")] {
        for init in [false, true] {
            let text = run(host, &RunRequest { init, ..request(&[program]) }).unwrap_err();
            assert!(text.contains(why), "{text}");
        }
    }
}

fn the_guard_sees_a_child_that_allocates(_host: &Host) {
    use step01_chroot::Program;
    let program = Program::new(&["true".to_owned()], &[]).unwrap();
    ALLOCATOR.watch();
    let result = step02_pid_ns::spawn(&step02_pid_ns::CloneSpec::default(), || {
        drop(std::hint::black_box(PathBuf::from("allocated")));
        Ok(&program as &dyn sys::exec::Execute)
    });
    let error = result.unwrap_err().to_string();
    assert!(error.contains("ended before it became the program"), "{error}");
}
