//! A student's crate: the reference with holes.

use crate::catalogue::Lab;
use crate::holes::{self, Hole};
use crate::workspace::{Workspace, files_below, sources};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The first lines of a starter's crate roots: what the holes used is not used yet.
const HEADER: &str = "#![allow(unused)] // until the holes are filled\n";

/// Texts beside `src/` that the sources include.
const EXTRAS: [&str; 1] = ["words.md"];

/// The folder of the student's crate.
#[must_use]
pub fn folder(workspace: &Workspace, lab: &Lab) -> PathBuf {
    workspace.mine.join(lab.name())
}

/// The folder of a student's crate that is there.
///
/// # Errors
/// When the lab is not begun.
pub fn begun(workspace: &Workspace, lab: &Lab) -> Result<PathBuf> {
    let folder = folder(workspace, lab);
    ensure!(folder.join("src").is_dir(), "lab {} is not begun: `cargo lab start {}`", lab.number, lab.number);
    Ok(folder)
}

/// The holes of a student's crate, with the lines that they are at.
///
/// # Errors
/// As [`holes::find`].
pub fn holes_in(folder: &Path) -> Result<Vec<(PathBuf, Hole)>> {
    let mut all = Vec::new();
    for (path, text) in sources(folder)? {
        all.extend(holes::find(&text)?.into_iter().map(|hole| (path.clone(), hole)));
    }
    Ok(all)
}

/// Makes the student's crate.
///
/// # Errors
/// When it is there already, or cannot be written.
pub fn make(workspace: &Workspace, lab: &Lab) -> Result<PathBuf> {
    let folder = folder(workspace, lab);
    ensure!(!folder.exists(), "`{}` is there already: `cargo lab reset {}` begins again", folder.display(), lab.number);
    write_sources(workspace, lab, &folder, &|hole| Some(lab.placeholder(hole)))?;
    fs::write(folder.join("Cargo.toml"), manifest(workspace, lab)?)?;
    fs::copy(workspace.root.join("Cargo.lock"), folder.join("Cargo.lock")).context("copy Cargo.lock")?;
    let config = workspace.mine.join(".cargo/config.toml");
    if !config.exists() {
        fs::create_dir_all(workspace.mine.join(".cargo"))?;
        fs::write(config, cargo_config(workspace)?)?;
    }
    Ok(folder)
}

/// Writes the sources of the reference into `folder`, with what `body` gives in the holes (`None`: the solution).
///
/// # Errors
/// write(2).
pub fn write_sources(
    workspace: &Workspace,
    lab: &Lab,
    folder: &Path,
    body: &dyn Fn(&Hole) -> Option<String>,
) -> Result<()> {
    let reference = lab.folder(workspace);
    for path in files_below(&reference.join("src"))? {
        let below = path.strip_prefix(&reference).context("a path below the crate")?;
        let text = fs::read(&path).with_context(|| format!("read `{}`", path.display()))?;
        let text = if path.extension().is_some_and(|extension| extension == "rs") {
            let text = String::from_utf8(text).context("sources are UTF-8")?;
            let cut = holes::replace(&text, body)?;
            if cut != text || is_root(below) && cut_somewhere(lab, workspace, body)? {
                with_header(below, cut)
            } else {
                cut
            }
            .into_bytes()
        } else {
            text
        };
        write_changed(&folder.join(below), &text)?;
    }
    // Texts beside the sources that they include.
    for extra in EXTRAS {
        let path = reference.join(extra);
        if path.is_file() {
            write_changed(&folder.join(extra), &fs::read(path)?)?;
        }
    }
    Ok(())
}

fn is_root(path: &Path) -> bool {
    [Path::new("src/lib.rs"), Path::new("src/main.rs")].contains(&path)
}

fn cut_somewhere(lab: &Lab, workspace: &Workspace, body: &dyn Fn(&Hole) -> Option<String>) -> Result<bool> {
    Ok(lab.holes(workspace)?.iter().any(|(_, hole)| body(hole).is_some()))
}

fn with_header(path: &Path, text: String) -> String {
    if !is_root(path) {
        return text;
    }
    // After the crate's own documentation.
    let docs: usize = text.lines().take_while(|line| line.starts_with("//!")).map(|line| line.len() + 1).sum();
    format!("{}{HEADER}{}", &text[..docs], &text[docs..])
}

/// A file that is as it was keeps its time, so that tools see no change.
fn write_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes).with_context(|| format!("write `{}`", path.display()))
}

/// Copies the sources of a student's crate into `into`, with the solution in every hole that is not filled yet, so that what is filled can
/// be looked at. Gives the tasks that have such holes.
///
/// # Errors
/// For sources that are too large or cannot be read.
pub fn complete(workspace: &Workspace, lab: &Lab, mine: &Path, into: &Path) -> Result<BTreeSet<u8>> {
    let solutions = lab.holes(workspace)?;
    let placeholder = format!("todo!(\"{} task ", lab.name());
    let mut unfilled = BTreeSet::new();
    let texts = sources(mine)?;
    ensure!(texts.iter().map(|(_, text)| text.len()).sum::<usize>() < 4 << 20, "the sources are larger than 4 MiB");
    for (path, text) in texts {
        let filled = holes::replace(&text, |hole| {
            let solution = solutions.iter().find(|(_, known)| known.name == hole.name)?;
            hole.body.contains(&placeholder).then(|| {
                unfilled.insert(hole.task);
                holes::dedented(&solution.1.body)
            })
        });
        // Without its marks a file is taken as it is.
        write_changed(&into.join(path), filled.unwrap_or(text).as_bytes())?;
    }
    for extra in EXTRAS {
        let path = lab.folder(workspace).join(extra);
        if path.is_file() {
            write_changed(&into.join(extra), &fs::read(path)?)?;
        }
    }
    copy_data(&lab.folder(workspace), into)?;
    Ok(unfilled)
}

/// What is beside the Rust files in the reference's `src/`.
fn copy_data(reference: &Path, into: &Path) -> Result<()> {
    for path in files_below(&reference.join("src"))? {
        if path.extension().is_none_or(|extension| extension != "rs") {
            let below = path.strip_prefix(reference).context("a path below the crate")?;
            write_changed(&into.join(below), &fs::read(&path)?)?;
        }
    }
    Ok(())
}

/// Puts the solution of one task, or of all, into the student's crate. The rest stays.
///
/// # Errors
/// For a file of the student's that has lost the marks of its holes.
pub fn solve(workspace: &Workspace, lab: &Lab, task: Option<u8>) -> Result<()> {
    let mine = folder(workspace, lab);
    let solutions = lab.holes(workspace)?;
    begun(workspace, lab)?;
    for (path, text) in sources(&mine)? {
        let filled = holes::replace(&text, |hole| {
            let wanted = task.is_none_or(|task| task == hole.task);
            let solution = solutions.iter().find(|(_, known)| known.name == hole.name).filter(|_| wanted);
            solution.map(|(_, known)| holes::dedented(&known.body))
        });
        write_changed(&mine.join(&path), filled.with_context(|| format!("in `{}`", path.display()))?.as_bytes())?;
    }
    let left: Vec<String> = solutions
        .iter()
        .filter(|(_, hole)| task.is_none_or(|task| task == hole.task))
        .map(|(_, hole)| hole.name.clone())
        .collect();
    let mine_has: Vec<String> = sources(&mine)?
        .iter()
        .map(|(_, text)| holes::find(text))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .map(|hole| hole.name)
        .collect();
    for name in left {
        ensure!(
            mine_has.contains(&name),
            "your sources have lost the mark `// ANCHOR: {name}`: `cargo lab reset {}`",
            lab.number
        );
    }
    Ok(())
}

/// The manifest: the reference's, with what it takes from the workspace written out, and paths back to the reference.
fn manifest(workspace: &Workspace, lab: &Lab) -> Result<String> {
    let read = |path: &Path| -> Result<Table> {
        fs::read_to_string(path)?.parse().with_context(|| format!("understand `{}`", path.display()))
    };
    let of_workspace = read(&workspace.root.join("Cargo.toml"))?;
    let mut manifest = read(&lab.folder(workspace).join("Cargo.toml"))?;
    let shared = of_workspace.get("workspace").and_then(Value::as_table).context("the workspace's table")?;
    if let (Some(Value::Table(package)), Some(Value::Table(common))) =
        (manifest.get_mut("package"), shared.get("package"))
    {
        for (key, value) in common {
            package.insert(key.clone(), value.clone());
        }
    }
    for section in ["dependencies", "dev-dependencies"] {
        let Some(Value::Table(dependencies)) = manifest.get_mut(section) else { continue };
        for (name, value) in dependencies.iter_mut() {
            *value = written_out(workspace, shared, name, value);
        }
    }
    manifest.remove("lints");
    manifest.remove("bench");
    if let Some(Value::Array(tests)) = manifest.get_mut("test") {
        for test in tests.iter_mut().filter_map(Value::as_table_mut) {
            let name = test.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let path =
                test.get("path").and_then(Value::as_str).map_or_else(|| format!("tests/{name}.rs"), str::to_owned);
            test.insert("path".to_owned(), lab.folder(workspace).join(path).display().to_string().into());
        }
    }
    manifest.insert("workspace".to_owned(), Value::Table(Table::new()));
    Ok(format!(
        "# Made by `cargo lab start`. The tests are the workshop's own: checks never look at a copy.\n{manifest}"
    ))
}

fn written_out(workspace: &Workspace, shared: &Table, name: &str, value: &Value) -> Value {
    let mut own = value.as_table().cloned().unwrap_or_default();
    if own.remove("workspace").is_none() {
        return value.clone();
    }
    let common = shared.get("dependencies").and_then(|all| all.get(name)).cloned().unwrap_or_else(|| "*".into());
    let mut table = match common {
        Value::Table(table) => table,
        version => Table::from_iter([("version".to_owned(), version)]),
    };
    if let Some(path) = table.get("path").and_then(Value::as_str) {
        let path = workspace.root.join(path).display().to_string();
        table.insert("path".to_owned(), path.into());
    }
    if let (Some(Value::Array(features)), Some(Value::Array(more))) = (table.get_mut("features"), own.get("features")) {
        features.extend(more.iter().cloned());
        own.remove("features");
    }
    table.extend(own);
    Value::Table(table)
}

/// Static programs as in the workshop, and one folder for what cargo builds.
fn cargo_config(workspace: &Workspace) -> Result<String> {
    let text = fs::read_to_string(workspace.root.join(".cargo/config.toml")).context("read .cargo/config.toml")?;
    let mut config: Table = text.parse().context("understand .cargo/config.toml")?;
    let manifest = workspace.root.join("Cargo.toml").display().to_string();
    config.insert(
        "alias".to_owned(),
        Value::Table(Table::from_iter([(
            "lab".to_owned(),
            format!("run --quiet --manifest-path {manifest} --package labs --").into(),
        )])),
    );
    if let Some(Value::Table(build)) = config.get_mut("build") {
        build.insert("target-dir".to_owned(), workspace.scratch("cargo").display().to_string().into());
    }
    Ok(config.to_string())
}
