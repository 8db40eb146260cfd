//! Podman, containerd and Docker, as Debian has them, start their containers with `tara-oci`.
//!
//! Each runs with directories, sockets and namespaces of its own on the fake host. What they leave there is theirs; what is looked at
//! is that no container of the runtime stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use step04_net_bridge::Netns;
use testkit::Need::{Program, Root, Time};
use testkit::{BUSYBOX, Host, Need, Output};

const LONG: Need = Time(Duration::from_secs(180));
const CONTAINERD: Need = Program("containerd", "containerd");
const SCRIPT: Need = Program("script", "bsdutils");
/// A machine where nobody may raise a limit.
const ULIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

testkit::suite! {
    podman_runs_executes_and_stops: [Root, BUSYBOX, Program("podman", "podman"), SCRIPT, LONG],
    podman_publishes_ports_and_has_pods: [Root, BUSYBOX, Program("podman", "podman"), LONG],
    containerd_runs_executes_pauses_and_kills: [Root, BUSYBOX, CONTAINERD, SCRIPT, LONG],
    containerd_runs_fifty_in_a_row: [Root, BUSYBOX, CONTAINERD, LONG],
    docker_runs_executes_and_stops: [Root, BUSYBOX, CONTAINERD, Program("dockerd", "docker.io"), Program("docker", "docker.io"), SCRIPT, LONG],
    docker_builds_and_restarts: [Root, BUSYBOX, CONTAINERD, Program("dockerd", "docker.io"), Program("docker", "docker.io"), LONG],
    a_swarm_of_two_spreads_grows_and_drains: [Root, BUSYBOX, CONTAINERD, Program("dockerd", "docker.io"), Program("docker", "docker.io"), Program("ip", "iproute2"), LONG],
}

/// A caller of the runtime: the words that every call of it begins with.
struct Caller<'h> {
    host: &'h Host,
    words: Vec<String>,
}

/// Its daemon, as long as this lives.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = Command::new("kill").arg(self.0.id().to_string()).status();
        let _it_ends = self.0.wait();
    }
}

/// `tara` by the name that makes it the runtime.
fn runtime(host: &Host) -> String {
    let link = host.path("tara-oci");
    let _there_already = symlink(env!("CARGO_BIN_EXE_tara"), &link);
    link.to_str().unwrap().to_owned()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn path(host: &Host, name: &str) -> String {
    host.path(name).to_str().unwrap().to_owned()
}

/// A root file system as an archive.
fn archive(host: &Host) -> PathBuf {
    let (root, file) = (host.busybox_root("box"), host.path("box.tar"));
    host.run(host.command("tar").arg("-C").arg(root).arg("-cf").arg(&file).arg(".")).ok();
    file
}

impl Caller<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(&self.words[0]);
        command.args(&self.words[1..]).args(arguments).env("DOCKER_BUILDKIT", "0");
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.host.run(&mut self.command(arguments))
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.call(arguments).ok().trim().to_owned()
    }

    /// The same at a terminal.
    fn at_a_terminal(&self, arguments: &[&str]) -> String {
        let quoted: Vec<String> = self
            .words
            .iter()
            .map(String::as_str)
            .chain(arguments.iter().copied())
            .map(|word| format!("'{word}'"))
            .collect();
        let mut script = self.host.command("script");
        script.args(["-qec", &quoted.join(" "), "/dev/null"]);
        self.host.run(&mut script).ok()
    }

    fn wait_for(&self, expected: &str, arguments: &[&str]) {
        let begin = Instant::now();
        while self.call(arguments).stdout.trim() != expected {
            let in_time = begin.elapsed() < Duration::from_secs(30);
            assert!(in_time, "{arguments:?} does not become `{expected}`: {:?}", self.call(arguments));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Nothing of a container is left where the runtime keeps them. What the callers leave in `/run` is not ours to look at: so this is
/// the end of the test.
fn done(daemon: Option<Daemon>, folders: &[&str]) -> ! {
    for folder in folders {
        let left: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    drop(daemon);
    testkit::end_without_leak_check()
}

// ---- Podman --------------------------------------------------------------------------------------------------------

fn podman(host: &Host) -> Caller<'_> {
    let folder = |name| path(host, name);
    let mut all =
        words(&["podman", "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
    all.extend(["--root".into(), folder("podman"), "--runroot".into(), folder("podman-run")]);
    all.extend(["--tmpdir".into(), folder("podman-tmp"), "--runtime".into(), runtime(host)]);
    let podman = Caller { host, words: all };
    podman.ok(&["import", archive(host).to_str().unwrap(), "box"]);
    podman
}

/// `run` with what this kind of machine and the test's cgroups want.
fn run<'w>(parent: &'w str, options: &[&'w str], program: &[&'w str]) -> Vec<&'w str> {
    [&["run", "--cgroup-parent", parent], &ULIMITS[..], options, &["box"], program].concat()
}

fn podman_runs_executes_and_stops(host: &Host) {
    let (podman, parent) = (podman(host), host.cgroup_parent());
    let none = ["--rm", "--network", "none"];
    assert_eq!(podman.ok(&run(&parent, &none, &["echo", "hello"])), "hello");
    assert_eq!(podman.call(&run(&parent, &none, &["sh", "-c", "exit 42"])).code, 42);
    assert_eq!(podman.call(&run(&parent, &none, &["nosuch"])).code, 127);
    assert_eq!(podman.call(&run(&parent, &none, &["/etc/passwd"])).code, 126);
    let shown = podman.at_a_terminal(&run(
        &parent,
        &["--rm", "-it", "--network", "none"],
        &["sh", "-c", "test -t 0 && echo yes"],
    ));
    assert!(shown.contains("yes"), "{shown}");
    let volume = format!("{}:/v:ro", host.folder("volume").display());
    let options = ["-d", "--name", "one", "--network", "none", "--memory", "64m", "-v", &volume];
    podman.ok(&run(&parent, &options, &["sh", "-c", "echo said; exec sleep 1000"]));
    podman.wait_for("said", &["logs", "one"]);
    assert_eq!(podman.ok(&["exec", "one", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]), "67108864");
    assert_ne!(podman.call(&["exec", "one", "touch", "/v/new"]).code, 0);
    assert_eq!(podman.call(&["exec", "one", "nosuch"]).code, 127);
    let shown = podman.at_a_terminal(&["exec", "-it", "one", "sh", "-c", "test -t 0 && echo yes"]);
    assert!(shown.contains("yes"), "{shown}");
    assert!(podman.ok(&["stats", "--no-stream", "one"]).contains("67.11MB"));
    podman.ok(&["pause", "one"]);
    podman.ok(&["unpause", "one"]);
    podman.ok(&["stop", "-t", "1", "one"]);
    assert_eq!(podman.ok(&["inspect", "-f", "{{.State.ExitCode}}", "one"]), "137");
    podman.ok(&["rm", "one"]);
    done(None, &["/run/tara/oci"]);
}

fn podman_publishes_ports_and_has_pods(host: &Host) {
    let (podman, parent) = (podman(host), host.cgroup_parent());
    assert!(host.run(host.command("ip").args(["link", "set", "lo", "up"])).code == 0);
    podman.ok(&run(&parent, &["-d", "--name", "web", "-p", "8088:80"], &["httpd", "-f", "-p", "80", "-h", "/etc"]));
    let fetch = Caller { host, words: words(&["busybox", "wget"]) };
    fetch.wait_for(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false",
        &["-qO-", "http://127.0.0.1:8088/passwd"],
    );
    podman.ok(&["rm", "-f", "-t", "0", "web"]);
    let infra = ["--infra-image", "box", "--infra-command", "sleep 1000"];
    podman
        .ok(&[&["pod", "create", "--name", "pod", "--network", "none", "--cgroup-parent", &parent], &infra[..]]
            .concat());
    let member = |options: &[&'static str], program: &[&'static str]| {
        podman.ok(&[&["run", "--pod", "pod"], options, &ULIMITS, &["box"], program].concat())
    };
    member(&["-d"], &["nc", "-ll", "-p", "99", "-e", "echo", "pong"]);
    let ask = "until nc 127.0.0.1 99; do sleep 0.1; done";
    assert_eq!(member(&["--rm"], &["sh", "-c", ask]), "pong");
    podman.ok(&["pod", "rm", "-f", "-t", "0", "pod"]);
    done(None, &["/run/tara/oci"]);
}

// ---- containerd ----------------------------------------------------------------------------------------------------

fn containerd(host: &Host) -> (Caller<'_>, Daemon) {
    let (socket, config) = (path(host, "cd.sock"), host.path("containerd.toml"));
    let text = format!(
        "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = \"{socket}\"\n",
        path(host, "cd"),
        path(host, "cd-state"),
    );
    fs::write(&config, text).unwrap();
    let mut command = host.command("containerd");
    command.arg("--config").arg(config).stdout(Stdio::null()).stderr(fs::File::create(host.path("log")).unwrap());
    let daemon = Daemon(command.spawn().unwrap());
    let ctr = Caller { host, words: words(&["ctr", "-a", &socket]) };
    let begin = Instant::now();
    while ctr.call(&["version"]).code != 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "containerd does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    (ctr, daemon)
}

fn ctr_run<'w>(runtime: &'w str, cgroup: &'w str, options: &[&'w str], rest: &[&'w str]) -> Vec<&'w str> {
    [&["run", "--runc-binary", runtime, "--cgroup", cgroup], options, &["--rootfs"], rest].concat()
}

fn containerd_runs_executes_pauses_and_kills(host: &Host) {
    let ((ctr, daemon), runtime) = (containerd(host), runtime(host));
    let (root, cgroup) = (host.busybox_root("box"), format!("{}/c", host.cgroup_parent()));
    let root = root.to_str().unwrap();
    let run = |options: &[&'static str], program: &[&'static str]| {
        ctr.call(&ctr_run(&runtime, &cgroup, options, &[&[root], program].concat()))
    };
    assert_eq!(run(&["--rm"], &["one", "echo", "hello"]).ok(), "hello\n");
    let missing = run(&["--rm"], &["two", "nosuch"]);
    assert!(missing.stderr.contains("executable file not found in $PATH"), "{}", missing.stderr);
    let at_terminal =
        ctr_run(&runtime, &cgroup, &["--rm", "-t"], &[root, "three", "sh", "-c", "test -t 0 && echo yes"]);
    assert!(ctr.at_a_terminal(&at_terminal).contains("yes"));
    run(&["-d"], &["four", "sleep", "1000"]).ok();
    assert_eq!(ctr.call(&["task", "exec", "--exec-id", "e", "four", "sh", "-c", "exit 3"]).code, 3);
    ctr.ok(&["task", "pause", "four"]);
    assert!(ctr.ok(&["task", "ls"]).contains("PAUSED"));
    ctr.ok(&["task", "resume", "four"]);
    assert!(ctr.ok(&["task", "metrics", "four"]).contains("pids.current             1"));
    ctr.ok(&["task", "kill", "-s", "KILL", "four"]);
    let begin = Instant::now();
    while !ctr.ok(&["task", "ls"]).contains("STOPPED") {
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    ctr.ok(&["task", "delete", "four"]);
    ctr.ok(&["container", "delete", "four"]);
    done(
        Some(daemon),
        &["/run/containerd/runc/default", &path(host, "cd-state/io.containerd.runtime.v2.task/default")],
    );
}

fn containerd_runs_fifty_in_a_row(host: &Host) {
    let ((ctr, daemon), runtime) = (containerd(host), runtime(host));
    let (root, cgroup) = (host.busybox_root("box"), format!("{}/c", host.cgroup_parent()));
    for number in 0..50 {
        let name = format!("n{number}");
        ctr.ok(&ctr_run(&runtime, &cgroup, &["--rm"], &[root.to_str().unwrap(), &name, "true"]));
    }
    assert_eq!(ctr.ok(&["task", "ls", "-q"]), "");
    assert_eq!(ctr.ok(&["container", "ls", "-q"]), "");
    done(
        Some(daemon),
        &["/run/containerd/runc/default", &path(host, "cd-state/io.containerd.runtime.v2.task/default")],
    );
}

// ---- Docker --------------------------------------------------------------------------------------------------------

fn docker(host: &Host) -> (Caller<'_>, Daemon) {
    assert!(host.run(host.command("ip").args(["link", "set", "lo", "up"])).code == 0);
    let (docker, daemon) = dockerd(host, "docker", host.command("dockerd"));
    docker.ok(&["import", archive(host).to_str().unwrap(), "box"]);
    (docker, daemon)
}

/// A daemon with everything of its own by the name of `name`; `command` starts it.
fn dockerd<'h>(host: &'h Host, name: &str, mut command: Command) -> (Caller<'h>, Daemon) {
    let at = |what: &str| path(host, &format!("{name}{what}"));
    let socket = format!("unix://{}", at(".sock"));
    command.args(["-H", &socket, "--storage-driver", "overlay2", "--default-ulimit", "nofile=1024:1024"]);
    command.args(["--data-root", &at(""), "--exec-root", &at("-run"), "--pidfile", &at(".pid")]);
    command.args(["--cgroup-parent", &host.cgroup_parent()]);
    command.args(["--default-runtime", "tara", "--add-runtime", &format!("tara={}", runtime(host))]);
    command.stdout(Stdio::null()).stderr(fs::File::create(at(".log")).unwrap());
    let daemon = Daemon(command.spawn().unwrap());
    let docker = Caller { host, words: words(&["docker", "-H", &socket]) };
    docker.wait_for("tara", &["info", "--format", "{{.DefaultRuntime}}"]);
    (docker, daemon)
}

fn docker_runs_executes_and_stops(host: &Host) {
    let (docker, daemon) = docker(host);
    assert_eq!(docker.ok(&["run", "--rm", "box", "echo", "hello"]), "hello");
    assert_eq!(docker.call(&["run", "--rm", "box", "sh", "-c", "exit 42"]).code, 42);
    assert_eq!(docker.call(&["run", "--rm", "box", "nosuch"]).code, 127);
    assert_eq!(docker.call(&["run", "--rm", "box", "/etc/passwd"]).code, 126);
    assert!(docker.at_a_terminal(&["run", "--rm", "-it", "box", "sh", "-c", "test -t 0 && echo yes"]).contains("yes"));
    docker.ok(&["run", "-d", "--name", "one", "-m", "64m", "box", "sleep", "1000"]);
    assert_eq!(docker.call(&["exec", "one", "sh", "-c", "exit 5"]).code, 5);
    assert_eq!(docker.ok(&["exec", "-u", "1000", "-w", "/tmp", "one", "sh", "-c", "id -u; pwd"]), "1000\n/tmp");
    assert!(docker.at_a_terminal(&["exec", "-it", "one", "sh", "-c", "test -t 0 && echo yes"]).contains("yes"));
    assert!(docker.ok(&["stats", "--no-stream", "one"]).contains("/ 64MiB"));
    docker.ok(&["update", "-m", "96m", "--memory-swap", "192m", "--pids-limit", "50", "one"]);
    assert_eq!(docker.ok(&["exec", "one", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]), "100663296");
    docker.ok(&["pause", "one"]);
    assert!(docker.ok(&["ps"]).contains("(Paused)"));
    docker.ok(&["unpause", "one"]);
    docker.ok(&["stop", "-t", "1", "one"]);
    assert_eq!(docker.ok(&["inspect", "-f", "{{.State.ExitCode}}", "one"]), "137");
    docker.ok(&["rm", "one"]);
    done(Some(daemon), &[&path(host, "docker-run/runtime-tara/moby")]);
}

fn docker_builds_and_restarts(host: &Host) {
    let (docker, daemon) = docker(host);
    let folder = host.folder("build");
    let text =
        "FROM box\nRUN echo built > /made\nUSER 1000\nWORKDIR /new/folder\nRUN test $(id -u) = 1000\nCMD cat /made\n";
    fs::write(folder.join("Dockerfile"), text).unwrap();
    docker.ok(&["build", "-t", "made", folder.to_str().unwrap()]);
    assert_eq!(docker.ok(&["run", "--rm", "made"]), "built");
    docker.ok(&["run", "-d", "--name", "fails", "--restart", "on-failure:2", "box", "sh", "-c", "exit 1"]);
    docker.wait_for("2 exited", &["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "fails"]);
    docker.ok(&["run", "-d", "--name", "stays", "--restart", "always", "box", "sleep", "1000"]);
    let pid = docker.ok(&["inspect", "-f", "{{.State.Pid}}", "stays"]);
    host.run(host.command("kill").args(["-9", &pid])).ok();
    docker.wait_for("1 running", &["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "stays"]);
    docker.ok(&["rm", "-f", "fails", "stays"]);
    done(Some(daemon), &[&path(host, "docker-run/runtime-tara/moby")]);
}

// ---- Docker Swarm --------------------------------------------------------------------------------------------------

/// A machine of the swarm: a network namespace, and a daemon in it.
fn node<'h>(host: &'h Host, number: u8, image: &str) -> (Caller<'h>, Daemon) {
    let netns = Netns::create().unwrap();
    let namespace = format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd());
    let inside = format!("nsenter --net={namespace}");
    let script = format!(
        "ip link add node{number} type veth peer name eth0 netns {namespace} && ip link set node{number} master swarm up
        {inside} ip link set lo up && {inside} ip addr add 10.77.0.{number}/24 dev eth0 && {inside} ip link set eth0 up
        {inside} ip route add default via 10.77.0.254"
    );
    assert_eq!(host.run(host.command("/bin/sh").args(["-ec", &script])).code, 0);
    let mut command = host.command("nsenter");
    // Else each task asks for its image in a registry first, and there is none to be reached.
    command.args([&format!("--net={namespace}"), "dockerd"]).env("DOCKER_SERVICE_PREFER_OFFLINE_IMAGE", "1");
    let (docker, daemon) = dockerd(host, &format!("node{number}"), command);
    docker.ok(&["import", image, "box"]);
    (docker, daemon)
}

fn a_swarm_of_two_spreads_grows_and_drains(host: &Host) {
    let bridge = "ip link add swarm type bridge && ip addr add 10.77.0.254/24 dev swarm && ip link set swarm up";
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", bridge])).code, 0);
    let image = archive(host).display().to_string();
    let ((manager, first), (worker, second)) = (node(host, 1, &image), node(host, 2, &image));
    let become_so = |expected: [usize; 2], which: &str| {
        let begin = Instant::now();
        let counts = || [&manager, &worker].map(|node| node.ok(&["ps", which]).lines().count());
        while counts() != expected {
            assert!(begin.elapsed() < Duration::from_secs(120), "{:?} instead of {expected:?}", counts());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    manager.ok(&["swarm", "init", "--advertise-addr", "10.77.0.1"]);
    let token = manager.ok(&["swarm", "join-token", "-q", "worker"]);
    worker.ok(&["swarm", "join", "--token", &token, "--advertise-addr", "10.77.0.2", "10.77.0.1:2377"]);
    let service = [
        "service",
        "create",
        "-q",
        "--detach",
        "--no-resolve-image",
        "--name",
        "work",
        "--replicas",
        "6",
        "--stop-grace-period",
        "1s",
    ];
    manager.ok(&[&service[..], &["box", "sleep", "1000"]].concat());
    become_so([3, 3], "-q");
    let task = worker.ok(&["ps", "-ql"]);
    assert_eq!(worker.ok(&["inspect", "-f", "{{.HostConfig.Runtime}}", &task]), "tara");
    manager.ok(&["service", "scale", "--detach", "work=10"]);
    become_so([5, 5], "-q");
    let node = worker.ok(&["info", "--format", "{{.Swarm.NodeID}}"]);
    manager.ok(&["node", "update", "--availability", "drain", &node]);
    become_so([10, 0], "-q");
    manager.ok(&["service", "rm", "work"]);
    become_so([0, 0], "-aq");
    drop(second);
    done(Some(first), &[&path(host, "node1-run/runtime-tara/moby"), &path(host, "node2-run/runtime-tara/moby")]);
}
