//! What a bridged network is: who reaches whom, under which address, and what of it stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{IP, Lab, NFT, ask, machine, network_called, serve, sh, unplug};
use std::collections::BTreeSet;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use step04_net_bridge::Protocol::{Tcp, Udp};
use step04_net_bridge::{Error, Networks, Request, Settings, forward_blocker, host_end, published};
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    containers_and_the_host_ping_each_other: [IP, BUSYBOX],
    networks_are_apart_also_through_gateways: [IP, BUSYBOX],
    the_outside_sees_the_hosts_address: [IP, BUSYBOX],
    what_the_host_passes_on_for_others_keeps_its_address: [IP],
    a_published_port_is_reached_from_everywhere: [IP],
    a_published_port_is_reached_where_bridges_do_not_ask_ips_rules: [IP],
    a_port_published_on_loopback_is_the_hosts_alone: [IP],
    a_range_and_a_port_that_the_kernel_chooses: [Need::Root, IP],
    a_port_in_use_is_named: [IP],
    an_unpublished_port_is_not_reached_from_outside: [IP],
    what_listens_on_the_hosts_loopback_is_out_of_reach: [IP],
    a_chosen_address_and_hardware_address: [IP, BUSYBOX],
    an_internal_network_has_no_way_out: [IP, BUSYBOX],
    an_ipv6_network: [IP, BUSYBOX],
    a_stolen_address_leads_nowhere: [IP, NFT, BUSYBOX],
    a_subnet_in_use_is_not_chosen_and_asked_for_named: [IP],
    a_forward_chain_that_drops_is_named: [NFT],
    the_rules_of_others_stay_as_they_are: [IP, NFT],
    saved_rules_can_be_read_again: [NFT],
    flushed_rules_come_back: [IP, NFT],
    fifty_at_once: [IP, NFT],
    what_a_crash_leaves_is_reclaimed: [IP],
    a_network_in_use_is_not_removed: [IP],
    the_hosts_abstract_sockets_are_out_of_reach: [IP],
}

fn containers_and_the_host_ping_each_other(host: &Host) {
    let lab = Lab::new(host);
    let (a, b) = (lab.container("aaaaaaaaaaaa", &[]), lab.container("bbbbbbbbbbbb", &[]));
    assert_eq!((a.address().as_str(), b.address().as_str()), ("172.20.0.2", "172.20.0.3"));
    assert!(a.pings("172.20.0.3") && b.pings("172.20.0.2") && a.pings("172.20.0.1"));
    sh("busybox ping -c 1 -W 1 -q 172.20.0.2");
    assert!(sh("ip link show tara0").contains("02:42:ac:14:00:01"));
    assert!(a.sh("ip link show eth0").contains("02:42:ac:14:00:02"));
    assert!(sh("ip link").contains(&host_end("aaaaaaaaaaaa", 0)));
    lab.end([a, b]);
}

fn networks_are_apart_also_through_gateways(host: &Host) {
    let lab = Lab::new(host);
    let (a, b) = (lab.on("aaaaaaaaaaaa", "one"), lab.on("bbbbbbbbbbbb", "two"));
    let _server = serve(Some(&b.netns), "b", "0.0.0.0:80", Tcp);
    assert_eq!(ask(None, "172.21.0.2:80", Tcp).as_deref(), Some("b 172.21.0.1"), "the host reaches it");
    // The default route of `a` leads there through its own gateway; then by name through the other's.
    assert_eq!(ask(Some(&a.netns), "172.21.0.2:80", Tcp), None);
    assert!(!a.pings("172.21.0.2"));
    a.sh("ip route add 172.21.0.1 via 172.20.0.1 && ip route add 172.21.0.2 via 172.20.0.1");
    assert_eq!(ask(Some(&a.netns), "172.21.0.2:80", Tcp), None);
    drop(_server);
    lab.end([a, b]);
}

fn the_outside_sees_the_hosts_address(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    let a = lab.container("aaaaaaaaaaaa", &[]);
    let servers = [Tcp, Udp].map(|protocol| serve(Some(&internet), "internet", "0.0.0.0:53", protocol));
    for protocol in [Tcp, Udp] {
        assert_eq!(ask(Some(&a.netns), "198.51.100.2:53", protocol).as_deref(), Some("internet 198.51.100.1"));
    }
    assert!(a.pings("198.51.100.2"));
    drop(servers);
    lab.end([a]);
    unplug("up0");
}

/// Masquerading that does not ask for the source changes the address of everybody's packets.
fn what_the_host_passes_on_for_others_keeps_its_address(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    let other = machine("lan0", "203.0.113.1", "203.0.113.2");
    let a = lab.container("aaaaaaaaaaaa", &[]);
    let server = serve(Some(&internet), "internet", "0.0.0.0:80", Tcp);
    assert_eq!(ask(Some(&other), "198.51.100.2:80", Tcp).as_deref(), Some("internet 203.0.113.2"));
    drop(server);
    lab.end([a]);
    unplug("up0");
    unplug("lan0");
}

fn a_published_port_is_reached_from_everywhere(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    let a = lab.container("aaaaaaaaaaaa", &["8080:80", "8080:80/udp"]);
    let (b, c) = (lab.container("bbbbbbbbbbbb", &[]), lab.on("cccccccccccc", "other"));
    for protocol in [Tcp, Udp] {
        let _server = serve(Some(&a.netns), "a", "0.0.0.0:80", protocol);
        let told = |netns, address| ask(netns, address, protocol);
        // From another machine: under its own address.
        assert_eq!(told(Some(&internet), "198.51.100.1:8080").as_deref(), Some("a 198.51.100.2"), "{protocol}");
        // From the host, by each of its addresses.
        assert_eq!(told(None, "198.51.100.1:8080").as_deref(), Some("a 198.51.100.1"), "{protocol}");
        assert_eq!(told(None, "127.0.0.1:8080").as_deref(), Some("a 172.20.0.1"), "{protocol}");
        assert_eq!(told(None, "172.20.0.1:8080").as_deref(), Some("a 172.20.0.1"), "{protocol}");
        // From a neighbour, from itself, from a container of another network.
        assert_eq!(told(Some(&b.netns), "198.51.100.1:8080").as_deref(), Some("a 172.20.0.1"), "{protocol}");
        assert_eq!(told(Some(&b.netns), "172.20.0.1:8080").as_deref(), Some("a 172.20.0.1"), "{protocol}");
        assert_eq!(told(Some(&a.netns), "198.51.100.1:8080").as_deref(), Some("a 172.20.0.1"), "{protocol}");
        assert!(told(Some(&c.netns), "198.51.100.1:8080").is_some(), "{protocol}");
        // The container's own port is not the host's.
        assert_eq!(told(Some(&internet), "198.51.100.1:80"), None, "{protocol}");
    }
    a.endpoint.unpublish().unwrap();
    let _server = serve(Some(&a.netns), "a", "0.0.0.0:80", Tcp);
    assert_eq!(ask(Some(&internet), "198.51.100.1:8080", Tcp), None, "published no longer");
    drop(_server);
    lab.end([a, b, c]);
    unplug("up0");
}

/// Bridges ask IP's rules where the module br_netfilter is loaded, as docker does. Both ways have to work.
fn a_published_port_is_reached_where_bridges_do_not_ask_ips_rules(host: &Host) {
    sh("for switch in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $switch ] || echo 0 > $switch; done");
    a_published_port_is_reached_from_everywhere(host);
}

fn a_port_published_on_loopback_is_the_hosts_alone(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    let a = lab.container("aaaaaaaaaaaa", &["127.0.0.1:8080:80", "198.51.100.1:8081:80"]);
    let server = serve(Some(&a.netns), "a", "0.0.0.0:80", Tcp);
    assert!(ask(None, "127.0.0.1:8080", Tcp).is_some());
    assert_eq!(ask(None, "198.51.100.1:8080", Tcp), None);
    assert_eq!(ask(Some(&internet), "198.51.100.1:8080", Tcp), None);
    assert!(ask(Some(&internet), "198.51.100.1:8081", Tcp).is_some());
    drop(server);
    lab.end([a]);
    unplug("up0");
}

fn a_range_and_a_port_that_the_kernel_chooses(host: &Host) {
    let lab = Lab::new(host);
    let a = lab.container("aaaaaaaaaaaa", &["8000-8001:80-81", "82"]);
    let chosen = a.endpoint.ports[2].port.number;
    assert!(chosen > 1024 && a.endpoint.ports[2].container_port == 82);
    let server = serve(Some(&a.netns), "a", "0.0.0.0:81", Tcp);
    assert!(ask(None, "127.0.0.1:8001", Tcp).is_some() && ask(None, "127.0.0.1:8000", Tcp).is_none());
    drop(server);
    // A range of the host for one port: the first that is free.
    let b = lab.container("bbbbbbbbbbbb", &["8000-8003:80"]);
    assert_eq!(b.endpoint.ports[0].port.number, 8002);
    // More than one message.
    let many = lab.container("dddddddddddd", &["20000-22000:20000-22000"]);
    assert_eq!(published().unwrap().len(), 3 + 1 + 2001);
    lab.end([a, b, many]);
}

fn a_port_in_use_is_named(host: &Host) {
    let lab = Lab::new(host);
    let a = lab.container("aaaaaaaaaaaa", &["8080:80"]);
    let refused = |id: &str, port: &str| lab.connect(id, &Settings::default_network(), &[port]).err().unwrap();
    let error = refused("bbbbbbbbbbbb", "8080:80");
    assert_eq!(error.to_string(), "port 0.0.0.0:8080/tcp is already published by container `aaaaaaaaaaaa`");
    let server = serve(None, "host", "127.0.0.1:8081", Tcp);
    let error = refused("cccccccccccc", "8081:80");
    assert_eq!(error.to_string(), "port 0.0.0.0:8081/tcp of this host is in use by another program");
    assert!(error.help().is_some());
    drop(server);
    ["bbbbbbbbbbbb", "cccccccccccc"].iter().for_each(|id| lab.networks.reclaim(id).unwrap());
    lab.end([a]);
}

fn an_unpublished_port_is_not_reached_from_outside(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    let a = lab.container("aaaaaaaaaaaa", &["8080:81"]);
    let server = serve(Some(&a.netns), "a", "0.0.0.0:80", Tcp);
    // Its default route leads through this host, which would pass it on.
    assert_eq!(ask(Some(&internet), "172.20.0.2:80", Tcp), None);
    drop(server);
    lab.end([a]);
    unplug("up0");
}

/// CVE-2020-8558: route_localnet lets answers back to 127.0.0.1, and must not let anything else there.
fn what_listens_on_the_hosts_loopback_is_out_of_reach(host: &Host) {
    let lab = Lab::new(host);
    let a = lab.container("aaaaaaaaaaaa", &["8080:80"]);
    let server = serve(None, "host", "127.0.0.1:9000", Tcp);
    let attack = "ip addr flush dev lo && ip route add 127.0.0.1 via 172.20.0.1 src 172.20.0.2 \
         && echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet";
    a.sh(attack);
    assert_eq!(ask(Some(&a.netns), "127.0.0.1:9000", Tcp), None);
    // The attack itself works: it does without our rule.
    if std::path::Path::new("/usr/sbin/nft").exists() {
        sh("nft flush chain inet tara loopback");
        assert_eq!(ask(Some(&a.netns), "127.0.0.1:9000", Tcp).as_deref(), Some("host 172.20.0.2"));
    }
    drop(server);
    lab.end([a]);
}

fn a_chosen_address_and_hardware_address(host: &Host) {
    let lab = Lab::new(host);
    let request = Request {
        id: "aaaaaaaaaaaa".into(),
        address: "172.20.7.7".parse().ok(),
        mac: "06:00:00:00:00:07".parse().ok(),
        ..Request::default()
    };
    let a = lab.connect_as(&request, &Settings::default_network(), &[]).unwrap();
    assert!(a.sh("ip addr show eth0").contains("06:00:00:00:00:07"));
    assert!(a.pings("172.20.0.1"));
    let second = Request { id: "bbbbbbbbbbbb".into(), mac: None, ..request };
    let error = lab.connect_as(&second, &Settings::default_network(), &[]).err().unwrap();
    assert_eq!(error.to_string(), "the address 172.20.7.7 is already in use by container `aaaaaaaaaaaa`");
    lab.end([a]);
}

fn an_internal_network_has_no_way_out(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    let settings = Settings { internal: true, ..network_called("inner") };
    let (a, b) = (lab.connect("a", &settings, &[]).unwrap(), lab.connect("b", &settings, &[]).unwrap());
    let server = serve(Some(&internet), "internet", "0.0.0.0:80", Tcp);
    assert!(a.pings(&b.address()) && a.pings("172.20.0.1"));
    assert!(!a.sh("ip route").contains("default"));
    a.sh("ip route add default via 172.20.0.1; echo 1 > /proc/sys/net/ipv4/ip_forward");
    sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
    assert_eq!(ask(Some(&a.netns), "198.51.100.2:80", Tcp), None);
    drop(server);
    lab.end([a, b]);
    unplug("up0");
}

fn an_ipv6_network(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    sh("ip -6 addr add 2001:db8::1/64 dev up0 nodad");
    internet.within(|| Ok(sh("ip -6 addr add 2001:db8::2/64 dev eth0 nodad"))).unwrap();
    let settings = Settings { subnet6: "fd00:7::/64".parse().ok(), ..network_called("six") };
    let (a, b) = (lab.connect("a", &settings, &["8080:80"]).unwrap(), lab.connect("b", &settings, &[]).unwrap());
    assert!(a.sh("ip -6 addr show eth0").contains("fd00:7::ac14:2/64"));
    // The kernel joins the group that asks for neighbours from a worker: the first question may come too early.
    testkit::until("IPv6 pings", || (a.pings("fd00:7::ac14:3") && a.pings("fd00:7::ac14:1")).then_some(()));
    let outside = serve(Some(&internet), "internet", "[::]:80", Tcp);
    let seen = testkit::until("the outside answers", || ask(Some(&a.netns), "[2001:db8::2]:80", Tcp));
    assert_eq!(seen, "internet 2001:db8::1");
    let inside = serve(Some(&a.netns), "a", "[::]:80", Tcp);
    assert_eq!(ask(Some(&internet), "[2001:db8::1]:8080", Tcp).as_deref(), Some("a 2001:db8::2"));
    assert_eq!(ask(Some(&internet), "198.51.100.1:8080", Tcp).as_deref(), Some("a ::ffff:198.51.100.2"));
    assert_eq!(ask(Some(&b.netns), "[2001:db8::1]:8080", Tcp).as_deref(), Some("a fd00:7::ac14:1"));
    drop((outside, inside));
    lab.end([a, b]);
    unplug("up0");
}

/// `a` takes over the addresses of `b`; who asks for `b` still reaches `b`. Without our rules it reaches `a`: the attack works.
fn a_stolen_address_leads_nowhere(host: &Host) {
    let lab = Lab::new(host);
    let (a, b) = (lab.container("aaaaaaaaaaaa", &[]), lab.container("bbbbbbbbbbbb", &[]));
    let servers = [(&a, "thief"), (&b, "owner")].map(|(at, name)| serve(Some(&at.netns), name, "0.0.0.0:80", Tcp));
    let steal = || {
        sh("ip neigh flush dev tara0");
        a.sh("busybox arping -U -c 2 -I eth0 172.20.0.3 > /dev/null || true");
        ask(None, "172.20.0.3:80", Tcp)
    };
    // By its IP address, under its own hardware address.
    a.sh("ip addr add 172.20.0.3/16 dev eth0 && echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind");
    assert_eq!(steal().as_deref(), Some("owner 172.20.0.1"));
    // With its hardware address as well.
    a.sh("ip link set eth0 down && ip link set eth0 address 02:42:ac:14:00:03 && ip link set eth0 up");
    assert_eq!(steal().as_deref(), Some("owner 172.20.0.1"));
    // The thief itself has cut itself off: nothing that it sends passes.
    assert!(!a.pings("172.20.0.1"));
    // Silence the owner, and see that the theft would have worked.
    sh("nft delete table bridge tara");
    b.sh("ip link set eth0 down");
    assert_eq!(steal().as_deref(), Some("thief 172.20.0.1"));
    drop(servers);
    lab.end([a, b]);
}

fn a_subnet_in_use_is_not_chosen_and_asked_for_named(host: &Host) {
    let lab = Lab::new(host);
    sh("ip link add vpn0 type veth peer name vpn1 && ip addr add 172.20.5.1/24 dev vpn0 && ip link set vpn0 up");
    let a = lab.container("aaaaaaaaaaaa", &[]);
    assert_eq!(a.address(), "172.21.0.2");
    let settings = Settings { subnet: "172.20.0.0/16".parse().ok(), ..network_called("asked") };
    let error = lab.connect("bbbbbbbbbbbb", &settings, &[]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the subnet 172.20.0.0/16 collides with this host's route 172.20.5.0/24 through `vpn0`"
    );
    let free =
        Settings { subnet: "10.77.0.0/24".parse().ok(), gateway: "10.77.0.254".parse().ok(), ..network_called("free") };
    let b = lab.connect("bbbbbbbbbbbb", &free, &[]).unwrap();
    assert_eq!(b.address(), "10.77.0.1");
    assert!(b.sh("ip route").contains("default via 10.77.0.254"));
    lab.end([a, b]);
    unplug("vpn0");
}

fn a_forward_chain_that_drops_is_named(_host: &Host) {
    assert_eq!(forward_blocker().unwrap(), None);
    sh("nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; \
        add chain ip filter DOCKER-USER; add rule ip filter FORWARD jump DOCKER-USER'");
    let blocker = forward_blocker().unwrap().unwrap();
    assert!(blocker.to_string().starts_with("the chain `FORWARD` of the nf_tables table `ip filter` drops"));
    assert!(blocker.docker && blocker.help().contains("DOCKER-USER"), "{blocker:?}");
    sh("nft 'add rule ip filter DOCKER-USER iifname \"tara*\" accept'");
    assert_eq!(forward_blocker().unwrap(), None, "the remedy is seen");
    sh("nft delete table ip filter");
}

fn the_rules_of_others_stay_as_they_are(host: &Host) {
    let lab = Lab::new(host);
    sh("nft 'add table inet theirs; add chain inet theirs input { type filter hook input priority 0; }; \
        add rule inet theirs input tcp dport 22 accept; add table ip nat; add set ip nat s { type ipv4_addr; }'");
    sh("ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up");
    let before = (sh("nft list ruleset"), sh("ip -o addr show docker0"));
    let containers = [lab.container("aaaaaaaaaaaa", &["8080:80"]), lab.on("bbbbbbbbbbbb", "other")];
    assert_eq!(others(&sh("nft list ruleset")), others(&before.0));
    lab.end(containers);
    assert_eq!((sh("nft list ruleset"), sh("ip -o addr show docker0")), before);
    sh("ip link del docker0; nft flush ruleset");
}

/// A listing without our tables.
fn others(listing: &str) -> String {
    let mut ours = false;
    let keep = |line: &&str| {
        ours = if line.starts_with("table") { line.contains(" tara ") } else { ours };
        !ours
    };
    listing.lines().filter(keep).collect::<Vec<_>>().join("\n")
}

/// People save all rules and load them at boot: ours must not spoil theirs.
fn saved_rules_can_be_read_again(host: &Host) {
    let lab = Lab::new(host);
    let settings = Settings { subnet6: "fd00:7::/64".parse().ok(), ..network_called("six") };
    let a = lab.connect("a", &settings, &["8080:80", "127.0.0.1:8081:81/udp"]).unwrap();
    let saved = host.path("saved.nft");
    sh(&format!("nft list ruleset > {0} && nft -c -f {0}", saved.display()));
    lab.end([a]);
}

fn flushed_rules_come_back(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    let a = lab.container("aaaaaaaaaaaa", &[]);
    let server = serve(Some(&internet), "internet", "0.0.0.0:80", Tcp);
    let seen = || ask(Some(&a.netns), "198.51.100.2:80", Tcp);
    assert_eq!(seen().as_deref(), Some("internet 198.51.100.1"));
    sh("nft flush ruleset");
    assert_ne!(seen().as_deref(), Some("internet 198.51.100.1"));
    let b = lab.container("bbbbbbbbbbbb", &[]);
    assert_eq!(seen().as_deref(), Some("internet 198.51.100.1"), "the next container brings them back");
    drop(server);
    lab.end([a, b]);
    unplug("up0");
}

fn fifty_at_once(host: &Host) {
    let lab = Lab::new(host);
    let containers: Vec<_> = std::thread::scope(|scope| {
        let start = |number: usize| {
            let (id, port) = (format!("{number:02x}aaaaaaaaaa"), format!("{}:80", 8000 + number));
            lab.connect(&id, &Settings::default_network(), &[&port]).unwrap()
        };
        let threads: Vec<_> = (0..50).map(|number| scope.spawn(move || start(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let addresses: BTreeSet<_> = containers.iter().map(|container| container.address()).collect();
    assert_eq!((addresses.len(), published().unwrap().len()), (50, 50));
    let last = containers.last().unwrap();
    let server = serve(Some(&last.netns), "last", "0.0.0.0:80", Tcp);
    assert_eq!(ask(None, "127.0.0.1:8049", Tcp).as_deref(), Some("last 172.20.0.1"));
    drop(server);
    lab.end(containers);
    assert_eq!(sh("nft list ruleset"), "");
}

fn what_a_crash_leaves_is_reclaimed(host: &Host) {
    let lab = Lab::new(host);
    let a = lab.container("aaaaaaaaaaaa", &["8080:80"]);
    // The engine is dead, and its container lives on: a namespace that somebody holds.
    lab.networks.reclaim("aaaaaaaaaaaa").unwrap();
    lab.networks.reclaim("aaaaaaaaaaaa").unwrap();
    assert_eq!(published().unwrap(), []);
    assert!(lab.networks.leases("bridge").unwrap().is_empty().unwrap());
    assert!(!sh("ip link").contains(&host_end("aaaaaaaaaaaa", 0)));
    lab.networks.remove("bridge").unwrap();
    drop(a);
}

fn a_network_in_use_is_not_removed(host: &Host) {
    let lab = Lab::new(host);
    let a = lab.container("aaaaaaaaaaaa", &[]);
    let again = Networks::open(&host.path("networks")).unwrap();
    let error = again.remove("bridge").unwrap_err();
    assert!(matches!(&error, Error::NetworkInUse { users, .. } if *users == ["aaaaaaaaaaaa"]), "{error}");
    lab.end([a]);
    lab.networks.remove("bridge").unwrap();
    assert!(lab.networks.all().unwrap().is_empty());
}

/// The attack of the step before: abstract sockets have no file, so no file system keeps anybody from them.
fn the_hosts_abstract_sockets_are_out_of_reach(host: &Host) {
    let lab = Lab::new(host);
    let a = lab.container("aaaaaaaaaaaa", &[]);
    let address = || UnixAddress::from_abstract_name("testkit-canary").unwrap();
    let _listener = UnixListener::bind_addr(&address()).unwrap();
    assert!(UnixStream::connect_addr(&address()).is_ok(), "whoever shares the host's network reaches it");
    let inside = a.netns.within(|| Ok(UnixStream::connect_addr(&address()).is_ok())).unwrap();
    assert!(!inside, "a network namespace of one's own has abstract names of its own");
    lab.end([a]);
}
