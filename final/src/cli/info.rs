//! `tara info`.

use super::print;
use crate::container::Container;
use crate::engine::Engine;
use crate::format::Format;
use crate::network::user_mode::Tool;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::path::Path;
use step05_cgroups::{Hierarchy, Version};

/// Show what the engine has and where it runs.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// `json`, or a Go template.
    #[arg(short, long)]
    format: Option<String>,
}

impl Info {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let containers = Container::all(engine.dirs())?;
        let count = |state: &str| containers.iter().filter(|container| container.status.word() == state).count();
        let (running, paused) = (count("running"), count("paused"));
        let kernel = nix::sys::utsname::uname()?;
        let hierarchy = Hierarchy::find()?;
        let privilege = engine.privilege();
        let facts = [
            ("Containers", json!(containers.len())),
            ("ContainersRunning", json!(running)),
            ("ContainersPaused", json!(paused)),
            ("ContainersStopped", json!(containers.len() - running - paused)),
            ("Images", json!(engine.store().list()?.len())),
            ("ServerVersion", json!(env!("CARGO_PKG_VERSION"))),
            ("Driver", json!("overlay2")),
            ("Root", json!(engine.dirs().root)),
            ("RunRoot", json!(engine.dirs().run)),
            ("KernelVersion", json!(kernel.release().to_string_lossy())),
            ("Architecture", json!(sys::arch::OCI_ARCHITECTURE)),
            ("Rootless", json!(privilege.in_user_namespace)),
            ("ManyUsers", json!(privilege.has_many_users)),
            ("Cgroups", json!(hierarchy.kind())),
            ("Controllers", json!(controllers(&hierarchy))),
            ("SecurityOptions", json!(["seccomp=default"])),
            ("Networks", json!(networks(privilege.caller.is_root()))),
        ];
        let document = facts.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let plain = || facts.iter().map(|(key, value)| format!("{key}: {}\n", plain(value))).collect();
        print(&format.document(&document, plain)?);
        Ok(0)
    }
}

/// What `--network` takes, the default first.
fn networks(as_root: bool) -> Vec<&'static str> {
    let default = if as_root { Some("bridge") } else { Tool::of_this_host().map(Tool::name) };
    default.into_iter().chain(["host", "none"]).collect()
}

/// Which controller is where.
fn controllers(hierarchy: &Hierarchy) -> Vec<String> {
    let places = hierarchy.describe().into_iter();
    let word = |(name, place): (&str, Option<(Version, &Path)>)| match place {
        Some((version, path)) => format!("{name}={version}:{}", path.display()),
        None => format!("{name}=none"),
    };
    places.map(word).collect()
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
