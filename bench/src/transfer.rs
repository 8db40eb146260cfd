//! `bench pull` and `bench build`: images from a registry, images from a Dockerfile.

use crate::image;
use crate::results::{Results, Row};
use crate::rounds::Rounds;
use crate::stage::Stage;
use crate::startup::Field;
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

/// Pulls an image of five layers of `megabytes` in all, each time into an empty store.
///
/// # Errors
/// When there is no registry, or none of ours can fill it.
pub(crate) fn pull(stage: &Stage, rounds: Rounds, only: Vec<String>, megabytes: usize) -> Result<Results> {
    let mut field = Field { only, ..Field::default() };
    let tara = Tara::new(stage)?;
    let _registry = Registry::start(stage)?;
    let skopeo = find("skopeo").context("skopeo (package skopeo) fills the registry")?;
    let file = image::write(&stage.folder("images")?, "pull", &stage.bin.join("program"), 6, megabytes * 200_000)?;
    let from = format!("oci-archive:{}:pull", file.display());
    let to = format!("docker://{REGISTRY}/bench:1");
    Subject::new(
        "skopeo",
        Group::Engine,
        [skopeo.as_os_str(), "copy".as_ref(), "--dest-tls-verify=false".as_ref(), from.as_ref(), to.as_ref()],
    )
    .limit(120)
    .run()
    .context("fill the registry")?;
    if tara.can("pull") {
        let command = format!(
            "exec {} --root {}/{{id}} pull {REGISTRY}/bench:1",
            stage.our("tara").display(),
            stage.disk.display()
        );
        field.add(script("tara pull", Group::Tara, &command));
    } else {
        field.lacks(Missing { name: "tara pull".to_owned(), why: "this `tara` has no `pull`".to_owned() });
    }
    let at = stage.disk.display();
    match find("umoci") {
        Some(_) => {
            let copy = format!("skopeo copy --src-tls-verify=false {to} oci:{at}/{{id}}:1");
            field.add(script(
                "skopeo + umoci unpack",
                Group::Engine,
                &format!("{copy} && umoci unpack --image {at}/{{id}}:1 {at}/{{id}}-unpacked"),
            ));
        }
        None => field.lacks(Missing::program("umoci", "umoci")),
    }
    match find("podman") {
        Some(_) => {
            let command = format!(
                "exec podman --root {at}/{{id}} --runroot /run/{{id}} pull --tls-verify=false {REGISTRY}/bench:1"
            );
            field.add(script("podman pull", Group::Engine, &command).hides_unified());
        }
        None => field.lacks(Missing::program("podman", "podman")),
    }
    finish("pull", rounds, field)
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
    let at = context.display();
    if tara.can("build") {
        let words = tara.words();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let command = format!("exec {} build --tag {{id}}", words.join(" "));
        field.add(script("tara build, cold", Group::Tara, &format!("{command} --no-cache {at}")));
        field.add(script("tara build, cached", Group::Tara, &format!("{command} {at}")));
    } else {
        field.lacks(Missing { name: "tara build".to_owned(), why: "this `tara` has no `build`".to_owned() });
    }
    match find("podman") {
        Some(_) => {
            let command = format!(
                "exec podman --root {}/podman --runroot /run/podman-bench --cgroup-manager cgroupfs build --tag {{id}}",
                stage.disk.display()
            );
            field.add(
                script("podman build, cold", Group::Engine, &format!("{command} --no-cache {at}")).hides_unified(),
            );
            field.add(
                script("podman build, cached", Group::Engine, &format!("{command} --layers {at}")).hides_unified(),
            );
        }
        None => field.lacks(Missing::program("podman", "podman")),
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
