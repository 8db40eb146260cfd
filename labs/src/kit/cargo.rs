//! What cargo and rustc say about the workshop.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Of the packages for the machine `host`. What of them is not here yet is downloaded: `cargo lab` itself stands on few of them.
pub(super) fn metadata(workspace: &Workspace, host: &str) -> Result<Value> {
    let output = cargo(workspace)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", host])
        .stderr(Stdio::inherit())
        .output();
    json(&checked(output, "cargo metadata")?.stdout)
}

pub(super) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Cargo tells its children about the package that it runs: that is not ours to pass on.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        command.env_remove(name);
    }
    command.current_dir(&workspace.root).env_remove("CARGO_MANIFEST_DIR").stdin(Stdio::null());
    command
}

pub(super) fn checked(output: std::io::Result<Output>, what: &str) -> Result<Output> {
    let output = output.with_context(|| format!("run {what}"))?;
    if !output.status.success() {
        bail!("{what}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

pub(super) fn json(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).context("cargo's JSON")
}

pub(super) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// Builds the program that a package of the workshop is named after, and says where it is.
///
/// # Errors
/// When cargo fails.
pub fn program(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    let mut command = cargo(workspace);
    command.args(["build", "--quiet", "--locked", "--message-format=json-render-diagnostics"]);
    // With the features of the whole workspace, and so what its tests were built from: a package by itself would build half of it anew.
    command.args(["--workspace", "--bin", package]);
    let output = checked(command.stderr(Stdio::inherit()).output(), "cargo build")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.with_context(|| format!("`{package}` has no program"))
}

/// The compiler itself (not rustup's, which looks for it each time), and the machine that it builds for.
pub(super) fn compiler() -> Result<(PathBuf, String)> {
    let sysroot = checked(Command::new("rustc").args(["--print", "sysroot"]).output(), "rustc")?;
    let rustc = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim()).join("bin/rustc");
    let version = checked(Command::new(&rustc).arg("-vV").output(), "rustc -vV")?;
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    Ok((rustc, host.to_owned()))
}

/// The flags of the workspace's own profile for tests, with the dependencies in `libraries`.
pub(super) fn flags(workspace: &Workspace, host: &str, libraries: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(workspace.root.join(".cargo/config.toml")).context("read .cargo/config.toml")?;
    let config: toml::Table = text.parse().context("understand .cargo/config.toml")?;
    let of_linux =
        config.get("target").and_then(|target| target.get("cfg(target_os = \"linux\")")?.get("rustflags")?.as_array());
    let mut flags: Vec<String> =
        of_linux.into_iter().flatten().filter_map(|flag| Some(flag.as_str()?.to_owned())).collect();
    ensure!(!flags.is_empty(), ".cargo/config.toml has no flags for Linux");
    flags.push(format!("-Ldependency={}", libraries.display()));
    flags.extend(["--target", host, "-Cdebuginfo=0", "-Cembed-bitcode=no", "-Cstrip=debuginfo"].map(str::to_owned));
    Ok(flags)
}
