//! The reference and what it stands on, built by cargo, and kept where no later cargo replaces it.

use super::Kit;
use super::cargo::{cargo, checked, compiler, flags, json, metadata, packages};
use crate::catalogue::Lab;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

impl Kit {
    /// `libraries` is the folder that will hold what it is linked with.
    pub(super) fn build_reference(workspace: &Workspace, lab: &Lab, libraries: &Path) -> Result<Self> {
        let (rustc, host) = compiler()?;
        let metadata = metadata(workspace, &host)?;
        let package = packages(&metadata)
            .find(|package| package["name"] == lab.package.as_str())
            .context("the package of the lab")?;
        let wanted: Vec<&str> =
            lab.checks().filter_map(|(_, check)| check.test.split_once("::")).map(|(file, _)| file).collect();
        let targets = package["targets"].as_array().context("targets")?;
        let of_kind = |kind: &'static str| named_targets(targets, kind);
        let tests: Vec<(String, PathBuf)> =
            of_kind("test").filter(|(name, _)| wanted.contains(&name.as_str())).collect();
        let build = || build(workspace, &metadata, &lab.package, &tests);
        // Another cargo may have begun to replace them meanwhile: this one waits for it.
        let artifacts = keep(&build()?, libraries).or_else(|_| keep(&build()?, libraries))?;
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
            flags: flags(workspace, &host, libraries)?,
            environment,
            library: of_kind("lib").next().map(|(name, _)| name.replace('-', "_")),
            program: of_kind("bin").next().map(|(name, _)| name),
            tests,
            externs: externs(&metadata, package, &artifacts, false)?,
            dev_externs: externs(&metadata, package, &artifacts, true)?,
            incremental: false,
        })
    }
}

fn named_targets<'t>(targets: &'t [Value], kind: &'static str) -> impl Iterator<Item = (String, PathBuf)> + 't {
    let of_kind = targets.iter().filter(move |target| target["kind"][0] == kind);
    of_kind.filter_map(|target| Some((target["name"].as_str()?.to_owned(), target["src_path"].as_str()?.into())))
}

/// Package id to the file that `--extern` takes.
type Artifacts = BTreeMap<String, PathBuf>;

fn build(workspace: &Workspace, metadata: &Value, package: &str, tests: &[(String, PathBuf)]) -> Result<Artifacts> {
    let mut command = cargo(workspace);
    command.args(["test", "--no-run", "--quiet", "--locked", "--message-format=json-render-diagnostics"]);
    command.args(["--package", package]).args(tests.iter().flat_map(|(name, _)| ["--test", name]));
    // Nothing of these is built, but their features count: what all labs and `cargo test --workspace` stand on is built once.
    let names: Vec<&str> = tests.iter().map(|(name, _)| name.as_str()).collect();
    command.args(members_without(metadata, &names).flat_map(|name| ["--package", name]));
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

/// The packages of the workspace that have no test program of these names.
fn members_without<'m>(metadata: &'m Value, tests: &'m [&str]) -> impl Iterator<Item = &'m str> {
    let members = metadata["workspace_members"].as_array().into_iter().flatten();
    let packages = packages(metadata).filter(move |package| members.clone().any(|member| *member == package["id"]));
    let has_none = move |package: &&Value| {
        let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        named_targets(targets, "test").all(|(name, _)| !tests.contains(&name.as_str()))
    };
    packages.filter(has_none).filter_map(|package| package["name"].as_str())
}

/// Links the libraries into `folder`. In cargo's own, another cargo may be replacing them, and `cargo check` leaves a `.rmeta` of
/// the same crate that rustc would take for the library.
fn keep(artifacts: &Artifacts, folder: &Path) -> Result<Artifacts> {
    fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    let linked = |(id, file): (&String, &PathBuf)| {
        let name = file.file_name().context("a library's name")?.to_string_lossy();
        // Another run may be doing the same.
        let (kept, aside) = (folder.join(&*name), folder.join(format!("{}.{name}", std::process::id())));
        fs::hard_link(file, &aside)
            .or_else(|_| fs::copy(file, &aside).map(drop))
            .and_then(|()| fs::rename(&aside, &kept))
            .with_context(|| format!("keep `{}` in `{}`", file.display(), folder.display()))?;
        // rename(2) of two links to one file does nothing.
        let _gone_by_the_rename = fs::remove_file(&aside);
        Ok((id.clone(), kept))
    };
    artifacts.iter().map(linked).collect()
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
