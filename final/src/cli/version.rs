//! `tara version`.

use super::{Format, print};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Show the version.
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Version {
    #[allow(clippy::unnecessary_wraps, reason = "every command has this form")]
    pub(crate) fn run(&self) -> Result<u8> {
        let kernel = nix::sys::utsname::uname();
        let kernel = kernel.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
        let (version, arch) = (env!("CARGO_PKG_VERSION"), sys::arch::OCI_ARCHITECTURE);
        print(&match self.format {
            Format::Table => format!("tara {version}\nOS/Arch: linux/{arch}\nKernel: {kernel}\n"),
            Format::Json => {
                format!("{}\n", json!({ "Version": version, "Os": "linux", "Arch": arch, "KernelVersion": kernel }))
            }
        });
        Ok(0)
    }
}
