//! `tara ps`.

use super::{Format, print};
use crate::container::{Container, Record, Status};
use crate::engine::Engine;
use crate::format::{ago, shortened, since, table};
use crate::network::show::{self, Ports, all_ports};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// List containers.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Also those that have ended.
    #[arg(short, long)]
    all: bool,
    /// Only the ids.
    #[arg(short, long)]
    quiet: bool,
    /// Do not cut ids and commands short.
    #[arg(long)]
    no_trunc: bool,
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Ps {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let mut containers = Container::all(engine.dirs())?;
        containers.retain(|container| self.all || matches!(container.status, Status::Running(_) | Status::Starting));
        // Asked only where it is shown: `ps -q` needs no word with the kernel.
        let ports = if self.quiet { Ports::new() } else { all_ports(engine.dirs()) };
        print(&self.text(&containers, &ports));
        Ok(0)
    }

    fn text(&self, containers: &[Container], ports: &Ports) -> String {
        if self.quiet {
            return containers.iter().map(|container| self.id(&container.record) + "\n").collect();
        }
        if self.format == Format::Json {
            return containers.iter().map(|container| self.json(container, ports)).collect();
        }
        let header = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"].map(str::to_owned);
        let rows = containers.iter().map(|container| self.row(container, ports));
        table(&[header].into_iter().chain(rows).collect::<Vec<_>>())
    }

    fn row(&self, Container { record, status }: &Container, ports: &Ports) -> [String; 7] {
        let runs = matches!(status, Status::Running(_) | Status::Starting);
        let published = ports.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        let ports = if runs { show::in_words(record, published) } else { String::new() };
        let command = self.command(record);
        let created = ago(record.created);
        [self.id(record), record.image.clone(), command, created, in_words(status), ports, record.name.clone()]
    }

    fn id(&self, record: &Record) -> String {
        if self.no_trunc { record.id.clone() } else { record.id.chars().take(12).collect() }
    }

    fn command(&self, record: &Record) -> String {
        let whole = record.command().join(" ");
        format!("{:?}", if self.no_trunc { whole } else { shortened(&whole, 20) })
    }

    fn json(&self, container: &Container, ports: &Ports) -> String {
        let [id, image, command, running_for, status, ports, names] = self.row(container, ports);
        let line = json!({
            "ID": id, "Image": image, "Command": command, "RunningFor": running_for, "Status": status, "Ports": ports,
            "Names": names, "CreatedAt": container.record.created, "State": state(&container.status),
        });
        format!("{line}\n")
    }
}

/// docker's word for a status.
pub(super) fn state(status: &Status) -> &'static str {
    match status {
        Status::Created | Status::Starting => "created",
        Status::Running(state) if state.paused => "paused",
        Status::Running(_) => "running",
        Status::Exited(_) => "exited",
        Status::Abandoned(_) => "dead",
    }
}

fn in_words(status: &Status) -> String {
    match status {
        Status::Created | Status::Starting => "Created".to_owned(),
        Status::Running(state) => {
            format!("Up {}{}", since(state.started), if state.paused { " (Paused)" } else { "" })
        }
        Status::Exited(exit) => format!("Exited ({}) {}", exit.code, ago(exit.finished)),
        Status::Abandoned(_) => "Dead".to_owned(),
    }
}
