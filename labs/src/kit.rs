//! From sources to programs: the reference's dependencies, built once by cargo, and the student's crate, built by rustc alone.
//!
//! Nothing of the student's but `src/` is looked at: no manifest, no build script, no copy of the tests. And calling
//! rustc directly takes a second where cargo takes three.

use crate::catalogue::Lab;
use crate::workspace::{Workspace, files_below};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
        let state = state(workspace, lab)?;
        let known = std::fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice::<(String, Self)>(&bytes).ok());
        if let Some((_, kit)) = known.filter(|(of, kit)| *of == state && kit.is_there()) {
            return Ok(kit);
        }
        let kit = Self::build_reference(workspace, lab)?;
        let text = serde_json::to_vec(&(state, &kit))?;
        let made = kept.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = made.and_then(|()| std::fs::write(kept.with_extension("unfinished"), text));
        // Only the next run takes longer without it.
        let _not_ours_to_write = written.and_then(|()| std::fs::rename(kept.with_extension("unfinished"), &kept));
        Ok(kit)
    }

    fn is_there(&self) -> bool {
        self.externs.iter().chain(&self.dev_externs).all(|(_, path)| path.exists()) && self.rustc.exists()
    }

    fn build_reference(workspace: &Workspace, lab: &Lab) -> Result<Self> {
        let metadata = metadata(workspace)?;
        let package = packages(&metadata)
            .find(|package| package["name"] == lab.package.as_str())
            .context("the package of the lab")?;
        let wanted: Vec<&str> =
            lab.checks().filter_map(|(_, check)| check.test.split_once("::")).map(|(file, _)| file).collect();
        let targets = package["targets"].as_array().context("targets")?;
        let of_kind = |kind: &'static str| named_targets(targets, kind);
        let tests: Vec<(String, PathBuf)> =
            of_kind("test").filter(|(name, _)| wanted.contains(&name.as_str())).collect();
        let artifacts = build(workspace, &lab.package, &tests)?;
        let (rustc, host) = compiler()?;
        let version = package["version"].as_str().unwrap_or_default();
        let names = [
            ("NAME", lab.package.as_str()),
            ("VERSION", version),
            ("VERSION_MAJOR", "0"),
            ("VERSION_MINOR", "1"),
            ("VERSION_PATCH", "0"),
            ("DESCRIPTION", package["description"].as_str().unwrap_or_default()),
        ];
        let mut environment: BTreeMap<String, String> =
            names.map(|(name, value)| (format!("CARGO_PKG_{name}"), value.to_owned())).into();
        environment.insert("CARGO_MANIFEST_DIR".to_owned(), lab.folder(workspace).display().to_string());
        environment.insert("CARGO_TARGET_TMPDIR".to_owned(), workspace.target().join("tmp").display().to_string());
        Ok(Self {
            rustc,
            flags: flags(workspace, &host)?,
            environment,
            library: of_kind("lib").next().map(|(name, _)| name.replace('-', "_")),
            program: of_kind("bin").next().map(|(name, _)| name),
            tests,
            externs: externs(&metadata, package, &artifacts, false)?,
            dev_externs: externs(&metadata, package, &artifacts, true)?,
        })
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
        let output = command.arg("-o").arg(out).arg(source).stdin(Stdio::null()).output().context("run rustc")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(said) } else { Err(DoesNotCompile(said).into()) }
    }
}

/// Of all that a build of the reference depends on: names and times.
fn state(workspace: &Workspace, lab: &Lab) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    let tests: Vec<&str> = lab.checks().map(|(_, check)| check.test.as_str()).collect();
    hasher.write(format!("{tests:?} {:?}", std::env::var_os("RUSTFLAGS")).as_bytes());
    let mut files: Vec<PathBuf> =
        ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"].iter().map(|name| workspace.root.join(name)).collect();
    for entry in std::fs::read_dir(&workspace.root)?.flatten().map(|entry| entry.path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "crates" || name == "final" || name.starts_with("step0") {
            files
                .extend(files_below(&entry)?.into_iter().filter(|path| !path.to_string_lossy().ends_with(".snap.new")));
        }
    }
    files.sort();
    for file in files {
        hasher.write(file.as_os_str().as_encoded_bytes());
        let modified = std::fs::metadata(&file)?.modified()?;
        hasher.write(format!("{modified:?}").as_bytes());
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn named_targets<'t>(targets: &'t [Value], kind: &'static str) -> impl Iterator<Item = (String, PathBuf)> + 't {
    let of_kind = targets.iter().filter(move |target| target["kind"][0] == kind);
    of_kind.filter_map(|target| Some((target["name"].as_str()?.to_owned(), target["src_path"].as_str()?.into())))
}

fn metadata(workspace: &Workspace) -> Result<Value> {
    let output = cargo(workspace).args(["metadata", "--format-version=1", "--offline", "--locked"]).output();
    json(&checked(output, "cargo metadata")?.stdout)
}

fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Cargo tells its children about the package that it runs: that is not ours to pass on.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        command.env_remove(name);
    }
    command.current_dir(&workspace.root).env_remove("CARGO_MANIFEST_DIR").stdin(Stdio::null());
    command
}

fn checked(output: std::io::Result<Output>, what: &str) -> Result<Output> {
    let output = output.with_context(|| format!("run {what}"))?;
    if !output.status.success() {
        bail!("{what}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

fn json(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).context("cargo's JSON")
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// Builds the program of a package of the workshop, and says where it is.
///
/// # Errors
/// When cargo fails.
pub fn program(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    let mut command = cargo(workspace);
    command.args([
        "build",
        "--quiet",
        "--offline",
        "--locked",
        "--bins",
        "--message-format=json-render-diagnostics",
        "--package",
        package,
    ]);
    let output = checked(command.stderr(Stdio::inherit()).output(), "cargo build")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.with_context(|| format!("`{package}` has no program"))
}

/// Package id to the file that `--extern` takes.
type Artifacts = BTreeMap<String, PathBuf>;

fn build(workspace: &Workspace, package: &str, tests: &[(String, PathBuf)]) -> Result<Artifacts> {
    let mut command = cargo(workspace);
    command.args([
        "test",
        "--no-run",
        "--quiet",
        "--locked",
        "--offline",
        "--message-format=json-render-diagnostics",
        "--package",
        package,
    ]);
    command.args(tests.iter().flat_map(|(name, _)| ["--test", name]));
    let output = command.stderr(Stdio::inherit()).output();
    let output = checked(output, "cargo test --no-run")?;
    let mut artifacts = Artifacts::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = json(line.as_bytes())?;
        let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let library = files.filter_map(|file| match kind {
            "lib" | "rlib" => file.strip_suffix(".rmeta").map(|file| format!("{file}.rlib")),
            "proc-macro" => file.ends_with(".so").then(|| file.to_owned()),
            _ => None,
        });
        for file in library {
            let id = message["package_id"].as_str().unwrap_or_default();
            // Libraries of build scripts and macros are built for the machine that builds: `target/debug`.
            let for_host = kind != "proc-macro" && is_for_host(Path::new(&file), &workspace.target());
            if !for_host {
                artifacts.insert(id.to_owned(), file.into());
            }
        }
    }
    Ok(artifacts)
}

fn is_for_host(file: &Path, target: &Path) -> bool {
    file.strip_prefix(target).is_ok_and(|below| below.starts_with("debug"))
}

fn externs(metadata: &Value, package: &Value, artifacts: &Artifacts, dev: bool) -> Result<Vec<(String, PathBuf)>> {
    let nodes = metadata["resolve"]["nodes"].as_array().context("the graph of dependencies")?;
    let node = nodes.iter().find(|node| node["id"] == package["id"]).context("the package in the graph")?;
    let mut externs = Vec::new();
    for dependency in node["deps"].as_array().into_iter().flatten() {
        let kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
        let wanted =
            kinds.map(|kind| kind["kind"].as_str()).any(|kind| if dev { kind == Some("dev") } else { kind.is_none() });
        let id = dependency["pkg"].as_str().unwrap_or_default();
        if wanted && let (Some(path), Some(name)) = (artifacts.get(id), dependency["name"].as_str()) {
            externs.push((name.to_owned(), path.clone()));
        }
    }
    Ok(externs)
}

/// The compiler itself (not rustup's, which looks for it each time), and the machine that it builds for.
fn compiler() -> Result<(PathBuf, String)> {
    let sysroot = checked(Command::new("rustc").args(["--print", "sysroot"]).output(), "rustc")?;
    let rustc = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim()).join("bin/rustc");
    let version = checked(Command::new(&rustc).arg("-vV").output(), "rustc -vV")?;
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    Ok((rustc, host.to_owned()))
}

/// The flags of the workspace's own profile for tests, and where cargo has put the dependencies.
fn flags(workspace: &Workspace, host: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(workspace.root.join(".cargo/config.toml")).context("read .cargo/config.toml")?;
    let config: toml::Table = text.parse().context("understand .cargo/config.toml")?;
    let of_linux =
        config.get("target").and_then(|target| target.get("cfg(target_os = \"linux\")")?.get("rustflags")?.as_array());
    let mut flags: Vec<String> =
        of_linux.into_iter().flatten().filter_map(|flag| Some(flag.as_str()?.to_owned())).collect();
    ensure!(!flags.is_empty(), ".cargo/config.toml has no flags for Linux");
    let target = workspace.target();
    for folder in [target.join(host).join("debug/deps"), target.join("debug/deps")] {
        flags.push(format!("-Ldependency={}", folder.display()));
    }
    flags.extend(["--target", host, "-Cdebuginfo=0", "-Cembed-bitcode=no", "-Cstrip=debuginfo"].map(str::to_owned));
    Ok(flags)
}
