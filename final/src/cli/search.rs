//! `tara search`.

use super::login::host;
use super::print;
use crate::report::Refusal;
use anyhow::Result;
use clap::Args;
use step07_images::registry::Registries;

/// Look for repositories in a registry that has a catalogue.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// At most so many.
    #[arg(long, default_value_t = 25)]
    limit: usize,
    /// A part of the name, after the registry's host: `localhost:5000/web`.
    #[arg(value_name = "HOST[:PORT]/TERM")]
    term: String,
}

impl Search {
    pub(crate) fn run(&self) -> Result<u8> {
        let Some((registry, term)) = self.term.split_once('/') else {
            let refusal = Refusal::new(format!("`{}` names no registry", self.term));
            let help =
                "write `HOST/TERM`; Docker Hub has no catalogue by this protocol: search at https://hub.docker.com";
            return Err(refusal.help(help).code(1).into());
        };
        let host = host(registry)?;
        let found = Registries::read()?.search(&host, term)?;
        print("NAME\n");
        found.iter().take(self.limit).for_each(|name| print(&format!("{host}/{name}\n")));
        Ok(0)
    }
}
