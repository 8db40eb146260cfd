//! `tara` on the stage: its directories, its image, its bridge.

use crate::cgroup;
use crate::stage::Stage;
use crate::startup::PROGRAM;
use crate::subject::{Group, Subject};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The image with one layer and one program.
pub(crate) const IMAGE: &str = "bench";

/// An engine on folders of the stage, with the image [`IMAGE`].
#[derive(Debug, Clone)]
pub(crate) struct Tara {
    program: PathBuf,
    root: PathBuf,
    run_root: PathBuf,
}

/// The default bridge.
#[derive(Debug, Clone)]
pub(crate) struct Bridge {
    /// The link's name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) gateway: String,
}

impl Tara {
    /// Imports the image.
    ///
    /// # Errors
    /// When `tara` is not built, or does not import.
    pub(crate) fn new(stage: &Stage) -> Result<Self> {
        let program = stage.our("tara");
        if !program.exists() {
            bail!("`{}` is not built: leave `--no-build` out", program.display());
        }
        let tara = Self { program, root: stage.folder("tara")?, run_root: "/run/tara".into() };
        let rootfs = stage.rootfs.to_str().context("the stage's path")?.to_owned();
        tara.say(&["import", &rootfs, IMAGE])?;
        Ok(tara)
    }

    /// The words before a subcommand.
    pub(crate) fn words(&self) -> Vec<OsString> {
        [
            self.program.clone().into(),
            "--root".into(),
            self.root.clone().into(),
            "--run-root".into(),
            self.run_root.clone().into(),
        ]
        .into()
    }

    /// Runs a subcommand; what it printed.
    ///
    /// # Errors
    /// What it reports.
    pub(crate) fn say(&self, arguments: &[&str]) -> Result<String> {
        let words = self.words();
        let output = Command::new(&words[0]).args(&words[1..]).args(arguments).output();
        let output = output.with_context(|| format!("start `{}`", self.program.display()))?;
        if !output.status.success() {
            bail!("tara {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// `tara run --rm OPTIONS bench /bin/program`.
    pub(crate) fn run(&self, name: &str, options: &[&str]) -> Subject {
        let mut command = self.words();
        command.extend(["run", "--rm"].map(OsString::from));
        if !options.contains(&"disabled") {
            command.extend(["--cgroup-parent", cgroup::TARA].map(OsString::from));
        }
        command.extend(options.iter().map(OsString::from));
        command.extend([IMAGE, PROGRAM].map(OsString::from));
        Subject::new(name, Group::Tara, command)
    }

    /// The default bridge, with the rules and maps that come with it: made with the first container that has a published port.
    ///
    /// # Errors
    /// When there is none after that.
    pub(crate) fn bridge(&self) -> Result<Bridge> {
        self.run("", &["--publish", "18080:80"]).run().context("make the default bridge")?;
        let text = self.say(&["network", "inspect", "bridge"])?;
        let seen: serde_json::Value = serde_json::from_str(&text)?;
        let gateway = seen.pointer("/0/IPAM/Config/0/Gateway").and_then(serde_json::Value::as_str);
        let gateway = gateway.with_context(|| format!("no bridge in `network inspect`: {text}"))?;
        Ok(Bridge { name: "tara0".to_owned(), gateway: gateway.to_owned() })
    }
}
