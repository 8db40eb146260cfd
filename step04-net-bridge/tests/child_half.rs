//! Step 4's child half runs under an allocator that ends whoever allocates between clone3 and execve.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::wait::WaitStatus;
use step01_chroot::Program;
use step02_pid_ns::{CloneSpec, Error, Namespaces, Running, spawn};
use step04_net_bridge::{Connecting, Error as NetworkError, Networks, Request, Settings, loopback_up};
use sys::alloc::ForbiddenInChildren;
use testkit::{BUSYBOX, Host, Need};

#[global_allocator]
static ALLOCATOR: ForbiddenInChildren = ForbiddenInChildren::new();

testkit::suite! {
    the_whole_child_half_allocates_nothing: [Need::Root, BUSYBOX],
    loopback_alone_allocates_nothing: [Need::Root],
    a_network_that_fails_ends_the_child_and_says_why: [Need::Root],
}

fn shell(script: &str) -> Program {
    Program::new(&["sh".to_owned(), "-c".to_owned(), script.to_owned()], &[]).unwrap()
}

fn exit_code(running: &Running) -> i32 {
    match running.wait().unwrap() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

fn begin(host: &Host, ports: &[&str]) -> Connecting {
    let networks = Networks::open(&host.path("networks")).unwrap();
    let request = Request { id: "0123456789ab".to_owned(), ..Request::default() };
    let ports = ports.iter().map(|port| port.parse().unwrap()).collect();
    Connecting::begin(networks, Settings::default_network(), request, ports).unwrap()
}

fn end(host: &Host) {
    let networks = Networks::open(&host.path("networks")).unwrap();
    networks.reclaim("0123456789ab").unwrap();
    networks.remove("bridge").unwrap();
}

fn the_whole_child_half_allocates_nothing(host: &Host) {
    let program = shell("busybox ping -c 1 -W 1 -q 172.20.0.1");
    let wired = begin(host, &["8080:80"]).netns().unwrap();
    ALLOCATOR.watch();
    let running = spawn(&CloneSpec::default(), || {
        wired.enter()?;
        wired.wait()?;
        Ok(&program)
    })
    .unwrap();
    let endpoint = wired.finish().unwrap();
    assert_eq!(exit_code(&running), 0);
    endpoint.unpublish().unwrap();
    end(host);
}

fn loopback_alone_allocates_nothing(_host: &Host) {
    let program = shell("grep -q lo: /proc/net/dev");
    ALLOCATOR.watch();
    let spec = CloneSpec { namespaces: Namespaces::NETWORK, ..CloneSpec::default() };
    let running = spawn(&spec, || {
        loopback_up()?;
        Ok(&program)
    });
    assert_eq!(exit_code(&running.unwrap()), 0);
}

fn a_network_that_fails_ends_the_child_and_says_why(host: &Host) {
    let busy = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
    let program = shell("true");
    let wired = begin(host, &["8080:80"]).netns().unwrap();
    ALLOCATOR.watch();
    let error = spawn(&CloneSpec::default(), || {
        wired.enter()?;
        wired.wait()?;
        Ok(&program)
    })
    .unwrap_err();
    assert!(matches!(&error, Error::ChildHalf { doing, .. } if doing == "wait for the network"), "{error}");
    let cause = wired.finish().unwrap_err();
    assert!(matches!(cause, NetworkError::PortInUse { .. }), "{cause}");
    drop(busy);
    end(host);
}
