//! `step04-net-bridge run`: what a user sees.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use testkit::{BUSYBOX, Host, Need, Output};

testkit::suite! {
    the_container_has_an_address_and_a_gateway: [Need::Root, BUSYBOX],
    its_files_say_who_it_is_and_whom_to_ask: [Need::Root, BUSYBOX],
    with_none_it_has_loopback_alone: [Need::Root, BUSYBOX],
    with_host_it_sees_the_hosts_links: [Need::Root, BUSYBOX],
    a_published_port_answers: [Need::Root, BUSYBOX],
    two_at_once_reach_each_other_and_nothing_stays: [Need::Root, BUSYBOX],
    a_failed_start_leaves_nothing: [Need::Root, BUSYBOX],
    errors_say_what_to_do: [Need::Root, BUSYBOX],
    the_hosts_links_are_out_of_sight: [Need::Root, BUSYBOX],
}

const STEP: &str = env!("CARGO_BIN_EXE_step04-net-bridge");

fn step(host: &Host, options: &[&str], script: &str) -> Output {
    host.run(&mut command(host, options, script))
}

fn command(host: &Host, options: &[&str], script: &str) -> Command {
    let mut command = host.command(STEP);
    command.arg("run").args(options).arg(host.busybox_root("rootfs")).args(["sh", "-c", script]);
    command
}

/// The container once it has said its first line.
fn started(host: &Host, options: &[&str], script: &str) -> (Child, String) {
    let mut child = command(host, options, script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn up(host: &Host) {
    host.run(host.command("busybox").args(["ip", "link", "set", "lo", "up"])).ok();
}

/// The step's own folder stays, empty, as /run's folders do.
fn tidy() {
    assert_eq!(std::fs::read_dir("/run/step04-net-bridge").unwrap().count(), 0, "something is left of the network");
    std::fs::remove_dir("/run/step04-net-bridge").unwrap();
}

fn the_container_has_an_address_and_a_gateway(host: &Host) {
    let script = "ip -o -4 addr show eth0 | awk '{print $4}'; ip route | head -n 1; ping -c 1 -q 172.20.0.1 > /dev/null && echo ok";
    assert_eq!(step(host, &[], script).ok(), "172.20.0.2/16\ndefault via 172.20.0.1 dev eth0 \nok\n");
    let script = "ip -o -4 addr show eth0 | awk '{print $4}'";
    assert_eq!(step(host, &["--subnet", "10.9.0.0/24"], script).ok(), "10.9.0.2/24\n");
    tidy();
}

fn its_files_say_who_it_is_and_whom_to_ask(host: &Host) {
    let _resolv = host.replace_file("/etc/resolv.conf", "nameserver 127.0.0.1\nnameserver 192.0.2.53\nsearch lan\n");
    let output = step(host, &["--hostname", "web"], "cat /etc/resolv.conf; grep web /etc/hosts; hostname -i").ok();
    assert_eq!(output, "nameserver 192.0.2.53\nsearch lan\n172.20.0.2\tweb\n172.20.0.2\n");
    tidy();
}

fn with_none_it_has_loopback_alone(host: &Host) {
    let script = "ip -o link | cut -d: -f2; ping -c 1 -q 127.0.0.1 > /dev/null && echo ok";
    assert_eq!(step(host, &["--network", "none"], script).ok(), " lo\nok\n");
}

fn with_host_it_sees_the_hosts_links(host: &Host) {
    host.run(host.command("busybox").args(["brctl", "addbr", "canary0"])).ok();
    assert!(step(host, &["--network", "host"], "ip -o link").ok().contains("canary0"));
    host.run(host.command("busybox").args(["brctl", "delbr", "canary0"])).ok();
}

/// The attack of the step before: there the host's links are in sight.
fn the_hosts_links_are_out_of_sight(host: &Host) {
    host.run(host.command("busybox").args(["brctl", "addbr", "canary0"])).ok();
    let output = step(host, &[], "ip -o link | cut -d: -f2; ls /sys/class/net").ok();
    assert_eq!(output, " lo\n eth0@if4\neth0\nlo\n");
    host.run(host.command("busybox").args(["brctl", "delbr", "canary0"])).ok();
    tidy();
}

fn a_published_port_answers(host: &Host) {
    up(host);
    // Listening before it says so: nc says nothing, so it is looked for.
    let script = "echo hello | nc -l -p 80 & until grep -q ':0050 ' /proc/net/tcp /proc/net/tcp6; do usleep 1000; done; echo ready; wait";
    let (mut child, line) = started(host, &["-p", "127.0.0.1:8080:80"], script);
    assert_eq!(line, "ready\n");
    let mut answer = String::new();
    TcpStream::connect("127.0.0.1:8080").unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello\n");
    assert!(child.wait().unwrap().success());
    tidy();
}

fn two_at_once_reach_each_other_and_nothing_stays(host: &Host) {
    let (mut first, line) = started(host, &[], "echo up; cat");
    assert_eq!(line, "up\n");
    assert_eq!(step(host, &[], "ping -c 1 -q 172.20.0.2 > /dev/null && echo reached").ok(), "reached\n");
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    tidy();
}

fn a_failed_start_leaves_nothing(host: &Host) {
    let mut command = host.command(STEP);
    command.args(["run", "-p", "8080:80"]).arg(host.busybox_root("rootfs")).arg("no-such-program");
    assert_eq!(host.run(&mut command).code, 127);
    assert_eq!(step(host, &["-p", "8080:80", "-p", "8080:81"], "true").code, 125);
    tidy();
}

fn errors_say_what_to_do(host: &Host) {
    host.run(host.command("busybox").args(["ip", "link", "set", "lo", "up"])).ok();
    host.run(host.command("busybox").args(["brctl", "addbr", "vpn0"])).ok();
    host.run(host.command("busybox").args(["ip", "addr", "add", "10.8.0.1/24", "dev", "vpn0"])).ok();
    let output = step(host, &["--subnet", "10.0.0.0/8"], "true");
    assert_eq!(output.code, 125);
    assert_eq!(
        output.stderr,
        "error: the subnet 10.0.0.0/8 collides with this host's address 10.8.0.1/24 of `vpn0`\n  \
         help: choose one that is free with `--subnet`; `ip route` shows what is taken\n"
    );
    host.run(host.command("busybox").args(["brctl", "delbr", "vpn0"])).ok();
    let output = step(host, &["-p", "x:80"], "true");
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(output.stderr.contains("`x:80` does not say which port to publish"), "{}", output.stderr);
    std::fs::remove_dir_all("/run/step04-net-bridge").unwrap();
}
