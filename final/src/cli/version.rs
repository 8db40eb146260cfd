//! `tara version`.

use super::print;
use crate::format::Format;
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Show the version.
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// `json`, or a Go template.
    #[arg(short, long)]
    format: Option<String>,
}

impl Version {
    pub(crate) fn run(&self) -> Result<u8> {
        let format = Format::parse(self.format.as_deref())?;
        let kernel = nix::sys::utsname::uname();
        let kernel = kernel.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
        let (version, arch) = (env!("CARGO_PKG_VERSION"), sys::arch::OCI_ARCHITECTURE);
        // docker's client and its daemon: here they are one program.
        let one = json!({ "Version": version, "Os": "linux", "Arch": arch, "KernelVersion": kernel });
        let document = json!({ "Client": one, "Server": one });
        print(&format.document(&document, || format!("tara {version}\nOS/Arch: linux/{arch}\nKernel: {kernel}\n"))?);
        Ok(0)
    }
}
