//! `RUN`: a container of its own for each, made by this program started again.

use super::arguments::proxies;
use super::copy::overlay;
use super::progress::Vertex;
use super::stage::Stage;
use super::step::Task;
use crate::engine::RunRequest;
use crate::network::{Mode, Networking};
use crate::spec::Arguments;
use anyhow::{Context as _, Result, anyhow};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use step03_mount_overlay::Mount;
use step07_images::Digest;
use step07_images::build::{CommandForm, How, Problem, Run, Step, Target};

/// A line of output is cut after this many bytes: a program that writes no newline must not fill the memory.
const LONGEST: u64 = 64 << 10;

impl Stage<'_, '_> {
    pub(super) fn run(&mut self, step: &Step, run: &Run) -> Result<()> {
        let vertex = self.vertex(&step.text);
        let (command, script) = self.command(run);
        let arguments = self.arguments();
        let network = self.networking(step, run)?;
        let mut attached = self.attached(step, run)?;
        let by = by(&arguments, &command);
        let config = &self.state.document.config;
        let mut key = format!(
            "{}\nrun {command:?} {:?} {:?} {:?} {arguments:?} {}",
            self.state.key,
            config.env,
            config.user,
            config.working_dir,
            network.name()
        );
        key += &attached.key;
        if let Some(script) = &script {
            key += script;
        }
        let key = Digest::of(key.as_bytes());
        if self.take(key, &by)? {
            vertex.cached();
            return Ok(());
        }
        let upper = self.build.session.new_folder("upper")?;
        let mut mounts = attached.mounts()?;
        mounts.extend(script.map(|script| self.script(run, &script)).transpose()?);
        let request = self.request(step, command, arguments, network, mounts, attached.variables())?;
        let code = self.in_container(request, &upper, &vertex)?;
        if code != 0 {
            let what = format!("the command ended with exit code {code}");
            vertex.failed(&what);
            return Err(Problem::new(&step.place, what).into());
        }
        self.push(key, upper, by)?;
        vertex.done();
        Ok(())
    }

    /// What is run, and the script when the command is nothing but a here-document that names its own interpreter.
    fn command(&self, run: &Run) -> (Vec<String>, Option<String>) {
        let (CommandForm::Shell(line), [first, ..]) = (&run.command, run.documents.as_slice()) else {
            return (self.with_shell(&run.command), None);
        };
        let alone =
            run.documents.len() == 1 && line.trim().starts_with("<<") && !line.trim().contains(char::is_whitespace);
        if alone && first.content.starts_with("#!") {
            return (vec![format!("/dev/pipes/{}", first.name)], Some(first.content.clone()));
        }
        if alone {
            return (self.with_shell(&CommandForm::Shell(first.content.clone())), None);
        }
        let documents = run.documents.iter().map(|document| format!("\n{}{}", document.content, document.name));
        (self.with_shell(&CommandForm::Shell(format!("{line}{}", documents.collect::<String>()))), None)
    }

    /// The arguments that are in scope, unless a variable of the same name hides them.
    fn arguments(&self) -> BTreeMap<String, String> {
        let env = &self.state.document.config.env;
        let hidden = |name: &str| env.iter().any(|entry| entry.split_once('=').is_some_and(|(known, _)| known == name));
        let all = self.state.variables.arguments.iter().filter(|(name, _)| !hidden(name));
        all.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn networking(&self, step: &Step, run: &Run) -> Result<Networking> {
        let asked = &self.build.request.networking;
        match run.network.as_deref() {
            None | Some("default") => Ok(asked.clone()),
            Some("none") => Ok(Networking::default()),
            Some("host") if asked.mode == Mode::Host => Ok(asked.clone()),
            Some("host") => {
                let problem = Problem::new(&step.place, "RUN may not use the host's network").at("--network");
                Err(problem.help("allow it with `tara build --network host`").into())
            }
            Some(other) => {
                let problem = Problem::new(&step.place, format!("`--network={other}` is unknown")).at(other.to_owned());
                Err(problem.help("it is default, none or host").into())
            }
        }
    }

    fn script(&self, run: &Run, content: &str) -> Result<Mount> {
        let folder = self.build.session.new_folder("script")?;
        let path = folder.join("script");
        fs::write(&path, content).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))?;
        let name = run.documents.first().map_or("EOF", |document| document.name.as_str());
        Ok(Mount {
            destination: PathBuf::from(format!("/dev/pipes/{name}")),
            fs_type: "bind".to_owned(),
            source: path,
            options: ["rbind", "ro"].map(str::to_owned).to_vec(),
        })
    }

    fn request(
        &self,
        step: &Step,
        command: Vec<String>,
        arguments: BTreeMap<String, String>,
        networking: Networking,
        mounts: Vec<Mount>,
        secrets: Vec<String>,
    ) -> Result<RunRequest> {
        let config = &self.state.document.config;
        if command.is_empty() {
            return Err(Problem::new(&step.place, "RUN needs a command").into());
        }
        let given = proxies(&self.build.request.arguments).map(|(name, value)| format!("{name}={value}"));
        let own = arguments.iter().map(|(name, value)| format!("{name}={value}"));
        let env = config.env.iter().cloned().chain(own).chain(given).chain(secrets);
        Ok(RunRequest {
            auto_remove: true,
            user: Some(config.user.clone()).filter(|user| !user.is_empty()),
            mounts,
            arguments: Arguments {
                entrypoint: Some(String::new()),
                command,
                env: env.collect(),
                workdir: Some(config.working_dir.clone()).filter(|path| !path.is_empty()),
                own_network: networking.mode != Mode::Host,
                cgroup_parent: self.build.request.cgroup_parent.clone(),
                ..Arguments::default()
            },
            networking,
            ..RunRequest::default()
        })
    }

    /// Runs it over the stage; what it writes goes to `upper`.
    fn in_container(&self, request: RunRequest, upper: &std::path::Path, vertex: &Vertex<'_>) -> Result<u8> {
        let mut layers = Self::lower(&self.state.dirs);
        layers.extend(self.mount_points(&request)?);
        let task = Task { request, layers, upper: upper.to_owned() };
        let mut child = self.start(&task)?;
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        std::thread::scope(|scope| {
            for output in outputs.into_iter().flatten() {
                scope.spawn(|| relay(output, vertex));
            }
        });
        let status = child.wait().context("wait for the step")?;
        let code = status.code().ok_or_else(|| anyhow!("the process of the step ended: {status}"))?;
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    fn start(&self, task: &Task) -> Result<Child> {
        let dirs = self.build.engine.dirs();
        let mut command = Command::new("/proc/self/exe");
        command.arg("--root").arg(&dirs.root).arg("--run-root").arg(&dirs.run).arg("build-step");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("start the step")?;
        let mut pipe = child.stdin.take().context("the step's input")?;
        pipe.write_all(&serde_json::to_vec(task)?).context("tell the step what to do")?;
        Ok(child)
    }

    /// The places for the engine's own mounts, where the image has none: a layer below the container's that is not kept. docker has one
    /// too, `<id>-init`; without it each image would have an `/etc/hosts` of its build.
    fn mount_points(&self, request: &RunRequest) -> Result<Option<PathBuf>> {
        let mounts = self.build.engine.mounts_of(request);
        let upper = self.build.session.new_folder("mounts")?;
        let overlay = overlay(self, &self.state.dirs, &upper)?;
        let target = Target::new(overlay.as_fd(), How { owner: Some((0, 0)), ..How::default() });
        let mut made = false;
        for mount in &mounts {
            let inside = |other: &Mount| {
                other.destination != mount.destination && mount.destination.starts_with(&other.destination)
            };
            if mounts.iter().any(inside) {
                continue;
            }
            let place = mount.destination.display().to_string();
            let there = std::ffi::CString::new(place.clone())?;
            let flags = nix::fcntl::OFlag::O_PATH;
            if sys::fd::open_in_root(overlay.as_fd(), &there, flags, nix::sys::stat::Mode::empty()).is_ok() {
                continue;
            }
            made = true;
            if mount.fs_type == "bind" && !mount.source.is_dir() {
                target.make_folders(place.rsplit_once('/').map_or("", |(above, _)| above))?;
                Target::new(overlay.as_fd(), How::default()).write(std::io::empty(), &place, 0o644, (0, 0))?;
            } else {
                target.make_folders(&place)?;
            }
        }
        Ok(made.then_some(upper))
    }
}

/// As BuildKit's history has it: `RUN |1 A=b /bin/sh -c …`.
fn by(arguments: &BTreeMap<String, String>, command: &[String]) -> String {
    let mut words = vec!["RUN".to_owned()];
    if !arguments.is_empty() {
        words.push(format!("|{}", arguments.len()));
        words.extend(arguments.iter().map(|(name, value)| format!("{name}={value}")));
    }
    words.extend(command.iter().cloned());
    words.join(" ")
}

/// Says what the program writes, line by line.
fn relay(output: impl Read, vertex: &Vertex<'_>) {
    let mut reader = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        vertex.output(text.trim_end_matches(['\n', '\r']));
    }
}
