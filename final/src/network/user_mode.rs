//! Networks without root: pasta(1) or slirp4netns(1) carries packets between a link inside and ordinary sockets of this user outside.
//!
//! Neither knows when a container ends. So a process of its own, the keeper, holds the container's pidfd and the tool: whatever happens to
//! the engine, the keeper's end is the container's, and the tool is killed with the keeper.

use crate::report::Refusal;
use anyhow::{Context, Result, bail};
use nix::fcntl::{OFlag, open};
use nix::libc::SIGKILL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode as Permissions;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, setsid};
use serde_json::json;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{Read, Write, stderr, stdin, stdout};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use step01_chroot::Program;
use step02_pid_ns::{CloneSpec, spawn};
use step04_net_bridge::{Port, PortSpec, Protocol, Published};
use sys::fd::{close_from_and, dup_onto};
use sys::process::exit_now;
use sys::{Failure, Whilst};

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The container has the host's own address.
    Pasta,
    /// The container is 10.0.2.100 behind a translator.
    Slirp4netns,
}

/// In `RUN/containers/<id>`: published ports, one a line.
const PORTS: &str = "ports";
/// In `RUN/containers/<id>`: the PID of the keeper, a child of the supervisor.
const KEEPER: &str = "keeper";
/// Where slirp4netns is asked for ports: in its working directory, since a whole path may be too long for a socket.
const SOCKET: &str = "network.sock";
/// The address that slirp4netns(1) gives.
const SLIRP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
const DEADLINE: Duration = Duration::from_secs(10);

impl Tool {
    /// Its name, which is also that of its package.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }

    /// The best that works here: it is installed, may make a link, and there is a way out.
    #[must_use]
    pub fn of_this_host() -> Option<Self> {
        let may_make_links = File::options().read(true).write(true).open("/dev/net/tun").is_ok();
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        let has_a_way_out = routes.lines().any(|line| line.split_ascii_whitespace().nth(1) == Some("00000000"));
        let installed = |tool: &Self| tool.program().is_some();
        [Self::Pasta, Self::Slirp4netns].into_iter().find(installed).filter(|_| may_make_links && has_a_way_out)
    }

    fn program(self) -> Option<PathBuf> {
        let folders = ["/usr/local/bin", "/usr/bin", "/bin"].into_iter();
        folders.map(|folder| Path::new(folder).join(self.name())).find(|path| path.is_file())
    }

    /// The container's address, for its `/etc/hosts`. Of pasta it is known only to the host.
    pub(super) fn address(self) -> IpAddr {
        match self {
            Self::Pasta => [127, 0, 1, 1].into(),
            Self::Slirp4netns => SLIRP.into(),
        }
    }

    /// Connects the network namespace of the process `host_pid`; `folder` is what lives of its container.
    pub(super) fn connect(self, folder: &Path, specs: &[PortSpec], host_pid: Pid) -> Result<()> {
        let ports = choose(specs, self.address())?;
        let program = Program::new(&self.command(folder, &ports)?, &[])?;
        let netns =
            open(format!("/proc/{host_pid}/ns/net").as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Permissions::empty());
        let netns = netns.context("open the network namespace")?;
        let log = File::create(folder.join("network.log")).context("make the log of the network")?;
        let end = sys::process::pidfd_open(host_pid).context("open the container's process")?;
        let keep = || keep(folder, program, &netns, &end, &log);
        let keeper = sys::clone::fork(keep).context("start the keeper of the network")?;
        fs::write(folder.join(KEEPER), keeper.to_string()).context("write down the keeper of the network")?;
        self.wait_until_ready(folder, host_pid, keeper)?;
        if self == Self::Slirp4netns {
            ports.iter().try_for_each(|port| forward(folder, port))?;
        }
        let line = |Published { port, container_port, .. }: &Published| {
            format!("{} {} {} {container_port}\n", port.address, port.protocol, port.number)
        };
        fs::write(folder.join(PORTS), ports.iter().map(line).collect::<String>()).context("write down the ports")
    }

    fn command(self, folder: &Path, ports: &[Published]) -> Result<Vec<String>> {
        let missing = || Refusal::new(format!("`{}` is not installed", self.name()));
        let help = "install the package `passt` or `slirp4netns`; or go without: `--network none`";
        let program = self.program().ok_or_else(|| missing().help(help))?;
        let mut command = vec![program.display().to_string()];
        let mut add = |words: &[&str]| command.extend(words.iter().map(|word| (*word).to_owned()));
        let file = |name: &str| folder.join(name).display().to_string();
        match self {
            Self::Pasta => {
                add(&["-f", "-q", "--config-net", "--ns-ifname", "eth0", "--no-map-gw", "-T", "none", "-U", "none"]);
                // Its standard input is the namespace: without the right to trace it could not open it by another name.
                add(&["--pid", &file("network.pid"), "--netns-only", "--netns", "/proc/self/fd/0"]);
                for (option, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
                    let of_protocol: Vec<_> = ports.iter().filter(|port| port.port.protocol == protocol).collect();
                    for Published { port, container_port, .. } in &of_protocol {
                        let number = format!("{}:{container_port}", port.number);
                        let all = port.address.is_unspecified();
                        add(&[option, &if all { number } else { format!("{}/{number}", port.address) }]);
                    }
                    if of_protocol.is_empty() {
                        add(&[option, "none"]);
                    }
                }
            }
            Self::Slirp4netns => {
                add(&["--configure", "--disable-host-loopback", "--mtu=65520", "--api-socket", SOCKET]);
                add(&["--netns-type=path", "/proc/self/fd/0", "eth0"]);
            }
        }
        Ok(command)
    }

    fn wait_until_ready(self, folder: &Path, host_pid: Pid, keeper: Pid) -> Result<()> {
        let begin = Instant::now();
        while !self.is_ready(folder, host_pid) {
            let gave_up = waitpid(keeper, Some(WaitPidFlag::WNOHANG)).map(|status| status.pid().is_some());
            if gave_up != Ok(false) || begin.elapsed() > DEADLINE {
                let words = last_words(&fs::read_to_string(folder.join("network.log")).unwrap_or_default()).to_owned();
                let refusal = Refusal::new(format!("{} cannot connect the container: {words}", self.name()));
                bail!(refusal.help(
                    "it needs a default route, /dev/net/tun, and ports above 1023; or go without: `--network none`"
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn is_ready(self, folder: &Path, host_pid: Pid) -> bool {
        match self {
            // Written when everything is in place.
            Self::Pasta => fs::read_to_string(folder.join("network.pid")).is_ok_and(|pid| !pid.is_empty()),
            Self::Slirp4netns => {
                let routes = fs::read_to_string(format!("/proc/{host_pid}/net/route")).unwrap_or_default();
                routes.contains("eth0\t00000000") && folder.join(SOCKET).exists()
            }
        }
    }
}

/// What a tool said last, of itself and not of the machine's log, which it may not reach.
fn last_words(log: &str) -> &str {
    log.lines().rfind(|line| !line.contains("syslog")).unwrap_or("it ended without a word")
}

/// The ports of the host: those asked for, else any free one.
fn choose(specs: &[PortSpec], inside: IpAddr) -> Result<Vec<Published>> {
    let mut all = Vec::new();
    for spec in specs {
        let address = spec.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        for (index, container_port) in spec.container.clone().enumerate() {
            let wanted = spec.host.clone().and_then(|mut host| host.nth(index));
            let number = wanted.map_or_else(|| free(address, spec.protocol), Ok)?;
            let port = Port { address, protocol: spec.protocol, number };
            all.push(Published { port, address: inside, container_port });
        }
    }
    Ok(all)
}

fn free(address: IpAddr, protocol: Protocol) -> Result<u16> {
    let found = match protocol {
        Protocol::Tcp => TcpListener::bind((address, 0)).and_then(|listener| listener.local_addr()),
        Protocol::Udp => UdpSocket::bind((address, 0)).and_then(|socket| socket.local_addr()),
    };
    Ok(found.context("find a free port")?.port())
}

/// Waits until the tool is gone, and with it the ports of the host. By the supervisor, after the container's end.
pub(super) fn release(folder: &Path) {
    let keeper = fs::read_to_string(folder.join(KEEPER)).ok().and_then(|pid| pid.parse().ok());
    let _not_ours_or_gone = keeper.map(|pid| waitpid(Pid::from_raw(pid), None));
}

/// The published ports of the container whose folder this is.
pub(super) fn ports(folder: &Path) -> Vec<Published> {
    let text = fs::read_to_string(folder.join(PORTS)).unwrap_or_default();
    let port = |line: &str| {
        let mut words = line.split(' ');
        let address = words.next()?.parse().ok()?;
        let protocol = if words.next()? == "udp" { Protocol::Udp } else { Protocol::Tcp };
        let port = Port { address, protocol, number: words.next()?.parse().ok()? };
        Some(Published { port, address: SLIRP.into(), container_port: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(port).collect()
}

/// Source: slirp4netns(1), "API SOCKET".
fn forward(folder: &Path, Published { port, container_port, .. }: &Published) -> Result<()> {
    let request = json!({ "execute": "add_hostfwd", "arguments": {
        "proto": port.protocol.to_string(), "host_addr": port.address.to_string(), "host_port": port.number,
        "guest_addr": SLIRP.to_string(), "guest_port": container_port,
    }});
    let folder = File::open(folder).context("open what lives of the container")?;
    let socket = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    let mut stream = UnixStream::connect(socket).context("connect to slirp4netns")?;
    stream.write_all(request.to_string().as_bytes()).context("ask slirp4netns for a port")?;
    stream.shutdown(Shutdown::Write).context("ask slirp4netns for a port")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("read the answer of slirp4netns")?;
    if answer.contains("\"error\"") {
        let refusal = Refusal::new(format!("slirp4netns cannot publish {port}: {}", answer.trim()));
        bail!(refusal.help("choose another port of the host, above 1023"));
    }
    Ok(())
}

/// The keeper: a process with one thread and three descriptors.
fn keep(folder: &Path, program: Program, netns: &OwnedFd, end: &OwnedFd, log: &File) -> u8 {
    let _leads_one_already = setsid();
    if std::env::set_current_dir(folder).is_err() {
        return 1;
    }
    let program: &'static Program = Box::leak(Box::new(program));
    let own = [netns.as_fd(), end.as_fd(), log.as_fd()];
    let moved = (0..).zip(own).try_for_each(|(number, fd)| dup_onto(fd, number));
    u8::from(moved.and_then(|()| close_from_and(3, program, keep_on_standard_descriptors)).is_err())
}

fn keep_on_standard_descriptors(program: &'static Program) -> Infallible {
    let child_half = || -> Result<&dyn sys::exec::Execute, Failure<'_>> {
        dup_onto(stderr().as_fd(), 1).whilst("make standard output of", c"the log")?;
        Ok(program)
    };
    let kept = spawn(&CloneSpec { dies_with_parent: true, ..CloneSpec::default() }, child_half).map(|tool| {
        let (container, us) = (stdout(), stdin());
        // The namespace is the tool's affair from here on, but 0 stays taken.
        let _kept_open = us.as_fd();
        let mut ends =
            [PollFd::new(container.as_fd(), PollFlags::POLLIN), PollFd::new(tool.as_fd(), PollFlags::POLLIN)];
        let _nothing_to_add = poll(&mut ends, PollTimeout::NONE);
        // Our end says that the ports are free again.
        let _ended_already = tool.signal(SIGKILL);
        tool.wait()
    });
    if let Err(error) = &kept {
        eprintln!("{error}");
    }
    exit_now(u8::from(kept.is_err()))
}
