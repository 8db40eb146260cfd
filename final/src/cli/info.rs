//! `tara info`.

use super::{Format, print};
use crate::container::{Container, Status};
use crate::engine::Engine;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::path::Path;
use step05_cgroups::{Hierarchy, Version};

/// Show what the engine has and where it runs.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Info {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let containers = Container::all(engine.dirs())?;
        let running = containers.iter().filter(|container| matches!(container.status, Status::Running(_))).count();
        let kernel = nix::sys::utsname::uname()?;
        let hierarchy = Hierarchy::find()?;
        let privilege = engine.privilege();
        let facts = [
            ("Containers", json!(containers.len())),
            ("Running", json!(running)),
            ("Images", json!(engine.store().list()?.len())),
            ("Version", json!(env!("CARGO_PKG_VERSION"))),
            ("StorageDriver", json!("overlay")),
            ("Root", json!(engine.dirs().root)),
            ("RunRoot", json!(engine.dirs().run)),
            ("KernelVersion", json!(kernel.release().to_string_lossy())),
            ("Architecture", json!(sys::arch::OCI_ARCHITECTURE)),
            ("Rootless", json!(privilege.in_user_namespace)),
            ("ManyUsers", json!(privilege.has_many_users)),
            ("Cgroups", json!(hierarchy.kind())),
            ("Controllers", json!(controllers(&hierarchy))),
            ("SecurityOptions", json!(["seccomp=default"])),
            ("Networks", json!(["none", "host"])),
        ];
        print(&match self.format {
            Format::Json => format!(
                "{}\n",
                facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<serde_json::Value>()
            ),
            Format::Table => facts.iter().map(|(key, value)| format!("{key}: {}\n", plain(value))).collect(),
        });
        Ok(0)
    }
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
