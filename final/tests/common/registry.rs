//! Registries on the fake host's loopback.

use super::TARA;
use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use testkit::{Host, Need, until};

pub const REGISTRY: Need = Need::Program("docker-registry", "docker-registry");
pub const IP: Need = Need::Program("ip", "iproute2");

/// A server that ends with the test.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

fn start(mut command: Command, port: u16) -> Server {
    let server = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("the registry listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    server
}

pub fn loopback(host: &Host) {
    host.run(host.command("/sbin/ip").args(["link", "set", "lo", "up"])).ok();
}

/// Debian's registry on port 5000; `http` are more lines of that part of its configuration, `more` other parts.
pub fn docker_registry(host: &Host, http: &str, more: &str) -> Server {
    loopback(host);
    let folder = host.folder("registry");
    let config = host.path("registry.yml");
    let text = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:5000\n{http}{more}",
        folder.display()
    );
    fs::write(&config, text).unwrap();
    let mut command = host.command("/usr/bin/docker-registry");
    command.arg("serve").arg(&config);
    start(command, 5000)
}

/// `tara registry serve` on port 5001, of a store beside the engine's own.
pub fn served(host: &Host, options: &[&str]) -> Server {
    loopback(host);
    let mut command = host.command(TARA);
    command.arg("--root").arg(host.path("served")).arg("--run-root").arg(host.path("served-run"));
    command.args(["registry", "serve", "--listen", "127.0.0.1:5001"]).args(options);
    start(command, 5001)
}
