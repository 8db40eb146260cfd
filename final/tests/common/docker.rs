//! Debian's dockerd beside the engine: the neighbour, and the bar.

use std::process::{Child, Stdio};
use testkit::{Host, Need, until};

/// What its tests need.
pub const DOCKERD: Need = Need::Program("dockerd", "docker.io");

/// dockerd on a fake host, with everything of its own below the test's folder, and the image `box` of the host's folder.
pub struct Docker<'h> {
    host: &'h Host,
    daemon: Child,
}

impl<'h> Docker<'h> {
    /// Starts it, waits until it answers, and gives it the image that [`super::Engine::with_box`] has made.
    pub fn start(host: &'h Host) -> Self {
        let at = |name: &str| host.path(name).display().to_string();
        let mut command = host.command("dockerd");
        command.args(["-H", &format!("unix://{}", at("docker.sock")), "--data-root", &at("docker-data")]);
        command.args(["--exec-root", &at("docker-exec"), "--pidfile", &at("docker.pid"), "--storage-driver", "vfs"]);
        let log = std::fs::File::create(at("docker.log")).unwrap();
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let docker = Self { host, daemon };
        until("dockerd answers", || docker.run("docker version").map(drop));
        docker.run(&format!("tar -C {} -c . | docker import - box", at("box"))).expect("the image `box`");
        docker
    }

    /// A shell command with `docker` in it; nothing when it fails.
    pub fn run(&self, command: &str) -> Option<String> {
        let script = format!("export DOCKER_HOST=unix://{}; {command}", self.host.path("docker.sock").display());
        let output = self.host.run(self.host.command("/bin/sh").args(["-c", &script]));
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
