//! Inside the cell: from a submission to outcomes.

use super::{Order, Report};
use crate::catalogue::Lab;
use crate::check;
use crate::kit::DoesNotCompile;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Compiles and checks the submission of `order`, with everything below `home`.
///
/// # Errors
/// When the environment does not allow it. What is wrong with the submission is in the report.
pub(super) fn grade(
    workspace: &Workspace,
    order: &Order,
    home: &Path,
    wrap: &dyn Fn(Command) -> Command,
) -> Result<Report> {
    let lab = Lab::load(workspace, order.lab)?;
    let submission = home.join("submission");
    let folder = match unpacked(&submission, &home.join("unpacked"))? {
        Ok(folder) => folder,
        Err(why) => return Ok(Report::Refused(why)),
    };
    let Some(mine) = crate_in(&folder, &lab.name()) else {
        return Ok(Report::Refused("there is no `src/` with a `main.rs` or `lib.rs` in it".to_owned()));
    };
    let result = {
        let subject = check::Subject { lab: &lab, kit: &order.kit, mine: &mine, scratch: home };
        check::assess(workspace, subject, order.place, &|_, _| true, wrap)
    };
    match result {
        Ok(outcomes) => Ok(Report::Checked(outcomes)),
        Err(error) => match error.downcast::<DoesNotCompile>() {
            // The grader's user has no processes left: another submission of an ordinary user's grader holds them.
            Ok(DoesNotCompile(said)) if said.contains("Resource temporarily unavailable") => {
                anyhow::bail!("the compiler could not start a thread (EAGAIN)")
            }
            Ok(DoesNotCompile(said)) => {
                Ok(Report::Refused(format!("it does not compile\n{}", said.chars().take(20_000).collect::<String>())))
            }
            Err(error) => Err(error),
        },
    }
}

/// The folder of the submission; a tarball is unpacked first. The inner `Err` is the submission's fault.
fn unpacked(submission: &Path, into: &Path) -> Result<Result<PathBuf, String>> {
    if submission.is_dir() {
        return Ok(Ok(submission.to_owned()));
    }
    fs::create_dir_all(into)?;
    let output = Command::new("tar")
        .args(["--no-same-owner", "--no-same-permissions", "-xf"])
        .arg(submission)
        .arg("-C")
        .arg(into)
        .stdin(Stdio::null())
        .output();
    let output = output.context("run tar")?;
    if output.status.success() {
        Ok(Ok(into.to_owned()))
    } else {
        Ok(Err(format!("tar: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }
}

/// The crate: the folder itself, the one named after the lab, or the only folder in it.
fn crate_in(folder: &Path, name: &str) -> Option<PathBuf> {
    let below = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let nested: Vec<PathBuf> = below.flat_map(|path| [path.join(name), path]).collect();
    let candidates = [folder.to_owned(), folder.join(name)].into_iter().chain(nested);
    candidates.into_iter().find(|path| {
        ["src/main.rs", "src/lib.rs"].iter().any(|file| path.join(file).is_file()) && !path.join("src").is_symlink()
    })
}
