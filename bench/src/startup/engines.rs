//! Other engines: an image, an overlay, a network. Slow ones run in each third round only.

use super::{Field, PROGRAM, words};
use crate::cgroup;
use crate::image;
use crate::stage::Stage;
use crate::subject::{Group, Missing, Subject, find};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const IMAGE: &str = "bench:engines";

/// docker's daemon, on the stage as long as this lives.
#[derive(Debug)]
pub(crate) struct Daemon(Child);

/// Where it listens.
const SOCKET: &str = "unix:///run/docker-bench.sock";

impl Drop for Daemon {
    fn drop(&mut self) {
        let _it_is_over_anyway = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Adds all that are installed. The daemon, if there is one, has to live until they have run.
///
/// # Errors
/// When the image cannot be made.
pub(super) fn add(field: &mut Field, stage: &Stage) -> Result<Option<Daemon>> {
    add_lxc(field, stage)?;
    add_nspawn(field, stage);
    if !field.wants("podman") && !field.wants("docker") {
        return Ok(None);
    }
    let image = image::write(&stage.folder("images")?, "engines", &stage.bin.join("program"), 1, 0)?;
    match find("podman") {
        Some(podman) => add_podman(field, stage, &podman, &image),
        None => field.lacks(Missing::program("podman", "podman")),
    }
    if !field.wants("docker") {
        return Ok(None);
    }
    match (find("dockerd"), find("docker")) {
        (Some(daemon), Some(client)) => match add_docker(field, stage, &daemon, &client, &image) {
            Ok(daemon) => Ok(Some(daemon)),
            Err(error) => {
                field.lacks(Missing {
                    name: "docker".to_owned(),
                    why: format!("its daemon does not work here: {error:#}"),
                });
                Ok(None)
            }
        },
        _ => {
            field.lacks(Missing::program("docker", "docker.io"));
            Ok(None)
        }
    }
}

const SETUPS: [(&str, &[&str], &str); 3] = [
    ("no network", &["--network", "none"], "floor none"),
    ("bridge", &[], "floor bridge"),
    ("bridge, published port", &["--publish", "18081:80"], "floor bridge+port"),
];

fn add_podman(field: &mut Field, stage: &Stage, podman: &Path, image: &Path) {
    let mut engine = vec![podman.as_os_str().to_owned(), "--root".into(), stage.disk.join("podman").into()];
    engine.extend(words(&[
        "--runroot",
        "/run/podman-bench",
        "--tmpdir",
        "/run/podman-bench/tmp",
        "--cgroup-manager",
        "cgroupfs",
    ]));
    let load = engine.iter().cloned().chain(["load".into(), "--quiet".into(), "--input".into(), image.into()]);
    if let Err(error) = Subject::new("podman load", Group::Engine, load).limit(60).hides_unified().run() {
        return field
            .lacks(Missing { name: "podman".to_owned(), why: format!("it does not load an image: {error:#}") });
    }
    for (setup, options, floor) in SETUPS {
        let mut command = engine.clone();
        command.extend(words(&["run", "--rm", "--cgroup-parent", cgroup::PEERS]));
        command.extend(words(options));
        command.extend(words(&[IMAGE, PROGRAM]));
        field.add(
            Subject::new(&format!("podman, {setup}"), Group::Engine, command).floor(floor).every(3).hides_unified(),
        );
    }
}

impl Daemon {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// What it said last, when it does not.
    pub(crate) fn start(stage: &Stage, daemon: &Path, client: &Path) -> Result<Self> {
        let log = File::create("/run/dockerd.log")?;
        let mut command = Command::new(daemon);
        command.args(["--host", SOCKET, "--exec-root", "/run/docker-bench", "--pidfile", "/run/docker-bench.pid"]);
        command.arg("--data-root").arg(stage.disk.join("docker")).args(["--cgroup-parent", cgroup::PEERS]);
        let daemon = Self(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        let begin = Instant::now();
        while Subject::new("docker", Group::Engine, docker(client, &["version"])).run().is_err() {
            if begin.elapsed() > Duration::from_secs(30) {
                let said = fs::read_to_string("/run/dockerd.log").unwrap_or_default();
                bail!("no answer: {}", said.lines().last().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(daemon)
    }
}

/// The client with these words.
pub(crate) fn docker(client: &Path, arguments: &[&str]) -> Vec<OsString> {
    let mut command = vec![client.as_os_str().to_owned()];
    command.extend(words(&["--host", SOCKET]));
    command.extend(words(arguments));
    command
}

fn add_docker(field: &mut Field, stage: &Stage, daemon: &Path, client: &Path, image: &Path) -> Result<Daemon> {
    let daemon = Daemon::start(stage, daemon, client)?;
    let docker = |arguments: &[&str]| docker(client, arguments);
    // Docker before 25 reads no OCI layout: it gets the root file system, as `docker import` has it.
    let tarball = image.with_file_name("rootfs.tar");
    let packed = Command::new("tar").arg("-C").arg(&stage.rootfs).arg("-cf").arg(&tarball).arg(".").status();
    if !packed.context("tar")?.success() {
        bail!("tar of the root file system");
    }
    Subject::new("docker import", Group::Engine, docker(&["import", &tarball.to_string_lossy(), IMAGE]))
        .limit(60)
        .run()?;
    for (setup, options, floor) in SETUPS {
        let command = docker(&[&["run", "--rm"], options, &[IMAGE, PROGRAM]].concat());
        field.add(Subject::new(&format!("docker, {setup}"), Group::Engine, command).floor(floor).every(3));
    }
    Ok(daemon)
}

fn add_lxc(field: &mut Field, stage: &Stage) -> Result<()> {
    let Some(program) = find("lxc-execute") else {
        field.lacks(Missing::program("lxc-execute", "lxc"));
        return Ok(());
    };
    let config = stage.folder("lxc")?.join("config");
    let text = format!(
        "lxc.rootfs.path = dir:{}\nlxc.net.0.type = empty\nlxc.mount.auto = proc:mixed sys:ro\nlxc.cgroup.dir = {}\nlxc.uts.name = bench\n",
        stage.rootfs.display(),
        cgroup::PEERS.trim_start_matches('/')
    );
    fs::write(&config, text)?;
    let mut command = vec![program.into_os_string()];
    command.extend(words(&["--name", "{id}", "--lxcpath", "/run/lxc-bench", "--rcfile"]));
    command.extend([config.into(), "--".into(), PROGRAM.into()]);
    fs::create_dir_all("/run/lxc-bench")?;
    field.add(Subject::new::<OsString>("lxc-execute, no network", Group::Engine, command).floor("floor none").every(3));
    Ok(())
}

fn add_nspawn(field: &mut Field, stage: &Stage) {
    let Some(program) = find("systemd-nspawn") else {
        return field.lacks(Missing::program("systemd-nspawn", "systemd-container"));
    };
    let mut command = vec![program.into_os_string()];
    command.extend(words(&[
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--as-pid2",
        "--machine={id}",
        "--directory",
    ]));
    command.extend([stage.rootfs.clone().into(), PROGRAM.into()]);
    field.add(
        Subject::new::<OsString>("systemd-nspawn, no network", Group::Engine, command).floor("floor none").every(3),
    );
}
