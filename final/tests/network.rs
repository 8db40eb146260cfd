//! The network of real containers: who reaches whom, by which name and port, and what of it stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::docker::{DOCKERD, Docker};
use common::{Engine, error};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Stdio};
use std::time::Duration;
use step04_net_bridge::Netns;
use testkit::{BUSYBOX, Host, Need, until};

const NFT: Need = Need::Program("nft", "nftables");
const IP: Need = Need::Program("ip", "iproute2");
const IPTABLES: Need = Need::Program("iptables", "iptables");
const PASTA: Need = Need::Program("pasta", "passt");
const SLIRP: Need = Need::Program("slirp4netns", "slirp4netns");
const MINUTES: Need = Need::Time(Duration::from_secs(180));

testkit::suite! {
    containers_and_the_host_reach_each_other: [Need::Root, BUSYBOX],
    networks_are_apart: [Need::Root, BUSYBOX],
    the_outside_is_reached_by_nat_and_reaches_published_ports: [Need::Root, IP, BUSYBOX],
    a_published_port_is_reached_from_everywhere_and_shown: [Need::Root, BUSYBOX],
    udp_is_published: [Need::Root, BUSYBOX],
    ports_that_the_image_exposes: [Need::Root, BUSYBOX],
    a_port_in_use_leaves_nothing: [Need::Root, NFT, BUSYBOX],
    names_and_aliases_on_a_user_network: [Need::Root, BUSYBOX],
    the_files_of_etc: [Need::Root, BUSYBOX],
    links_in_etc_lead_nowhere_but_into_the_image: [Need::Root, BUSYBOX],
    connect_and_disconnect_while_it_runs: [Need::Root, BUSYBOX],
    a_restart_keeps_networks_address_and_ports: [Need::Root, BUSYBOX],
    after_a_reboot_networks_come_back: [Need::Root, IP, BUSYBOX],
    the_network_of_another_container: [Need::Root, BUSYBOX],
    namespaces_of_the_host: [Need::Root, BUSYBOX],
    shared_memory_of_another_container: [Need::Root, BUSYBOX],
    a_renamed_container_is_found_by_its_new_name: [Need::Root, BUSYBOX],
    a_range_of_addresses: [Need::Root, BUSYBOX],
    an_ipv6_address_that_was_asked_for: [Need::Root, BUSYBOX],
    connections_at_once_are_all_made: [Need::Root, BUSYBOX],
    networks_are_made_listed_and_removed: [Need::Root, IP, BUSYBOX],
    what_a_killed_engine_leaves_is_reclaimed: [Need::Root, NFT, BUSYBOX],
    somebody_elses_firewall_is_named: [Need::Root, NFT, BUSYBOX],
    fifty_at_once_with_ports: [Need::Root, NFT, BUSYBOX, MINUTES],
    a_neighbouring_docker_keeps_working: [Need::Root, NFT, IP, IPTABLES, DOCKERD, BUSYBOX, MINUTES],
    inspect_has_every_field_that_docker_has: [Need::Root, NFT, IP, IPTABLES, DOCKERD, BUSYBOX, MINUTES],
    without_root_there_is_no_network_and_ports_are_refused: [Need::Root, BUSYBOX],
    without_root_pasta_connects: [Need::Root, IP, BUSYBOX, PASTA],
    without_root_slirp4netns_connects: [Need::Root, IP, BUSYBOX, SLIRP],
    without_root_a_killed_engine_leaves_no_tool: [Need::Root, IP, BUSYBOX, PASTA],
}

/// A web server that says its host name.
const WEB: &str = "mkdir /www; hostname > /www/index.html; httpd -f -p 80 -h /www";

fn lab(host: &Host) -> Engine<'_> {
    sh(host, "busybox ip link set lo up");
    Engine::with_box(host)
}

fn sh(host: &Host, script: &str) -> String {
    host.run(host.command("/bin/sh").args(["-c", script])).ok()
}

fn start(engine: &Engine<'_>, name: &str, options: &[&str], script: &str) {
    let naming = ["run", "-d", "--name", name, "-h", name];
    engine.tara(&[&naming, options, &["box", "sh", "-c", script]].concat()).ok();
}

fn inspect(engine: &Engine<'_>, name: &str) -> Value {
    let mut all: Value = serde_json::from_str(&engine.tara(&["inspect", name]).ok()).unwrap();
    all[0].take()
}

fn address(engine: &Engine<'_>, name: &str, network: &str) -> String {
    inspect(engine, name)["NetworkSettings"]["Networks"][network]["IPAddress"].as_str().unwrap().to_owned()
}

/// What a program in a running container says.
fn inside(engine: &Engine<'_>, name: &str, script: &str) -> Option<String> {
    let output = engine.tara(&["exec", name, "sh", "-c", script]);
    (output.code == 0).then_some(output.stdout)
}

fn pings(engine: &Engine<'_>, name: &str, target: &str) -> bool {
    inside(engine, name, &format!("ping -c 1 -W 1 -q {target}")).is_some()
}

/// A script that asks a web server: the static wget of Debian crashes on some names.
fn ask(address: &str, port: u16) -> String {
    format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} {port} | tail -n 1 | grep .")
}

/// What a web server says to the host.
fn get(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.lines().last()?.to_owned())
}

fn wait_for(address: &str, name: &str) {
    until("the web server answers", || (get(address).as_deref() == Some(name)).then_some(()));
}

/// Another machine, `address`/24, on a wire to this host, which gets `gateway`.
fn machine(host: &Host, gateway: &str, address: &str) -> Netns {
    let netns = Netns::create().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd());
    sh(
        host,
        &format!(
            "ip link add up0 type veth peer name eth0 netns {path}; ip addr add {gateway}/24 dev up0; ip link set up0 up"
        ),
    );
    let script = format!(
        "ip link set lo up; ip addr add {address}/24 dev eth0; ip link set eth0 up; ip route add default via {gateway}"
    );
    netns.within(|| Ok(sh(host, &script))).unwrap();
    netns
}

fn containers_and_the_host_reach_each_other(host: &Host) {
    let engine = lab(host);
    start(&engine, "aa", &[], "sleep 100");
    start(&engine, "bb", &[], "sleep 100");
    let (a, b) = (address(&engine, "aa", "bridge"), address(&engine, "bb", "bridge"));
    assert_eq!((a.as_str(), b.as_str()), ("172.20.0.2", "172.20.0.3"));
    assert!(pings(&engine, "aa", &b) && pings(&engine, "bb", &a) && pings(&engine, "aa", "172.20.0.1"));
    sh(host, &format!("busybox ping -c 1 -W 1 -q {a}"));
    assert_eq!(inspect(&engine, "aa")["NetworkSettings"]["MacAddress"], "02:42:ac:14:00:02");
    engine.tara(&["rm", "-f", "aa", "bb"]).ok();
    engine.assert_clean();
}

fn networks_are_apart(host: &Host) {
    let engine = lab(host);
    for (network, name) in [("one", "aa"), ("two", "bb")] {
        engine.tara(&["network", "create", network]).ok();
        start(&engine, name, &["--network", network], WEB);
    }
    let (a, b) = (address(&engine, "aa", "one"), address(&engine, "bb", "two"));
    wait_for(&format!("{b}:80"), "bb");
    let gateway = |address: &str| format!("{}.1", address.rsplit_once('.').unwrap().0);
    assert!(pings(&engine, "aa", &gateway(&a)), "its own gateway");
    assert!(!pings(&engine, "aa", &b), "the other network");
    assert_eq!(inside(&engine, "aa", &ask(&b, 80)), None, "through its own gateway");
    engine.tara(&["rm", "-f", "aa", "bb"]).ok();
}

fn the_outside_is_reached_by_nat_and_reaches_published_ports(host: &Host) {
    let engine = lab(host);
    let internet = machine(host, "198.51.100.1", "198.51.100.2");
    let server = internet.within(|| Ok(TcpListener::bind("0.0.0.0:7").unwrap())).unwrap();
    start(&engine, "web", &["-p", "8080:80"], WEB);
    wait_for("127.0.0.1:8080", "web");
    assert!(pings(&engine, "web", "198.51.100.2"));
    let client = std::thread::spawn(move || server.accept().unwrap().1.ip().to_string());
    inside(&engine, "web", "echo | nc -w 1 198.51.100.2 7");
    assert_eq!(client.join().unwrap(), "198.51.100.1", "under the host's address");
    assert_eq!(internet.within(|| Ok(get("198.51.100.1:8080"))).unwrap().as_deref(), Some("web"));
    assert_eq!(internet.within(|| Ok(get("198.51.100.1:80"))).unwrap(), None, "only what is published");
    // A network with no way out.
    engine.tara(&["network", "create", "--internal", "inner"]).ok();
    start(&engine, "shut", &["--network", "inner"], "sleep 100");
    assert!(!pings(&engine, "shut", "198.51.100.2"));
    engine.tara(&["rm", "-f", "web", "shut"]).ok();
    sh(host, "ip link del up0");
}

fn a_published_port_is_reached_from_everywhere_and_shown(host: &Host) {
    let engine = lab(host);
    start(&engine, "web", &["-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "9000-9001:90-91"], WEB);
    start(&engine, "bb", &[], "sleep 100");
    wait_for("127.0.0.1:8080", "web");
    wait_for("127.0.0.1:8081", "web");
    assert_eq!(get("172.20.0.1:8080").as_deref(), Some("web"));
    assert_eq!(get("172.20.0.1:8081"), None, "published on loopback only");
    // From a neighbour and from itself, by the host's address.
    for name in ["bb", "web"] {
        assert_eq!(inside(&engine, name, &ask("172.20.0.1", 8080)).as_deref(), Some("web\n"), "{name}");
    }
    let ports = "0.0.0.0:8080->80/tcp, 127.0.0.1:8081->80/tcp, 0.0.0.0:9000-9001->90-91/tcp";
    let line = engine.tara(&["ps"]).ok().lines().find(|line| line.ends_with(" web")).unwrap().to_owned();
    assert!(line.contains(ports), "{line}");
    assert_eq!(engine.tara(&["port", "web", "80"]).ok(), "0.0.0.0:8080\n127.0.0.1:8081\n");
    assert!(engine.tara(&["port", "web"]).ok().ends_with("91/tcp -> 0.0.0.0:9001\n"));
    assert_eq!(error(&engine.tara(&["port", "web", "7"])).0, 1);
    let shown = inspect(&engine, "web");
    assert_eq!(shown["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"], "8080");
    assert_eq!(shown["HostConfig"]["PortBindings"]["91/tcp"][0]["HostPort"], "9001");
    engine.tara(&["rm", "-f", "web", "bb"]).ok();
    assert_eq!(get("127.0.0.1:8080"), None);
    engine.assert_clean();
}

fn udp_is_published(host: &Host) {
    let engine = lab(host);
    start(&engine, "echo", &["-p", "5353:53/udp"], "sleep 100");
    let pid = inspect(&engine, "echo")["State"]["Pid"].as_i64().unwrap();
    let netns = Netns::of_process(nix::unistd::Pid::from_raw(pid.try_into().unwrap())).unwrap();
    let server = netns.within(|| Ok(UdpSocket::bind("0.0.0.0:53").unwrap())).unwrap();
    drop(netns);
    std::thread::spawn(move || {
        let mut word = [0; 16];
        let (length, client) = server.recv_from(&mut word).unwrap();
        server.send_to(&word[..length], client).unwrap();
    });
    let ask = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.1:5353").ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.send(b"hello").ok()?;
        let mut answer = [0; 16];
        let length = socket.recv(&mut answer).ok()?;
        (answer[..length] == *b"hello").then_some(())
    };
    until("an answer by UDP", ask);
    engine.tara(&["rm", "-f", "echo"]).ok();
}

fn ports_that_the_image_exposes(host: &Host) {
    let engine = lab(host);
    start(&engine, "web", &["-P", "--expose", "80", "--expose", "53/udp"], WEB);
    let socket = engine.tara(&["port", "web", "80"]).ok();
    wait_for(socket.trim().replace("0.0.0.0", "127.0.0.1").as_str(), "web");
    assert!(engine.tara(&["port", "web", "53/udp"]).ok().starts_with("0.0.0.0:"));
    start(&engine, "bb", &["--expose", "80"], "sleep 100");
    let lines = engine.tara(&["ps"]).ok();
    assert!(lines.lines().any(|line| line.contains("   80/tcp   ") && line.ends_with(" bb")), "{lines}");
    engine.tara(&["rm", "-f", "web", "bb"]).ok();
}

fn a_port_in_use_leaves_nothing(host: &Host) {
    let engine = lab(host);
    let _holder = TcpListener::bind("0.0.0.0:8080").unwrap();
    let output = engine.run(&["-p", "8080:80"], &["true"]);
    assert!(
        output.code == 125 && output.stderr.contains("port 0.0.0.0:8080/tcp of this host is in use"),
        "{}",
        output.stderr
    );
    start(&engine, "web", &["-p", "8081:80"], "sleep 100");
    let output = engine.tara(&["run", "-d", "-p", "8081:80", "box", "true"]);
    assert!(output.code == 125 && output.stderr.contains("already published by container"), "{}", output.stderr);
    let output = engine.run(&["--network", "nosuch"], &["true"]);
    assert!(output.code == 125 && output.stderr.contains("network nosuch not found"), "{}", output.stderr);
    let output = engine.run(&["--ip", "10.99.0.1"], &["true"]);
    assert!(output.code == 125 && output.stderr.contains("10.99.0.1"), "{}", output.stderr);
    // What fails after the network was begun takes it back.
    assert_eq!(engine.run(&["-p", "8082:80"], &["no-such-program"]).code, 127);
    assert_eq!(engine.tara(&["run", "--rm", "-p", "8082:80", "no-such-image"]).code, 125);
    assert!(!sh(host, "nft list ruleset").contains(". 8082 "));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn names_and_aliases_on_a_user_network(host: &Host) {
    let engine = lab(host);
    engine.tara(&["network", "create", "db"]).ok();
    start(&engine, "web", &["--network", "db", "--network-alias", "www"], "sleep 100");
    start(&engine, "bb", &["--network", "db"], "sleep 100");
    for name in ["web", "www", "web.db"] {
        assert!(pings(&engine, "bb", name), "{name}");
    }
    assert!(pings(&engine, "web", "bb"), "a container that came later");
    assert!(inside(&engine, "bb", "nslookup nobody.invalid").is_none());
    // Whoever has not chosen a network is not known, and knows nobody.
    start(&engine, "cc", &[], "sleep 100");
    assert!(!pings(&engine, "cc", "web"));
    engine.tara(&["rm", "-f", "web"]).ok();
    assert!(
        inside(&engine, "bb", "nslookup web").is_none_or(|text| !text.contains("172.21")),
        "gone with its container"
    );
    engine.tara(&["rm", "-f", "bb", "cc"]).ok();
    engine.assert_clean();
}

fn the_files_of_etc(host: &Host) {
    let engine = lab(host);
    let _stub = host.replace_file("/etc/resolv.conf", "nameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch lan\n");
    let cat = |options: &[&str], file: &str| engine.run(options, &["cat", &format!("/etc/{file}")]).ok();
    assert_eq!(cat(&[], "resolv.conf"), "nameserver 192.0.2.53\nsearch lan\n");
    assert_eq!(
        cat(&["--dns", "192.0.2.1", "--dns-search", "x", "--dns-option", "ndots:2"], "resolv.conf"),
        "nameserver 192.0.2.1\nsearch x\noptions ndots:2\n"
    );
    assert_eq!(cat(&["-h", "web", "--domainname", "lan"], "hostname"), "web\n");
    let hosts = cat(
        &["-h", "web", "--domainname", "lan", "--add-host", "db:192.0.2.7", "--add-host", "host:host-gateway"],
        "hosts",
    );
    assert!(hosts.starts_with("127.0.0.1\tlocalhost\n"), "{hosts}");
    for line in ["192.0.2.7\tdb\n", "172.20.0.1\thost\n", "172.20.0.2\tweb.lan web\n"] {
        assert!(hosts.contains(line), "{hosts}");
    }
    // A read-only root has them too, and they may be written, as docker's.
    let script = "grep -q 172.20.0.2 /etc/hosts && echo '# note' >> /etc/hosts && ! touch /etc/x 2>/dev/null";
    engine.shell(&["--read-only"], script).ok();
    // A volume of the user's own takes their place.
    let own = host.path("own-hosts");
    std::fs::write(&own, "mine\n").unwrap();
    assert_eq!(cat(&["-v", &format!("{}:/etc/hosts", own.display())], "hosts"), "mine\n");
    engine.assert_clean();
}

fn links_in_etc_lead_nowhere_but_into_the_image(host: &Host) {
    let engine = lab(host);
    let victim = host.path("victim");
    std::fs::write(&victim, "untouched\n").unwrap();
    let root = host.busybox_root("linked");
    // One leads to a file of the host, one nowhere, one up and out.
    std::os::unix::fs::symlink(&victim, root.join("etc/hosts")).unwrap();
    std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", root.join("etc/resolv.conf")).unwrap();
    std::os::unix::fs::symlink("../../../../../../etc/hostname", root.join("etc/hostname")).unwrap();
    engine.tara(&["import", root.to_str().unwrap(), "linked"]).ok();
    let output = engine.tara(&[
        "run",
        "--rm",
        "-h",
        "web",
        "linked",
        "sh",
        "-c",
        "cat /etc/hosts; echo x >> /etc/hosts; cat /etc/resolv.conf",
    ]);
    // `hostname` is a link to itself inside: refused, or a file by now; on the host nothing has changed.
    if output.code == 0 {
        assert!(output.stdout.contains("172.20.0.2\tweb\n"), "{}", output.stdout);
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched\n");
    std::fs::remove_file(root.join("etc/hostname")).unwrap();
    engine.tara(&["import", root.to_str().unwrap(), "linked"]).ok();
    let text = engine.tara(&["run", "--rm", "-h", "web", "linked", "cat", "/etc/hosts", "/etc/hostname"]).ok();
    assert!(text.contains("172.20.0.2\tweb\n") && text.ends_with("web\n"), "{text}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched\n");
    engine.assert_clean();
}

fn connect_and_disconnect_while_it_runs(host: &Host) {
    let engine = lab(host);
    engine.tara(&["network", "create", "db"]).ok();
    start(&engine, "aa", &["-p", "8080:80"], WEB);
    start(&engine, "bb", &["--network", "db"], "sleep 100");
    assert!(!pings(&engine, "bb", "aa"));
    engine.tara(&["network", "connect", "--alias", "front", "--ip", "172.21.0.77", "db", "aa"]).ok();
    assert_eq!(address(&engine, "aa", "db"), "172.21.0.77");
    assert!(pings(&engine, "bb", "front") && pings(&engine, "aa", "bb"), "both find each other by name");
    let twice = engine.tara(&["network", "connect", "db", "aa"]);
    assert_eq!(error(&twice), (1, "error: endpoint with name aa already exists in network db"));
    let in_use = engine.tara(&["network", "rm", "db"]);
    assert!(in_use.code == 1 && in_use.stderr.contains("is in use by"), "{}", in_use.stderr);
    engine.tara(&["network", "disconnect", "db", "aa"]).ok();
    assert!(!pings(&engine, "bb", "172.21.0.77"));
    let not_in = engine.tara(&["network", "disconnect", "db", "aa"]);
    assert_eq!(error(&not_in), (1, "error: container aa is not connected to network db"));
    wait_for("127.0.0.1:8080", "aa");
    engine.tara(&["network", "disconnect", "bridge", "aa"]).ok();
    assert_eq!(get("127.0.0.1:8080"), None, "its ports went with the network");
    engine.tara(&["rm", "-f", "aa", "bb"]).ok();
    engine.assert_clean();
}

fn a_restart_keeps_networks_address_and_ports(host: &Host) {
    let engine = lab(host);
    engine.tara(&["network", "create", "db"]).ok();
    start(
        &engine,
        "web",
        &["--network", "db", "--ip", "172.21.0.9", "-p", "8080:80"],
        &WEB.replace("mkdir", "mkdir -p"),
    );
    engine.tara(&["network", "connect", "bridge", "web"]).ok();
    for _ in 0..3 {
        engine.tara(&["restart", "-t", "0", "web"]).ok();
        wait_for("127.0.0.1:8080", "web");
        assert_eq!(address(&engine, "web", "db"), "172.21.0.9");
        assert!(address(&engine, "web", "bridge").starts_with("172.20.0."));
    }
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn after_a_reboot_networks_come_back(host: &Host) {
    let engine = lab(host);
    engine.tara(&["network", "create", "--subnet", "10.77.0.0/24", "--gateway", "10.77.0.254", "db"]).ok();
    start(&engine, "web", &["--network", "db", "-p", "8080:80"], &WEB.replace("mkdir", "mkdir -p"));
    engine.tara(&["stop", "-t", "0", "web"]).ok();
    // The machine ends: links, rules and RUN with it.
    engine.tara(&["network", "disconnect", "-f", "db", "nobody"]);
    sh(host, "for link in $(ip -br link | grep -o '^tara[0-9a-f]*'); do ip link del $link; done; nft flush ruleset");
    std::fs::remove_dir_all(engine.run_root()).unwrap();
    engine.tara(&["start", "web"]).ok();
    wait_for("127.0.0.1:8080", "web");
    assert_eq!(address(&engine, "web", "db"), "10.77.0.1");
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn the_network_of_another_container(host: &Host) {
    let engine = lab(host);
    start(&engine, "web", &[], WEB);
    wait_for("172.20.0.2:80", "web");
    let of_web = ["--network", "container:web"];
    assert_eq!(engine.run(&of_web, &["sh", "-c", &ask("127.0.0.1", 80)]).ok(), "web\n");
    assert_eq!(engine.run(&of_web, &["hostname"]).ok(), "web\n");
    assert!(engine.run(&of_web, &["cat", "/etc/hosts"]).ok().contains("172.20.0.2\tweb\n"));
    assert_eq!(engine.run(&["--pid", "container:web"], &["sh", "-c", "ps | grep -c [h]ttpd"]).ok(), "1\n");
    engine.tara(&["stop", "-t", "0", "web"]).ok();
    let output = engine.run(&of_web, &["true"]);
    assert!(output.code == 125 && output.stderr.contains("non running container"), "{}", output.stderr);
    assert!(engine.run(&["--network", "container:nobody"], &["true"]).stderr.contains("no such container"));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn namespaces_of_the_host(host: &Host) {
    let engine = lab(host);
    let facts = engine.facts(&["--uts", "host", "--ipc", "host", "--pid", "host"]);
    for name in ["uts", "ipc", "pid"] {
        let outside = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_eq!(facts.namespaces[name], outside.to_str().unwrap(), "{name}");
    }
    let name = sh(host, "hostname");
    assert_eq!(engine.run(&["--network", "host"], &["hostname"]).ok(), name);
    assert_eq!(engine.run(&["--uts", "host"], &["cat", "/etc/hostname"]).ok(), name);
    engine.assert_clean();
}

/// Files in `/dev/shm`, and the queues and segments of the IPC namespace. Who does not share his is left alone.
fn shared_memory_of_another_container(host: &Host) {
    let engine = lab(host);
    start(&engine, "web", &["--ipc", "shareable", "--network", "none"], "echo secret > /dev/shm/one; sleep 100");
    until("it has written", || inside(&engine, "web", "cat /dev/shm/one"));
    let script = "cat /dev/shm/one; echo two > /dev/shm/two; readlink /proc/self/ns/ipc; mount | grep -c ' /dev/shm '";
    let joined = engine.shell(&["--ipc", "container:web", "--network", "none"], script).ok();
    let namespace = inside(&engine, "web", "readlink /proc/self/ns/ipc").unwrap();
    assert_eq!(joined, format!("secret\n{namespace}1\n"));
    assert_eq!(inside(&engine, "web", "cat /dev/shm/two").as_deref(), Some("two\n"));
    assert_eq!(engine.tara(&["inspect", "-f", "{{.HostConfig.IpcMode}}", "web"]).ok(), "shareable\n");
    start(&engine, "own", &["--network", "none"], "sleep 100");
    let refused = engine.run(&["--ipc", "container:own"], &["true"]);
    assert!(refused.code == 125 && refused.stderr.contains("non-shareable IPC"), "{}", refused.stderr);
    // A root that has made a link of its /dev/shm leads nobody astray.
    inside(&engine, "web", "umount /dev/shm; true");
    let processes = engine.shell(&["--pid", "container:web", "--network", "none"], "cat /proc/1/cmdline").ok();
    assert!(processes.contains("sleep"), "{processes}");
    assert_eq!(error(&engine.run(&["--ipc", "container:nosuch"], &["true"])).1, "error: no such container: `nosuch`");
    engine.tara(&["rm", "-f", "web", "own"]).ok();
    engine.assert_clean();
}

fn a_renamed_container_is_found_by_its_new_name(host: &Host) {
    let engine = lab(host);
    engine.tara(&["network", "create", "db"]).ok();
    start(&engine, "web", &["--network", "db", "--network-alias", "www"], "sleep 100");
    start(&engine, "bb", &["--network", "db"], "sleep 100");
    assert!(pings(&engine, "bb", "web"));
    engine.tara(&["rename", "web", "shop"]).ok();
    assert!(pings(&engine, "bb", "shop") && pings(&engine, "bb", "www"));
    assert!(inside(&engine, "bb", "nslookup web").is_none_or(|text| !text.contains("172.21")), "no longer");
    engine.tara(&["rm", "-f", "shop", "bb"]).ok();
    engine.assert_clean();
}

fn a_range_of_addresses(host: &Host) {
    let engine = lab(host);
    let create = ["network", "create", "--subnet", "10.9.0.0/16", "--ip-range", "10.9.5.0/30"];
    engine.tara(&[&create[..], &["db"]].concat()).ok();
    for (name, address) in [("aa", "10.9.5.0"), ("bb", "10.9.5.1"), ("cc", "10.9.5.2"), ("dd", "10.9.5.3")] {
        start(&engine, name, &["--network", "db"], "sleep 100");
        let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        assert_eq!(engine.tara(&["inspect", "-f", template, name]).ok(), format!("{address}\n"));
    }
    assert!(pings(&engine, "aa", "bb"));
    let full = engine.run(&["--network", "db"], &["true"]);
    assert!(full.code == 125 && full.stderr.contains("has no free address"), "{}", full.stderr);
    engine.run(&["--network", "db", "--ip", "10.9.7.7"], &["true"]).ok();
    assert_eq!(
        engine.tara(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).IPRange}}", "db"]).ok(),
        "10.9.5.0/30\n"
    );
    let outside = engine.tara(&["network", "create", "--subnet", "10.10.0.0/24", "--ip-range", "10.10.1.0/24", "no"]);
    assert_eq!(error(&outside), (1, "error: the range 10.10.1.0/24 is not in the subnet 10.10.0.0/24"));
    assert_eq!(engine.tara(&["network", "create", "--ip-range", "10.10.1.0/24", "no"]).code, 1);
    engine.tara(&["rm", "-f", "aa", "bb", "cc", "dd"]).ok();
    engine.assert_clean();
}

fn an_ipv6_address_that_was_asked_for(host: &Host) {
    let engine = lab(host);
    let create = ["network", "create", "--ipv6", "--subnet", "fd00:7::/64", "--subnet", "10.9.0.0/24", "six"];
    engine.tara(&create).ok();
    let asked = ["--network", "six", "--ip6", "fd00:7::10.9.0.77"];
    let shown = engine.shell(&asked, "ip -o addr show eth0").ok();
    assert!(shown.contains("fd00:7::a09:4d/64") && shown.contains("10.9.0.77/24"), "{shown}");
    let refused = |options: &[&str]| error(&engine.run(options, &["true"])).1.to_owned();
    let first = |options: &[&str]| {
        let output = engine.run(options, &["true"]);
        assert_eq!(output.code, 125);
        output.stderr
    };
    assert!(
        first(&["--network", "six", "--ip6", "fd00:8::10.9.0.77"]).contains("not an address that a container may have")
    );
    assert!(
        first(&["--network", "six", "--ip", "10.9.0.5", "--ip6", "fd00:7::10.9.0.77"])
            .contains("goes with `--ip 10.9.0.77`")
    );
    assert!(first(&["--ip6", "fd00:7::10.9.0.77"]).contains("has no IPv6"));
    assert!(refused(&["--link-local-ip", "169.254.7.7"]).contains("under the addresses of its network alone"));
    engine.assert_clean();
}

/// Each gets a link of its own, and none is forgotten at the next start.
fn connections_at_once_are_all_made(host: &Host) {
    let engine = lab(host);
    let names: Vec<String> = (0..6).map(|number| format!("net{number}")).collect();
    names.iter().for_each(|name| drop(engine.tara(&["network", "create", name]).ok()));
    start(&engine, "web", &[], "sleep 100");
    let begin = |name: &String| engine.command(&["network", "connect", name, "web"]).spawn().unwrap();
    let all: Vec<Child> = names.iter().map(begin).collect();
    for mut child in all {
        assert!(child.wait().unwrap().success());
    }
    let links = |text: &str| text.lines().filter(|line| line.contains(": eth")).count();
    assert_eq!(links(&inside(&engine, "web", "ip -o link").unwrap()), 7);
    engine.tara(&["restart", "-t", "0", "web"]).ok();
    assert_eq!(links(&inside(&engine, "web", "ip -o link").unwrap()), 7, "after a restart");
    let begin = |name: &String| engine.command(&["network", "disconnect", name, "web"]).spawn().unwrap();
    let all: Vec<Child> = names.iter().map(begin).collect();
    for mut child in all {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(links(&inside(&engine, "web", "ip -o link").unwrap()), 1);
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn networks_are_made_listed_and_removed(host: &Host) {
    let engine = lab(host);
    sh(host, "ip link add dummy0 type bridge && ip addr add 10.8.0.1/16 dev dummy0 && ip link set dummy0 up");
    let id = engine.tara(&["network", "create", "--label", "a=b", "--subnet", "10.9.0.0/24", "db"]).ok();
    assert_eq!(engine.tara(&["network", "ls", "-q", "-f", "label=a=b", "--no-trunc"]).ok(), id);
    let lines = engine.tara(&["network", "ls"]).ok();
    assert_eq!(lines.lines().next(), Some("NETWORK ID     NAME     DRIVER   SCOPE"));
    assert_eq!(lines.lines().count(), 5, "{lines}");
    let twice = engine.tara(&["network", "create", "db"]);
    assert_eq!(error(&twice), (1, "error: network with name db already exists"));
    let taken = engine.tara(&["network", "create", "--subnet", "10.8.7.0/24", "other"]);
    assert!(taken.code == 1 && taken.stderr.contains("route 10.8.0.0/16 through `dummy0`"), "{}", taken.stderr);
    assert_eq!(engine.tara(&["network", "rm", "bridge"]).code, 1);
    assert_eq!(engine.tara(&["network", "rm", "nosuch"]).code, 1);
    let shown: Value = serde_json::from_str(&engine.tara(&["network", "inspect", "db"]).ok()).unwrap();
    assert_eq!(
        (&shown[0]["IPAM"]["Config"][0]["Gateway"], &shown[0]["Labels"]["a"]),
        (&"10.9.0.1".into(), &"b".into())
    );
    assert_eq!(engine.tara(&["network", "rm", "db"]).ok(), "db\n");
    engine.tara(&["network", "create", "x"]).ok();
    assert_eq!(engine.tara(&["network", "prune", "-f"]).ok(), "Deleted Networks:\nx\n");
    assert_eq!(sh(host, "ip -br link | grep -c tara || true"), "0\n");
    sh(host, "ip link del dummy0");
}

fn what_a_killed_engine_leaves_is_reclaimed(host: &Host) {
    let engine = lab(host);
    engine.tara(&["network", "create", "db"]).ok();
    let options = ["run", "--rm", "--name", "web", "--network", "db", "-p", "8080:80", "box", "sleep", "100"];
    let mut tara: Child = engine.command(&options).stdin(Stdio::null()).spawn().unwrap();
    until("it runs", || (inspect_if(&engine, "web")?["State"]["Running"] == true).then_some(()));
    // The record is written beside the network.
    until("it is published", || sh(host, "nft list ruleset").contains(". 8080 ").then_some(()));
    tara.kill().unwrap();
    tara.wait().unwrap();
    // The container's own process, which dies with it, may hold the lock a moment longer.
    until("it is found", || {
        let found = engine.tara(&["system", "check"]);
        (found.code == 1 && found.stdout.contains("(web)")).then_some(())
    });
    assert!(sh(host, "nft list ruleset").contains(". 8080 "));
    engine.tara(&["system", "reclaim"]).ok();
    assert!(!sh(host, "nft list ruleset").contains(". 8080 "));
    engine.assert_clean();
    // The same for one that stays: it starts again, although its ports are still published.
    start(&engine, "web", &["-p", "8080:80"], &WEB.replace("mkdir", "mkdir -p"));
    let monitor = parent_of(inspect(&engine, "web")["State"]["Pid"].as_i64().unwrap());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(monitor), nix::sys::signal::SIGKILL).unwrap();
    until("it is seen as dead", || (inspect(&engine, "web")["State"]["Running"] == false).then_some(()));
    engine.tara(&["start", "web"]).ok();
    wait_for("127.0.0.1:8080", "web");
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

fn inspect_if(engine: &Engine<'_>, name: &str) -> Option<Value> {
    let output = engine.tara(&["inspect", name]);
    (output.code == 0).then(|| serde_json::from_str::<Value>(&output.stdout).unwrap()[0].take())
}

fn parent_of(pid: i64) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

fn somebody_elses_firewall_is_named(host: &Host) {
    let engine = lab(host);
    let rules = "add table ip wall; add chain ip wall FORWARD { type filter hook forward priority 0; policy drop; }";
    sh(host, &format!("nft '{rules}'"));
    let output = engine.run(&[], &["true"]);
    assert!(
        output.code == 0 && output.stderr.contains("the chain `FORWARD` of the nf_tables table `ip wall`"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("help: nft insert rule ip wall FORWARD"), "{}", output.stderr);
    assert!(sh(host, "nft list table ip wall").contains("policy drop"), "it is not ours to change");
    sh(host, "nft delete table ip wall");
}

fn fifty_at_once_with_ports(host: &Host) {
    let engine = lab(host);
    engine.tara(&["network", "create", "db"]).ok();
    let begin = |number: usize| {
        let (port, network) = (format!("{}:80", 8000 + number), if number.is_multiple_of(2) { "bridge" } else { "db" });
        let options = ["run", "-d", "-p", &port, "--network", network, "box", "sleep", "100"];
        engine.command(&options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<Child> = (0..50).map(begin).collect();
    let mut ids = Vec::new();
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ids.push(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    let networks: Value = serde_json::from_str(&engine.tara(&["network", "inspect", "bridge", "db"]).ok()).unwrap();
    let addresses: std::collections::BTreeSet<String> = (0..2)
        .flat_map(|index| networks[index]["Containers"].as_object().unwrap().values())
        .map(|container| container["IPv4Address"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(addresses.len(), 50);
    let removals: Vec<Child> =
        ids.iter().map(|id| engine.command(&["rm", "-f", id]).stdout(Stdio::null()).spawn().unwrap()).collect();
    for mut child in removals {
        assert!(child.wait().unwrap().success());
    }
    assert!(!sh(host, "nft list ruleset").contains(" . 80"), "no port is published any more");
    engine.assert_clean();
}

fn a_neighbouring_docker_keeps_working(host: &Host) {
    let engine = lab(host);
    let docker = Docker::with_box(host);
    docker.shell("docker run -d --name theirs -p 7070:80 box sh -c 'mkdir /www; echo theirs > /www/index.html; httpd -f -p 80 -h /www'").unwrap();
    wait_for("127.0.0.1:7070", "theirs");
    let others = sh(host, "iptables-save -t nat; iptables-save -t filter");
    let strip =
        |text: &str| text.lines().filter(|line| !line.starts_with(['#', ':'])).map(str::to_owned).collect::<Vec<_>>();
    // dockerd forbids what the host passes on: said aloud, with the remedy that docker has for it.
    let warned = engine.tara(&["run", "-d", "--name", "ours", "-h", "ours", "-p", "8080:80", "box", "sh", "-c", WEB]);
    assert_eq!(warned.code, 0, "{}", warned.stderr);
    wait_for("127.0.0.1:8080", "ours");
    engine.tara(&["rm", "-f", "ours"]).ok();
    engine.tara(&["network", "prune", "-f"]).ok();
    assert_eq!(
        strip(&sh(host, "iptables-save -t nat; iptables-save -t filter")),
        strip(&others),
        "its rules are as they were"
    );
    assert!(sh(host, "ip -br link").contains("docker0"), "its bridge is there");
    assert_eq!(get("127.0.0.1:7070").as_deref(), Some("theirs"), "its container too");
    docker.shell("docker rm -f theirs").unwrap();
    docker.stop();
}

/// The paths of all fields; a list counts as its first entry, and what users name themselves is left out.
fn fields(value: &Value, path: &str, all: &mut std::collections::BTreeSet<String>) {
    const NAMED_BY_USERS: [&str; 8] =
        ["Labels", "Ports", "PortBindings", "ExposedPorts", "Volumes", "Options", "Config.Volumes", "LogConfig.Config"];
    all.insert(path.to_owned());
    match value {
        Value::Object(_) if NAMED_BY_USERS.iter().any(|end| path.ends_with(end)) => {}
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| fields(value, &format!("{path}.{name}"), all));
        }
        Value::Array(list) => list.iter().take(1).for_each(|value| fields(value, &format!("{path}[]"), all)),
        _ => {}
    }
}

fn inspect_has_every_field_that_docker_has(host: &Host) {
    let engine = lab(host);
    let docker = Docker::with_box(host);
    let run = "-d --name web -v data:/data -p 7070:80 --health-cmd true --health-interval 100ms box sleep 1000";
    docker.shell(&format!("docker run {run}")).unwrap();
    let words: Vec<&str> = ["run"].into_iter().chain(run.replace("7070", "7071").leak().split(' ')).collect();
    engine.tara(&words).ok();
    for (what, object) in [("container", "web"), ("network", "bridge"), ("volume", "data")] {
        let parse = |text: &str| {
            let mut all = std::collections::BTreeSet::new();
            fields(&serde_json::from_str::<Value>(text).unwrap()[0], "", &mut all);
            // A list while a health check runs, and else null.
            all.remove(".ExecIDs[]");
            // By the id of a container.
            all.into_iter()
                .map(|path| path.split(".Containers.").next().unwrap().to_owned())
                .collect::<std::collections::BTreeSet<_>>()
        };
        let healthy = |text: String| (what != "container" || text.contains("\"healthy\"")).then_some(text);
        let theirs = until("docker's", || healthy(docker.shell(&format!("docker {what} inspect {object}")).unwrap()));
        let ours = until("ours", || healthy(engine.tara(&[what, "inspect", object]).ok()));
        let (theirs, ours) = (parse(&theirs), parse(&ours));
        let missing: Vec<&String> = theirs.difference(&ours).collect();
        assert_eq!(missing, Vec::<&String>::new(), "{what}");
    }
    engine.tara(&["rm", "-fv", "web"]).ok();
    engine.tara(&["volume", "rm", "data"]).ok();
    docker.shell("docker rm -fv web").unwrap();
    docker.stop();
}

fn without_root_there_is_no_network_and_ports_are_refused(host: &Host) {
    let tara = |arguments: &[&str]| {
        let home = host.folder("home-of-user").display().to_string();
        let mut command = host.command_as_user(common::TARA);
        command.args(["--root", &format!("{home}/root"), "--run-root", &format!("{home}/run")]).args(arguments);
        host.run(&mut command)
    };
    assert_eq!(tara(&["run", "--rm", "demo", "sh", "-c", "ls /sys/class/net"]).ok(), "lo\n");
    let output = tara(&["run", "--rm", "--network", "bridge", "demo", "true"]);
    assert!(output.code == 125 && output.stderr.contains("without root"), "{}", output.stderr);
}

/// A host where ordinary users may make links, with a way out: `tara` as one of them.
struct Rootless<'h> {
    host: &'h Host,
    internet: Netns,
}

impl<'h> Rootless<'h> {
    fn new(host: &'h Host) -> Self {
        sh(host, "busybox ip link set lo up");
        let internet = machine(host, "198.51.100.1", "198.51.100.2");
        sh(host, "ip route add default via 198.51.100.2");
        let tun = host.path("tun");
        let tun = tun.to_str().unwrap();
        sh(host, &format!("mknod {tun} c 10 200 && chmod 666 {tun} && busybox mount -o bind {tun} /dev/net/tun"));
        Self { host, internet }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.host.command_as_user(common::TARA);
        let home = self.host.folder("home-of-user").display().to_string();
        command.args(["--root", &format!("{home}/root"), "--run-root", &format!("{home}/run")]).args(arguments);
        command
    }

    fn tara(&self, arguments: &[&str]) -> testkit::Output {
        self.host.run(&mut self.command(arguments))
    }

    /// Whether a process of this program is there. Not by its short name: pasta becomes `pasta.avx2`, and then `passt.avx2`.
    fn runs(&self, name: &str) -> bool {
        let commands = std::fs::read_dir("/proc").unwrap().flatten();
        let mut commands = commands.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        commands.any(|command| command.starts_with(format!("/usr/bin/{name}").as_bytes()))
    }

    fn end(self) {
        assert_eq!(self.tara(&["system", "check"]).ok(), "nothing is left behind\n");
        sh(self.host, "busybox umount /dev/net/tun; ip link del up0");
    }
}

fn connects(host: &Host, tool: &str) {
    let lab = Rootless::new(host);
    let server = lab.internet.within(|| Ok(TcpListener::bind("198.51.100.2:7").unwrap())).unwrap();
    let options =
        ["run", "-d", "--name", "web", "-h", "web", "--network", tool, "-p", "127.0.0.1:8080:80", "-p", "53/udp"];
    lab.tara(&[&options[..], &["demo", "sh", "-c", WEB]].concat()).ok();
    wait_for("127.0.0.1:8080", "web");
    let ports = lab.tara(&["port", "web"]).ok();
    assert!(ports.starts_with("53/udp -> 0.0.0.0:") && ports.ends_with("80/tcp -> 127.0.0.1:8080\n"), "{ports}");
    let client = std::thread::spawn(move || server.accept().unwrap().1.ip().to_string());
    lab.tara(&["exec", "web", "sh", "-c", "echo | nc -w 1 198.51.100.2 7"]).ok();
    assert_eq!(client.join().unwrap(), "198.51.100.1", "under the host's address");
    // A second start gets it again, and the first one's tool is gone.
    lab.tara(&["stop", "-t", "0", "web"]).ok();
    until("the tool has ended", || (!lab.runs(tool)).then_some(()));
    lab.tara(&["start", "web"]).ok();
    wait_for("127.0.0.1:8080", "web");
    let taken = lab.tara(&["run", "--rm", "--network", tool, "-p", "127.0.0.1:8080:80", "demo", "true"]);
    assert!(taken.code == 125 && taken.stderr.contains("8080"), "{taken:?}");
    lab.tara(&["rm", "-f", "web"]).ok();
    until("the tool has ended", || (!lab.runs(tool)).then_some(()));
    lab.end();
}

fn without_root_pasta_connects(host: &Host) {
    connects(host, "pasta");
}

fn without_root_slirp4netns_connects(host: &Host) {
    connects(host, "slirp4netns");
}

fn without_root_a_killed_engine_leaves_no_tool(host: &Host) {
    let lab = Rootless::new(host);
    assert!(lab.tara(&["info"]).ok().contains("Networks: pasta host none"), "the default where it works");
    let mut tara = lab.command(&["run", "--rm", "demo", "sleep", "1000"]).spawn().unwrap();
    until("it is connected", || lab.runs("pasta").then_some(()));
    tara.kill().unwrap();
    tara.wait().unwrap();
    until("the tool has ended", || (!lab.runs("pasta")).then_some(()));
    lab.tara(&["system", "reclaim"]).ok();
    lab.end();
}
