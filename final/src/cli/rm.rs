//! `tara rm`.

use super::each;
use crate::engine::Engine;
use crate::report::Refusal;
use anyhow::Result;
use clap::Args;

/// Remove containers.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Also containers that run: their programs are killed.
    #[arg(short, long)]
    force: bool,
    /// Remove a link between containers; there are none.
    #[arg(short, long)]
    link: bool,
    /// Also the volumes without a name that no other container mounts.
    #[arg(short, long)]
    volumes: bool,
    /// Names, ids or beginnings of ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Rm {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        if self.link {
            let refusal = Refusal::new("there are no links between containers");
            return Err(refusal.help("containers of one network find each other by name").code(1).into());
        }
        Ok(each(&self.containers, |container| {
            engine.remove(container, self.force, self.volumes).map(|()| format!("{container}\n"))
        }))
    }
}
