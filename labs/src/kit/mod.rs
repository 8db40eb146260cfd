//! From sources to programs: the reference's dependencies, built once by cargo, and the student's crate, built by rustc alone.
//!
//! Nothing of the student's but `src/` is looked at: no manifest, no build script, no copy of the tests. And calling
//! rustc directly takes a second where cargo takes three.

mod cargo;
mod reference;
mod state;

pub use cargo::program;

use crate::catalogue::Lab;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is needed to build any variant of a lab's crate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kit {
    rustc: PathBuf,
    flags: Vec<String>,
    environment: BTreeMap<String, String>,
    library: Option<String>,
    /// None for a step that is a library alone.
    program: Option<String>,
    /// Name and source of each test program that a check names.
    tests: Vec<(String, PathBuf)>,
    externs: Vec<(String, PathBuf)>,
    dev_externs: Vec<(String, PathBuf)>,
    /// Whether a build leaves what makes the next one faster.
    #[serde(skip)]
    incremental: bool,
}

/// A variant of a lab's crate that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The program of each test file.
    pub tests: BTreeMap<String, PathBuf>,
    /// What the compiler said.
    pub warnings: String,
    /// The folder of the reference: tests find their snapshots below it.
    pub reference: PathBuf,
}

/// What the compiler said about a crate that it refused.
#[derive(Debug, thiserror::Error)]
#[error("it does not compile")]
pub struct DoesNotCompile(pub String);

impl Kit {
    /// Builds the reference and what it stands on, unless that was done since the last change: then nothing is asked of cargo,
    /// and nothing is written. So a class can share one workshop that it cannot write to.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn prepare(workspace: &Workspace, lab: &Lab) -> Result<Self> {
        let kept = workspace.scratch("kits").join(format!("{}.json", lab.name()));
        let state = state::state(workspace, lab)?;
        let known = std::fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice::<(String, Self)>(&bytes).ok());
        if let Some((_, kit)) = known.filter(|(of, kit)| *of == state && kit.is_there()) {
            return Ok(kit);
        }
        let libraries = kept.with_file_name(format!("{}-{state}", lab.name()));
        let kit = Self::build_reference(workspace, lab, &libraries)?;
        remove_older(&libraries, &lab.name());
        let text = serde_json::to_vec(&(state, &kit))?;
        let made = kept.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = made.and_then(|()| std::fs::write(kept.with_extension("unfinished"), text));
        // Only the next run takes longer without it.
        let _not_ours_to_write = written.and_then(|()| std::fs::rename(kept.with_extension("unfinished"), &kept));
        Ok(kit)
    }

    /// The same kit, for builds of one crate again and again into one folder: a change of one function costs the engine's library
    /// 3 s instead of 23.
    #[must_use]
    pub fn incremental(self) -> Self {
        Self { incremental: true, ..self }
    }

    fn is_there(&self) -> bool {
        self.externs.iter().chain(&self.dev_externs).all(|(_, path)| path.exists()) && self.rustc.exists()
    }

    /// The folders outside of the workshop that a build reads.
    #[must_use]
    pub fn reads(&self) -> Vec<PathBuf> {
        self.rustc.ancestors().nth(2).map(Path::to_owned).into_iter().collect()
    }

    /// Builds the crate in `folder` (its `src/`) into `out`, with the test programs that `wanted` picks.
    ///
    /// # Errors
    /// [`DoesNotCompile`], or what keeps the compiler from running.
    pub fn build(&self, folder: &Path, out: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Built> {
        std::fs::create_dir_all(out).with_context(|| format!("make `{}`", out.display()))?;
        let mut externs = self.externs.clone();
        let mut warnings = String::new();
        if let Some(library) = &self.library {
            let path = out.join(format!("lib{library}.rlib"));
            warnings += &self.compile(library, &folder.join("src/lib.rs"), "lib", &path, &externs, &[])?;
            externs.push((library.clone(), path));
        }
        let mut environment = Vec::new();
        if let Some(name) = &self.program {
            let program = out.join(name);
            let source = folder.join("src/main.rs");
            warnings += &self.compile(name, &source, "bin", &program, &externs, &[])?;
            environment.push((format!("CARGO_BIN_EXE_{name}"), program));
        }
        externs.extend(self.dev_externs.iter().cloned());
        let mut tests = BTreeMap::new();
        for (name, source) in self.tests.iter().filter(|(name, _)| wanted(name)) {
            let path = out.join(format!("test-{name}"));
            self.compile(name, source, "bin", &path, &externs, &environment)?;
            tests.insert(name.clone(), path);
        }
        let reference = self.environment.get("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
        Ok(Built { tests, warnings, reference })
    }

    fn compile(
        &self,
        name: &str,
        source: &Path,
        kind: &str,
        out: &Path,
        externs: &[(String, PathBuf)],
        environment: &[(String, PathBuf)],
    ) -> Result<String> {
        let mut command = Command::new(&self.rustc);
        let name = name.replace('-', "_");
        command.args(["--edition=2024", "--crate-name", &name, "--crate-type", kind]).args(&self.flags);
        command.envs(&self.environment).env("CARGO_CRATE_NAME", &name).envs(environment.iter().cloned());
        for (name, path) in externs {
            command.arg("--extern").arg(format!("{name}={}", path.display()));
        }
        if self.incremental {
            command.arg(format!("-Cincremental={}", out.with_file_name("incremental").display()));
        }
        let output = command.arg("-o").arg(out).arg(source).stdin(Stdio::null()).output().context("run rustc")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(said) } else { Err(DoesNotCompile(said).into()) }
    }
}

/// The folders of libraries that an older state of the workshop was built into.
fn remove_older(libraries: &Path, lab: &str) {
    let beside = libraries.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    for path in beside.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path != libraries) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.strip_prefix(lab).is_some_and(|rest| rest.starts_with('-')) {
            let _only_takes_room = std::fs::remove_dir_all(&path);
        }
    }
}
