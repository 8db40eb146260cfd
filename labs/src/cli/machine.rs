//! What this machine can do, and the lab machine.

use crate::catalogue::Lab;
use crate::doctor;
use crate::kit::Kit;
use crate::report::Ink;
use crate::tidy;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// The packages of the lab machine and of checks.
const PACKAGES: [&str; 9] =
    ["user-mode-linux", "busybox-static", "iproute2", "nftables", "uidmap", "skopeo", "umoci", "gcc", "libc6-dev"];

pub(super) fn doctor(workspace: &Workspace, json: bool) -> Result<bool> {
    let findings = doctor::look(workspace)?;
    if json {
        println!("{}", json!(findings));
    } else {
        print!("{}", findings.text(Ink::of_stdout()));
    }
    Ok(findings.good())
}

pub(super) fn shell() -> Result<bool> {
    let missing = testkit::lacking(&testkit::machine::KERNEL);
    ensure!(missing.is_none(), "the lab machine {}", missing.unwrap_or_default());
    let program = std::env::current_exe().context("this program")?;
    Ok(testkit::machine::shell(&program).context("boot the lab machine")?.success())
}

pub(super) fn prepare(workspace: &Workspace, json: bool) -> Result<bool> {
    let install =
        |words: &[&str]| Command::new("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive").status();
    if nix::unistd::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists() {
        install(&["update", "-qq"]).context("run apt-get")?;
        let done = install(&[&["install", "-y", "-qq", "--no-install-recommends"], &PACKAGES[..]].concat())
            .context("run apt-get")?;
        ensure!(done.success(), "apt-get install {}: {done}", PACKAGES.join(" "));
    } else {
        eprintln!("as root on Debian or Ubuntu: apt-get install {}", PACKAGES.join(" "));
    }
    for lab in Lab::all(workspace)? {
        eprintln!("building what lab {} stands on", lab.number);
        Kit::prepare(workspace, &lab)?;
    }
    doctor(workspace, json)
}

pub(super) fn cleanup(workspace: &Workspace, json: bool) -> Result<bool> {
    let removed = tidy::cleanup(workspace)?;
    if json {
        println!("{}", json!({ "removed": removed }));
    } else if removed.is_empty() {
        println!("there was nothing to remove");
    } else {
        removed.iter().for_each(|path| println!("removed `{}`", path.display()));
    }
    Ok(true)
}
