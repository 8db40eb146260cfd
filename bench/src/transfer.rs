//! `bench pull` and `bench build`: images from a registry, images from a Dockerfile.

use crate::image::{self, Layer};
use crate::packages;
use crate::results::{Results, Row};
use crate::rounds::Rounds;
use crate::stage::Stage;
use crate::startup::Field;
use crate::startup::engines::Daemon;
use crate::subject::{Group, Missing, Subject, find};
use crate::tara::Tara;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const REGISTRY: &str = "127.0.0.1:5055";

/// Debian's registry, on the stage as long as this lives.
struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _it_is_over_anyway = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Pulls an image of five layers of `size.0` megabytes in all, and one of `size.1` small files, each time into an empty store.
///
/// # Errors
/// When there is no registry, or nothing to fill it with.
pub(crate) fn pull(stage: &Stage, rounds: Rounds, only: Vec<String>, size: (u64, usize)) -> Result<Results> {
    let mut field = Field { only, ..Field::default() };
    let _registry = Registry::start(stage)?;
    let daemon = daemon(&mut field, stage);
    let (large, small) = (format!("{} MB in 5 layers", size.0), format!("{} small files", size.1));
    for (name, title, tars) in [
        ("large", large, packages::of_size(size.0 * 1_000_000, 5)?),
        ("small", small, vec![packages::of_small_files(size.1)?]),
    ] {
        let sample = Sample { name, title, stage };
        sample.limits(&mut field, &tars)?;
        sample.push("gzip", tars.iter().map(|tar| Layer::gzip(tar)))?;
        sample.push("zstd", tars.iter().map(|tar| Layer::zstd(tar)))?;
        drop(tars);
        for packed in ["gzip", "zstd"] {
            sample.clients(&mut field, packed, daemon.is_some());
        }
    }
    finish("pull", rounds, field)
}

/// docker's daemon, if docker is wanted and here.
fn daemon(field: &mut Field, stage: &Stage) -> Option<Daemon> {
    if !field.wants("docker") {
        return None;
    }
    let (Some(daemon), Some(client)) = (find("dockerd"), find("docker")) else {
        field.lacks(Missing::program("docker", "docker.io"));
        return None;
    };
    let started = Daemon::start(stage, &daemon, &client);
    started.map_err(|error| field.lacks(Missing { name: "docker".to_owned(), why: format!("{error:#}") })).ok()
}

/// An image in two forms: `REGISTRY/large:gzip`, `REGISTRY/large:zstd`.
struct Sample<'s> {
    name: &'static str,
    title: String,
    stage: &'s Stage,
}

impl Sample<'_> {
    /// What no client can be faster than: to decompress, and to write the files.
    fn limits(&self, field: &mut Field, tars: &[Vec<u8>]) -> Result<()> {
        let folder = self.stage.folder(&format!("limits-{}", self.name))?;
        for (number, tar) in tars.iter().enumerate() {
            fs::write(folder.join(format!("{number}.tar")), tar)?;
            fs::write(folder.join(format!("{number}.tar.gz")), Layer::gzip(tar)?.blob)?;
        }
        let (at, out) = (folder.display(), self.stage.disk.display());
        let tar = format!("mkdir {out}/{{id}} && for tar in {at}/*.tar; do tar xf $tar -C {out}/{{id}}; done");
        let tar = script(&format!("tar x, {}", self.title), Group::Floor, &tar);
        field.add(tar.after(format!("rm -rf {out}/{{id}}")));
        let gzip = format!("for gz in {at}/*.gz; do gzip -dc $gz >/dev/null; done");
        field.add(script(&format!("gzip -d, {}", self.title), Group::Floor, &gzip));
        Ok(())
    }

    fn push(&self, packed: &str, layers: impl Iterator<Item = Result<Layer>>) -> Result<()> {
        let skopeo = find("skopeo").context("skopeo (package skopeo) fills the registry")?;
        let file = image::pack(&self.stage.folder("images")?, packed, layers)?;
        let from = format!("oci-archive:{}:{packed}", file.display());
        let to = format!("docker://{REGISTRY}/{}:{packed}", self.name);
        let words = ["--insecure-policy", "copy", "--dest-tls-verify=false", &from, &to].map(OsString::from);
        let copy = Subject::new("skopeo", Group::Engine, [skopeo.into()].into_iter().chain(words)).limit(120);
        copy.run().context("fill the registry")?;
        Ok(fs::remove_file(file)?)
    }

    /// Everybody who pulls.
    fn clients(&self, field: &mut Field, packed: &str, docker: bool) {
        let (image, at) = (format!("{REGISTRY}/{}:{packed}", self.name), self.stage.disk.display());
        let mut client = |name: &str, group, command: &str, after: String| {
            let limit: &'static str = format!("tar x, {}", self.title).leak();
            let subject = script(&format!("{name}, {} ({packed})", self.title), group, command);
            field.add(subject.floor(limit).after(after).hides_unified());
        };
        let tara = self.stage.our("tara");
        let command = format!("exec {} --root {at}/{{id}} pull {image}", tara.display());
        client("tara pull", Group::Tara, &command, format!("rm -rf {at}/{{id}}"));
        // Its classic store knows no zstd.
        if docker && packed == "gzip" {
            let docker = "docker --host unix:///run/docker-bench.sock";
            client(
                "docker pull",
                Group::Engine,
                &format!("exec {docker} pull {image}"),
                format!("{docker} rmi {image}"),
            );
        }
        if find("podman").is_some() {
            let podman = format!("podman --root {at}/{{id}} --runroot /run/{{id}}");
            let command = format!("exec {podman} pull --tls-verify=false {image}");
            client("podman pull", Group::Engine, &command, format!("{podman} rmi -a; rm -rf {at}/{{id}} /run/{{id}}"));
        }
        if find("umoci").is_some() && packed == "gzip" {
            let copy =
                format!("skopeo --insecure-policy copy --src-tls-verify=false docker://{image} oci:{at}/{{id}}:1");
            let command = format!("{copy} && umoci unpack --image {at}/{{id}}:1 {at}/{{id}}-unpacked");
            client(
                "skopeo + umoci unpack",
                Group::Engine,
                &command,
                format!("rm -rf {at}/{{id}} {at}/{{id}}-unpacked"),
            );
        }
    }
}

/// A Dockerfile of ten instructions, all anew and all from the cache.
///
/// # Errors
/// When the context cannot be written.
pub(crate) fn build(stage: &Stage, rounds: Rounds, only: Vec<String>) -> Result<Results> {
    let mut field = Field { only, ..Field::default() };
    let tara = Tara::new(stage)?;
    let context = stage.folder("context")?;
    fs::write(context.join("file"), "content\n")?;
    fs::copy(stage.bin.join("program"), context.join("program"))?;
    fs::write(context.join("Dockerfile"), DOCKERFILE)?;
    let daemon = daemon(&mut field, stage);
    let builder = |field: &mut Field, name: &str, group, command: &str, cached: &str| {
        let at = context.display();
        let command = format!("{command} build --network none");
        for (what, option) in [("cold", "--no-cache"), ("cached", cached)] {
            let command = format!("exec {command} {option} --tag {{id}} {at}");
            field.add(script(&format!("{name}, {what}"), group, &command).hides_unified());
        }
    };
    let words = tara.words();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    builder(&mut field, "tara build", Group::Tara, &words.join(" "), "");
    if daemon.is_some() {
        let docker = "docker --host unix:///run/docker-bench.sock";
        builder(&mut field, "docker build, classic", Group::Engine, &format!("env DOCKER_BUILDKIT=0 {docker}"), "");
        builder(&mut field, "docker build, BuildKit", Group::Engine, &format!("env DOCKER_BUILDKIT=1 {docker}"), "");
    }
    for (name, package) in [("buildah", "buildah"), ("podman", "podman")] {
        match find(name) {
            Some(_) => {
                let folders = format!("--root {}/{name} --runroot /run/{name}-bench", stage.disk.display());
                let cgroups = if name == "podman" { " --cgroup-manager cgroupfs" } else { "" };
                builder(
                    &mut field,
                    &format!("{name} build"),
                    Group::Engine,
                    &format!("{name} {folders}{cgroups}"),
                    "--layers",
                );
            }
            None => field.lacks(Missing::program(name, package)),
        }
    }
    finish("build", rounds, field)
}

const DOCKERFILE: &str = "\
FROM scratch
LABEL bench=1
ENV NAME=value
COPY program /bin/program
COPY file /file
WORKDIR /work
RUN [\"/bin/program\"]
RUN [\"/bin/program\", \"again\"]
RUN [\"/bin/program\", \"and again\"]
CMD [\"/bin/program\"]
";

fn script(name: &str, group: Group, text: &str) -> Subject {
    Subject::new(name, group, ["sh", "-c", text].map(OsString::from)).limit(120)
}

fn finish(kind: &str, rounds: Rounds, mut field: Field) -> Result<Results> {
    let measured = rounds.run(field.subjects, &mut field.missing)?;
    let mut results = Results::new(kind, field.missing);
    results.rows = Row::of(&measured);
    Ok(results)
}

impl Registry {
    fn start(stage: &Stage) -> Result<Self> {
        let program = find("docker-registry")
            .context("docker-registry (package docker-registry) is what images are pulled from")?;
        let folder = stage.folder("registry")?;
        let config = folder.join("config.yml");
        fs::write(&config, configuration(&folder))?;
        let child =
            Command::new(program).arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let registry = Self(child);
        let begin = Instant::now();
        while TcpStream::connect(REGISTRY).is_err() {
            if begin.elapsed() > Duration::from_secs(10) {
                bail!("docker-registry does not answer on {REGISTRY}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }
}

fn configuration(folder: &Path) -> String {
    format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {REGISTRY}\n",
        folder.display()
    )
}
