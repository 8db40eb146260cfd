//! Machines for the tests: containers of the library, and others that know nothing of it, each a network namespace.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use step04_net_bridge::{Endpoint, Error, Netns, Networks, Protocol, Request, Settings};
use testkit::{Host, Need};

pub(crate) const NFT: Need = Need::Program("nft", "nftables");
pub(crate) const IP: Need = Need::Program("ip", "iproute2");

/// A host with networks of its own.
pub(crate) struct Lab<'a> {
    pub(crate) host: &'a Host,
    pub(crate) networks: Networks,
}

/// A container as far as its network goes.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) network: String,
    pub(crate) netns: Arc<Netns>,
    pub(crate) endpoint: Endpoint,
}

impl<'a> Lab<'a> {
    pub(crate) fn new(host: &'a Host) -> Self {
        sh("ip link set lo up");
        Self { host, networks: Networks::open(&host.path("networks")).unwrap() }
    }

    pub(crate) fn connect(&self, id: &str, settings: &Settings, ports: &[&str]) -> Result<Container, Error> {
        self.connect_as(&Request { id: id.to_owned(), ..Request::default() }, settings, ports)
    }

    pub(crate) fn connect_as(
        &self,
        request: &Request,
        settings: &Settings,
        ports: &[&str],
    ) -> Result<Container, Error> {
        let joined = self.networks.join(settings, request)?;
        let netns = Netns::create()?;
        let ports: Vec<_> = ports.iter().map(|port| port.parse()).collect::<Result<_, _>>()?;
        let endpoint = Endpoint::connect(&joined, &netns, &ports)?;
        Ok(Container { id: request.id.clone(), network: settings.name.clone(), netns: Arc::new(netns), endpoint })
    }

    pub(crate) fn container(&self, id: &str, ports: &[&str]) -> Container {
        self.connect(id, &Settings::default_network(), ports).unwrap()
    }

    pub(crate) fn on(&self, id: &str, network: &str) -> Container {
        self.connect(id, &network_called(network), &[]).unwrap()
    }

    /// Ends all of `containers` and removes their networks.
    pub(crate) fn end(&self, containers: impl IntoIterator<Item = Container>) {
        let mut names = std::collections::BTreeSet::new();
        for container in containers {
            container.endpoint.unpublish().unwrap();
            self.networks.leave(&container.network, &container.id).unwrap();
            names.insert(container.network);
        }
        names.iter().for_each(|name| self.networks.remove(name).unwrap());
    }
}

impl Container {
    pub(crate) fn address(&self) -> String {
        self.endpoint.lease.address.to_string()
    }

    pub(crate) fn pings(&self, address: &str) -> bool {
        ping(&self.netns, address)
    }

    pub(crate) fn sh(&self, script: &str) -> String {
        self.netns.within(|| Ok(sh(script))).unwrap()
    }
}

pub(crate) fn network_called(name: &str) -> Settings {
    Settings { name: name.to_owned(), ..Settings::default() }
}

/// Another machine, `address`/24, on a wire to this host, which gets `gateway`; `link` is the host's end.
pub(crate) fn machine(link: &str, gateway: &str, address: &str) -> Arc<Netns> {
    let netns = Netns::create().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd());
    sh(&format!("ip link add {link} type veth peer name eth0 netns {path}"));
    sh(&format!("ip addr add {gateway}/24 dev {link} && ip link set {link} up"));
    let inside = format!("ip link set lo up && ip addr add {address}/24 dev eth0 && ip link set eth0 up");
    netns.within(|| Ok(sh(&format!("{inside} && ip route add default via {gateway}")))).unwrap();
    Arc::new(netns)
}

/// Unplugs a machine.
pub(crate) fn unplug(link: &str) {
    sh(&format!("ip link del {link}"));
}

/// Runs a script in the network namespace of the calling thread.
pub(crate) fn sh(script: &str) -> String {
    let output =
        Command::new("/bin/sh").args(["-c", script]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{script}\n{}\n{}", text(output.stdout), text(output.stderr));
    text(output.stdout)
}

pub(crate) fn ping(from: &Netns, address: &str) -> bool {
    let ping = || {
        let mut command = Command::new("busybox");
        Ok(command.args(["ping", "-c", "1", "-W", "1", "-q", address]).output().unwrap().status.success())
    };
    from.within(ping).unwrap()
}

/// A server that answers each client with its own name and the address it sees.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// A server in `netns`, or without one where the test is.
pub(crate) fn serve(netns: Option<&Arc<Netns>>, name: &str, address: &str, protocol: Protocol) -> Server {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, netns) = (stop.clone(), netns.cloned());
    let (name, address) = (name.to_owned(), address.to_owned());
    let (ready, is_ready) = sync_channel(1);
    let thread = std::thread::spawn(move || {
        let work = || {
            match protocol {
                Protocol::Tcp => serve_tcp(&name, &TcpListener::bind(&address).unwrap(), &stopped, &ready),
                Protocol::Udp => serve_udp(&name, &UdpSocket::bind(&address).unwrap(), &stopped, &ready),
            }
            Ok(())
        };
        match netns {
            Some(netns) => netns.within(work).unwrap(),
            None => work().unwrap(),
        }
    });
    is_ready.recv().unwrap();
    Server { stop, thread: Some(thread) }
}

type Ready = std::sync::mpsc::SyncSender<()>;

fn serve_tcp(name: &str, listener: &TcpListener, stop: &AtomicBool, ready: &Ready) {
    listener.set_nonblocking(true).unwrap();
    ready.send(()).unwrap();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((mut client, peer)) => drop(client.write_all(format!("{name} {}", peer.ip()).as_bytes())),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn serve_udp(name: &str, socket: &UdpSocket, stop: &AtomicBool, ready: &Ready) {
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    ready.send(()).unwrap();
    let mut word = [0; 16];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, peer)) = socket.recv_from(&mut word) {
            socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer).unwrap();
        }
    }
}

/// How long an answer may take. A packet over a link that came up just now may be lost: TCP asks again after a second.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What the server at `address` says to a client in `netns`; `None` when there is no answer.
pub(crate) fn ask(netns: Option<&Netns>, address: &str, protocol: Protocol) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    let work = || {
        Ok(match protocol {
            Protocol::Tcp => ask_tcp(address),
            Protocol::Udp => ask_udp(address),
        })
    };
    match netns {
        Some(netns) => netns.within(work).unwrap(),
        None => work().unwrap(),
    }
}

fn ask_tcp(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn ask_udp(address: SocketAddr) -> Option<String> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    // Connected, so that an answer from another address than the one asked is no answer.
    socket.connect(address).ok()?;
    socket.set_read_timeout(Some(PATIENCE / 5)).unwrap();
    let mut answer = [0; 256];
    let mut ask = || socket.send(b"?").and_then(|_| socket.recv(&mut answer)).ok();
    let length = (0..5).find_map(|_| ask())?;
    Some(String::from_utf8(answer[..length].to_vec()).unwrap())
}
