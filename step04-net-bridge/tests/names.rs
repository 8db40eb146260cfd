//! Names of containers inside a network, and the rest of the world's behind them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Container, IP, Lab, machine, network_called, unplug};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use step04_net_bridge::dns::{Names, Sockets, serve};
use step04_net_bridge::{Netns, Request, Settings};
use testkit::{BUSYBOX, Host};

testkit::suite! {
    names_of_a_network_are_known_in_it_alone: [IP, BUSYBOX],
    the_rest_is_asked_of_the_hosts_resolvers: [IP, BUSYBOX],
    long_answers_come_by_tcp: [IP],
    without_a_resolver_the_answer_comes_at_once: [IP],
}

/// A forwarder for one container; it stops when this is dropped.
struct Forwarder {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    fn start(lab: &Lab<'_>, container: &Container, resolvers: &[&str]) -> Self {
        let sockets = Sockets::open(&container.netns).unwrap();
        let mut names = Names::of(&lab.networks, &[&container.network]).unwrap();
        let resolvers: Vec<IpAddr> = resolvers.iter().map(|resolver| resolver.parse().unwrap()).collect();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || serve(&sockets, &mut names, &resolvers, stopped.as_fd()).unwrap());
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

fn on(lab: &Lab<'_>, id: &str, network: &Settings, names: &[&str]) -> Container {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    lab.connect_as(&Request { id: id.to_owned(), names, ..Request::default() }, network, &[]).unwrap()
}

/// The addresses that busybox finds inside.
fn lookup(from: &Container, kind: &str, name: &str) -> Vec<String> {
    let look = || {
        let mut command = Command::new("busybox");
        Ok(command.args(["nslookup", &format!("-type={kind}"), name, "127.0.0.11"]).output().unwrap().stdout)
    };
    let text = String::from_utf8(from.netns.within(look).unwrap()).unwrap();
    // The first addresses are the server's own.
    let answers =
        text.split_once("\n\n").map_or("", |(_, answers)| answers).lines().filter(|line| !line.starts_with("**"));
    answers
        .filter_map(|line| line.split_once(": ").or_else(|| line.split_once("name = ")))
        .filter(|(key, _)| !key.starts_with("Name"))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

fn names_of_a_network_are_known_in_it_alone(host: &Host) {
    let lab = Lab::new(host);
    let six = Settings { subnet6: "fd00:7::/64".parse().ok(), ..network_called("app") };
    let a = on(&lab, "aaaaaaaaaaaa", &six, &["Web", "www"]);
    let other = on(&lab, "cccccccccccc", &network_called("other"), &["secret"]);
    let forwarder = Forwarder::start(&lab, &a, &[]);
    let b = on(&lab, "bbbbbbbbbbbb", &six, &["db", "www"]);
    assert_eq!(lookup(&a, "a", "db"), ["172.20.0.3"], "one that came later");
    assert_eq!(lookup(&a, "a", "DB.app"), ["172.20.0.3"]);
    assert_eq!(lookup(&a, "a", "bbbbbbbbbbbb"), ["172.20.0.3"]);
    assert_eq!(lookup(&a, "a", "web"), ["172.20.0.2"]);
    let both: std::collections::BTreeSet<_> = lookup(&a, "a", "www").into_iter().collect();
    assert_eq!(both.len(), 2, "an alias of both");
    assert_eq!(lookup(&a, "aaaa", "db"), ["fd00:7::ac14:3"]);
    assert_eq!(lookup(&a, "ptr", "3.0.20.172.in-addr.arpa"), ["db.app"]);
    assert!(lookup(&a, "a", "secret").is_empty(), "a name of another network");
    lab.networks.leave("app", "bbbbbbbbbbbb").unwrap();
    assert!(lookup(&a, "a", "db").is_empty(), "one that has gone");
    drop(forwarder);
    lab.end([a, b, other]);
}

fn the_rest_is_asked_of_the_hosts_resolvers(host: &Host) {
    let lab = Lab::new(host);
    let internet = machine("up0", "198.51.100.1", "198.51.100.2");
    let resolver = resolver(&internet, 1);
    let a = on(&lab, "aaaaaaaaaaaa", &network_called("app"), &["web"]);
    // The first does not answer, the second refuses.
    let forwarder = Forwarder::start(&lab, &a, &["198.51.100.1", "198.51.100.2"]);
    assert_eq!(query_udp(&a, "example.org"), "203.0.113.99");
    resolver.join().unwrap();
    drop(forwarder);
    lab.end([a]);
    unplug("up0");
}

fn long_answers_come_by_tcp(host: &Host) {
    let lab = Lab::new(host);
    let a = on(&lab, "aaaaaaaaaaaa", &network_called("app"), &["web"]);
    let forwarder = Forwarder::start(&lab, &a, &[]);
    let ask = || {
        let mut stream = TcpStream::connect("127.0.0.11:53").unwrap();
        let query = query("web");
        stream.write_all(&u16::try_from(query.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&query).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Ok(answer)
    };
    assert_eq!(last_four(&a.netns.within(ask).unwrap()), "172.20.0.2");
    drop(forwarder);
    lab.end([a]);
}

fn without_a_resolver_the_answer_comes_at_once(host: &Host) {
    let lab = Lab::new(host);
    let a = on(&lab, "aaaaaaaaaaaa", &network_called("app"), &[]);
    let forwarder = Forwarder::start(&lab, &a, &[]);
    let answer = a.netns.within(|| Ok(exchange("example.org"))).unwrap();
    assert_eq!(answer[3] & 0xf, 2, "server failure");
    drop(forwarder);
    lab.end([a]);
}

/// A resolver that answers so many questions, all with the same address.
fn resolver(netns: &Arc<Netns>, questions: usize) -> JoinHandle<()> {
    let netns = netns.clone();
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let answer = move || {
        let socket = UdpSocket::bind("0.0.0.0:53").unwrap();
        ready.send(()).unwrap();
        for _ in 0..questions {
            let mut message = [0; 512];
            let (length, client) = socket.recv_from(&mut message).unwrap();
            let mut answer = message[..length].to_vec();
            (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 99]);
            // A forger who does not know the number comes first.
            let mut forged = answer.clone();
            forged[0] ^= 0xff;
            *forged.last_mut().unwrap() = 66;
            socket.send_to(&forged, client).unwrap();
            socket.send_to(&answer, client).unwrap();
        }
        Ok(())
    };
    let thread = std::thread::spawn(move || netns.within(answer).unwrap());
    is_ready.recv().unwrap();
    thread
}

fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn query_udp(from: &Container, name: &str) -> String {
    last_four(&from.netns.within(|| Ok(exchange(name))).unwrap())
}

fn exchange(name: &str) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(9))).unwrap();
    socket.send_to(&query(name), "127.0.0.11:53").unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    answer[..length].to_vec()
}

/// The address that ends an answer.
fn last_four(answer: &[u8]) -> String {
    let octets: [u8; 4] = answer[answer.len() - 4..].try_into().unwrap();
    IpAddr::from(octets).to_string()
}
