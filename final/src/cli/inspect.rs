//! `tara inspect`.

use super::{print, ps};
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::network::show;
use crate::report;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use step07_images::{Error, Image};

/// Show all about containers and images, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Only objects of this kind.
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "NAME|ID")]
    objects: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Container,
    Image,
}

impl Inspect {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let mut code = 0;
        let mut found = Vec::new();
        for object in &self.objects {
            match self.find(engine, object) {
                Ok(value) => found.push(value),
                Err(error) => {
                    eprint!("{}", report::text(&error));
                    code = 1;
                }
            }
        }
        print(&format!("{}\n", serde_json::to_string_pretty(&found)?));
        Ok(code)
    }

    fn find(&self, engine: &Engine, object: &str) -> Result<Value> {
        let container = Container::find(engine.dirs(), object);
        match (self.kind, container) {
            (None | Some(Kind::Container), Ok(found)) => Ok(of_container(engine, &found)),
            (Some(Kind::Container), Err(error)) => Err(error),
            (kind, _) => match engine.store().resolve(object) {
                Ok(image) => Ok(of_image(&image)),
                Err(Error::NoSuchImage { .. } | Error::Reference { .. }) if kind.is_none() => {
                    let refusal = report::Refusal::new(format!("no such object: `{object}`"));
                    Err(refusal.help("`tara ps -a` and `tara images` list what is there").code(1).into())
                }
                Err(error) => Err(error.into()),
            },
        }
    }
}

fn of_container(engine: &Engine, Container { record, status }: &Container) -> Value {
    let process = record.spec.process().as_ref();
    let command = record.command();
    let (program, arguments) = command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let folder = engine.dirs().container(&record.id);
    json!({
        "Id": record.id,
        "Created": record.created,
        "Path": program,
        "Args": arguments,
        "State": state(status),
        "Image": record.image_id,
        "Name": format!("/{}", record.name),
        "HostConfig": {
            "AutoRemove": record.auto_remove,
            "PortBindings": show::bindings(record),
            "NetworkMode": record.networking.name(),
            "ReadonlyRootfs": record.spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false),
            "Init": record.init,
        },
        "NetworkSettings": show::settings(engine.dirs(), record),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": record.layers.iter().rev().map(|layer| layer.display().to_string()).collect::<Vec<_>>().join(":"),
                "UpperDir": folder.join("diff"),
                "WorkDir": folder.join("work"),
            },
        },
        "Mounts": record.spec.mounts().iter().flatten().map(mount).collect::<Vec<_>>(),
        "Config": {
            "Hostname": record.spec.hostname(),
            "Domainname": record.networking.domainname.clone().unwrap_or_default(),
            "ExposedPorts": record.networking.expose.iter().map(|port| (port.clone(), json!({}))).collect::<serde_json::Map<_, _>>(),
            "User": process.map(|process| format!("{}:{}", process.user().uid(), process.user().gid())),
            "Tty": process.and_then(oci_spec::runtime::Process::terminal).unwrap_or(false),
            "OpenStdin": record.interactive,
            "Env": process.and_then(|process| process.env().clone()),
            "Cmd": command,
            "Image": record.image,
            "WorkingDir": process.map(oci_spec::runtime::Process::cwd),
        },
    })
}

fn state(status: &Status) -> Value {
    let never = "0001-01-01T00:00:00Z";
    let (pid, started, code, finished) = match status {
        Status::Running(state) => (state.host_pid, json!(state.started), 0, json!(never)),
        Status::Exited(exit) => {
            (0, exit.started.map_or(json!(never), |time| json!(time)), exit.code, json!(exit.finished))
        }
        Status::Created | Status::Starting | Status::Abandoned(_) => (0, json!(never), 0, json!(never)),
    };
    json!({
        "Status": ps::state(status),
        "Running": matches!(status, Status::Running(_)),
        "Dead": matches!(status, Status::Abandoned(_)),
        "Pid": pid,
        "ExitCode": code,
        "StartedAt": started,
        "FinishedAt": finished,
    })
}

fn mount(mount: &oci_spec::runtime::Mount) -> Value {
    let options = mount.options().clone().unwrap_or_default();
    json!({
        "Type": mount.typ(),
        "Source": mount.source(),
        "Destination": mount.destination(),
        "RW": !options.iter().any(|option| option == "ro"),
        "Mode": options.join(","),
    })
}

fn of_image(image: &Image) -> Value {
    json!({
        "Id": image.id.to_string(),
        "RepoTags": image.names,
        "Digest": image.manifest.to_string(),
        "Created": image.created,
        "Architecture": image.config.architecture(),
        "Os": image.config.os(),
        "Size": image.size,
        "Config": image.config.config(),
        "RootFS": { "Type": "layers", "Layers": image.config.rootfs().diff_ids() },
        "Layers": image.layers,
    })
}
