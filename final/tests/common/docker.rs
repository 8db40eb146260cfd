//! Debian's dockerd on the fake host, with everything of its own below the test's folder.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use testkit::{Host, Need, Output, until};

pub const DOCKERD: Need = Need::Program("dockerd", "docker.io");

/// The daemon, and clients of it.
pub struct Docker<'h> {
    host: &'h Host,
    daemon: Child,
}

impl<'h> Docker<'h> {
    /// Waits until it answers. `options` are dockerd's.
    pub fn start(host: &'h Host, options: &[&str]) -> Self {
        let at = |name: &str| host.path(name).display().to_string();
        let mut command = host.command("dockerd");
        command.args(["-H", &format!("unix://{}", at("docker.sock")), "--data-root", &at("docker-data")]);
        command.args(["--exec-root", &at("docker-exec"), "--pidfile", &at("docker.pid")]).args(options);
        let log = File::create(at("docker.log")).unwrap();
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let docker = Self { host, daemon };
        until("dockerd answers", || (docker.run(&["version"]).code == 0).then_some(()));
        docker
    }

    /// With a bridge, and with the image `box` that [`super::Engine::with_box`] has made.
    pub fn with_box(host: &'h Host) -> Self {
        let docker = Self::start(host, &["--storage-driver", "vfs"]);
        let pack = format!("tar -C {} -c . | docker import - box", host.path("box").display());
        docker.shell(&pack).expect("the image `box`");
        docker
    }

    /// Without bridge and rules.
    pub fn without_network(host: &'h Host) -> Self {
        Self::start(host, &["--bridge", "none", "--iptables=false"])
    }

    fn with_address<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("DOCKER_HOST", format!("unix://{}", self.host.path("docker.sock").display()))
    }

    /// `docker` with these words; builds are by the classic builder, the only one that Debian has.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.host.command("docker");
        self.host.run(self.with_address(&mut command).env("DOCKER_BUILDKIT", "0").args(arguments))
    }

    /// A line for the shell; what it prints, when it succeeds.
    pub fn shell(&self, line: &str) -> Option<String> {
        let mut command = self.host.command("/bin/sh");
        let output = self.host.run(self.with_address(&mut command).args(["-c", line]));
        (output.code == 0).then_some(output.stdout)
    }

    /// Ends it, and removes what it leaves behind.
    pub fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.daemon.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        self.daemon.wait().unwrap();
        let left = "ip link del docker0; nft flush ruleset; rm -rf /run/containerd /run/docker";
        self.host.run(self.host.command("/bin/sh").args(["-c", left]));
    }
}
