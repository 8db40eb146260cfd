//! Other engines, with all that they keep below the test's folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{Host, Output};

/// As many processes and as much memory as the cards' targets have.
const LIMITS: [&str; 4] = ["--pids-limit", "60", "--memory", "32m"];
/// The defaults of some machines are more than their root may set.
const ULIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
const START: Duration = Duration::from_secs(30);

/// dockerd, where it is the target.
pub(super) struct Engine(Option<Child>);

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.0 {
            let _ended_already = Command::new("kill").arg(daemon.id().to_string()).status();
            let _reaped = daemon.wait();
        }
    }
}

impl Engine {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// A daemon of the fake host's own, with the image `box`. What keeps it from starting is what its commands say.
    pub(super) fn start(host: &Host, root: &Path) -> Self {
        let up = host.run(host.command("busybox").args(["ip", "link", "set", "lo", "up"]));
        assert_eq!(up.code, 0, "{}", up.stderr);
        let at = |name: &str| host.path(name).display().to_string();
        let mut command = host.command("dockerd");
        command.args(["-H", &socket(host), "--data-root", &at("docker"), "--exec-root", &at("docker-run")]);
        command.args(["--pidfile", &at("docker.pid"), "--storage-driver", "overlay2"]);
        let log = std::fs::File::create(at("docker.log")).expect("the daemon's log");
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("dockerd");
        let mut engine = Self(Some(daemon));
        if engine.answers(host) {
            let archive = at("box.tar");
            let packed = host.run(host.command("tar").arg("-C").arg(root).args(["-cf", &archive, "."]));
            assert_eq!(packed.code, 0, "{}", packed.stderr);
            let _said_by_the_first_run = engine.ask(host, &["import", &archive, "box"]);
        }
        engine
    }

    fn answers(&mut self, host: &Host) -> bool {
        let begin = Instant::now();
        while self.ask(host, &["version"]).code != 0 {
            let ended = self.0.as_mut().is_none_or(|daemon| !matches!(daemon.try_wait(), Ok(None)));
            if ended || begin.elapsed() > START {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    pub(super) fn ask(&self, host: &Host, arguments: &[&str]) -> Output {
        host.run(host.command("docker").args(["-H", &socket(host)]).args(arguments))
    }

    pub(super) fn docker(&self, host: &Host, parent: &str, program: &[&str]) -> Output {
        let options = [&["run", "--rm", "--cgroup-parent", parent], &LIMITS[..], &ULIMITS, &["box"]].concat();
        self.ask(host, &[&options, program].concat())
    }
}

fn socket(host: &Host) -> String {
    format!("unix://{}", host.path("docker.sock").display())
}

/// Podman on a directory, with the runtime that it chooses.
pub(super) fn podman(host: &Host, parent: &str, root: &str, program: &[&str]) -> Output {
    let options = ["run", "--rm", "--network", "none", "--cgroup-parent", parent];
    let options = [&options[..], &LIMITS, &ULIMITS, &["--rootfs", root]].concat();
    ask_podman(host, &[&options, program].concat())
}

pub(super) fn ask_podman(host: &Host, arguments: &[&str]) -> Output {
    let at = |name: &str| host.path(name).display().to_string();
    let mut command = host.command("podman");
    command.args(["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
    command.args(["--root", &at("podman"), "--runroot", &at("podman-run"), "--tmpdir", &at("podman-tmp")]);
    host.run(command.args(arguments))
}

/// A runtime with the `config.json` that it writes itself.
pub(super) fn bundle(host: &Host, runtime: &str, root: &Path, program: &[&str]) -> Output {
    let bundle = host.folder("bundle");
    let path = bundle.join("config.json");
    let _of_the_run_before = std::fs::remove_file(&path);
    let spec = host.run(host.command(runtime).arg("spec").current_dir(&bundle));
    assert_eq!(spec.code, 0, "{}", spec.stderr);
    let text = std::fs::read_to_string(&path).expect("the configuration of the runtime");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = program.into();
    // What a machine's root may not raise the runtime may not, either.
    config["process"]["rlimits"] = serde_json::json!([]);
    config["root"] = serde_json::json!({ "path": root, "readonly": false });
    std::fs::write(&path, config.to_string()).expect("the configuration");
    let mut command = host.command(runtime);
    command.arg("--root").arg(host.folder("runtime")).arg("run").arg("--bundle").arg(&bundle).arg("attacked");
    host.run(&mut command)
}
