//! What works here, what does not, why, and what to do.

use crate::catalogue::{Lab, Needs};
use crate::check::Place;
use crate::report::Ink;
use crate::workspace::Workspace;
use anyhow::Result;
use serde::Serialize;
use std::fs;
use std::path::Path;
use testkit::{Need, lacking, lacks_sandbox};

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What.
    pub what: String,
    /// Whether it is as it should be.
    pub good: bool,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Where the checks of a lab run here.
#[derive(Debug, Clone, Serialize)]
pub struct Way {
    /// The lab.
    pub lab: u8,
    /// Its title.
    pub title: String,
    /// The way that `cargo lab check` takes; `None`: there is none.
    pub chosen: Option<Place>,
    /// Why that one.
    pub why: String,
}

/// All that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// By subject.
    pub rows: Vec<Row>,
    /// By lab.
    pub ways: Vec<Way>,
}

/// The programs that checks use, with their Debian packages.
const PROGRAMS: [(&str, &str, &str); 7] = [
    ("busybox", "busybox-static", "the root file systems of checks"),
    ("ip", "iproute2", "checks of lab 4"),
    ("nft", "nftables", "checks of lab 4"),
    ("newuidmap", "uidmap", "checks of lab 2 with many users"),
    ("skopeo", "skopeo", "checks of lab 7"),
    ("umoci", "umoci", "checks of lab 7"),
    ("cc", "gcc", "linking; the lab machine on processors with AMX"),
];

/// Looks around.
///
/// # Errors
/// When the labs' descriptions cannot be read.
pub fn look(workspace: &Workspace) -> Result<Findings> {
    let mut rows = vec![compiler(), kernel(), namespaces(), machine(), cgroups()];
    rows.extend(PROGRAMS.iter().map(|(name, package, why)| program(name, package, why)));
    let ways = Lab::all(workspace)?.iter().map(way).collect();
    Ok(Findings { rows, ways })
}

fn row(what: &str, good: bool, found: impl Into<String>, help: Option<String>) -> Row {
    Row { what: what.to_owned(), good, found: found.into(), help: help.filter(|_| !good) }
}

fn first_line(program: &str, argument: &str) -> Option<String> {
    let output = std::process::Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

fn compiler() -> Row {
    let found = first_line("rustc", "--version");
    let help = "install Rust by https://rustup.rs; under sudo its PATH is lost: use `sudo env PATH=$PATH …`";
    row("Rust", found.is_some(), found.unwrap_or_else(|| "not in PATH".to_owned()), Some(help.to_owned()))
}

fn kernel() -> Row {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let wsl = if release.contains("microsoft") { " (WSL2)" } else { "" };
    row(
        "kernel",
        version >= (5, 10),
        format!("{release}{wsl}"),
        Some("5.10 or newer is needed on the host; the lab machine brings 6.1".to_owned()),
    )
}

fn namespaces() -> Row {
    let root = lacking(&Need::Root).is_none();
    match lacks_sandbox() {
        None if root => row("namespaces", true, "as root", None),
        None => row("namespaces", true, "user namespaces are allowed", None),
        Some(_) => row("namespaces", false, "user namespaces are forbidden", Some(why_forbidden())),
    }
}

/// The switch that forbids user namespaces, by its name.
fn why_forbidden() -> String {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return "AppArmor forbids them (Ubuntu 24.04 and newer): sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0".to_owned();
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return "sudo sysctl kernel.unprivileged_userns_clone=1".to_owned();
    }
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return "sudo sysctl user.max_user_namespaces=10000".to_owned();
    }
    let filtered =
        fs::read_to_string("/proc/self/status").is_ok_and(|text| text.lines().any(|line| line == "Seccomp:\t2"));
    if filtered {
        return "a seccomp filter forbids them (this is a container): use the lab machine, or a container with --privileged".to_owned();
    }
    "unshare (package util-linux) is missing, or they are forbidden: use the lab machine".to_owned()
}

fn machine() -> Row {
    let help = "sudo apt-get install user-mode-linux (Debian, Ubuntu), or `cargo lab machine prepare`";
    match lacking(&testkit::machine::KERNEL) {
        Some(_) => row("lab machine", false, "no User-Mode Linux", Some(help.to_owned())),
        None if !Path::new("/usr/lib/uml/modules").is_dir() => {
            row("lab machine", false, "no modules in /usr/lib/uml", Some(help.to_owned()))
        }
        None => row("lab machine", true, "User-Mode Linux", None),
    }
}

/// Which controllers live where: both trees are checked, on split hosts too.
fn cgroups() -> Row {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
    let v2 = table.lines().find(|line| line.contains(" - cgroup2 ")).map(point);
    let v1 = table.lines().filter(|line| line.contains(" - cgroup ")).count();
    let given = v2
        .as_ref()
        .and_then(|at| fs::read_to_string(Path::new(at).join("cgroup.controllers")).ok())
        .unwrap_or_default();
    let given = given.trim();
    let found = match (v1, v2.is_some()) {
        (0, true) => format!("v2: {given}"),
        (0, false) => "none is mounted".to_owned(),
        (trees, true) => {
            format!("split: {trees} trees of v1, v2 with {}", if given.is_empty() { "no controller" } else { given })
        }
        (trees, false) => format!("v1: {trees} trees"),
    };
    row("cgroups", v1 > 0 || v2.is_some(), found, Some("lab 5 runs in the lab machine, which has v2".to_owned()))
}

fn program(name: &'static str, package: &'static str, why: &str) -> Row {
    let missing = lacking(&Need::Program(name, package)).is_some();
    let found = if missing { format!("missing: {why}") } else { "there".to_owned() };
    row(name, !missing, found, Some(format!("sudo apt-get install {package}")))
}

fn way(lab: &Lab) -> Way {
    let (sandbox, root) = (lacks_sandbox().is_none(), lacking(&Need::Root).is_none());
    let machine = lacking(&testkit::machine::KERNEL).is_none();
    let (chosen, why) = match (lab.needs, sandbox, machine) {
        (_, _, true) if lab.place == Place::Machine => (Some(Place::Machine), "cgroup v2 is there"),
        (_, true, _) if root => (Some(Place::Bubble), "new namespaces, as root"),
        (Needs::Bubble, true, true) => {
            (Some(Place::Auto), "user namespaces; the lab machine for checks that need root")
        }
        (Needs::Bubble, true, false) => {
            (Some(Place::Bubble), "user namespaces; checks that need root are left out without the lab machine")
        }
        (Needs::Root, _, true) => (Some(Place::Machine), "it needs root, which the lab machine has"),
        (Needs::Bubble, false, true) => (Some(Place::Machine), "user namespaces are forbidden here"),
        (Needs::Root, _, false) => (None, "it needs root: install user-mode-linux, or use sudo"),
        (Needs::Bubble, false, false) => (None, "user namespaces are forbidden and there is no lab machine"),
    };
    Way { lab: lab.number, title: lab.title.clone(), chosen, why: why.to_owned() }
}

impl Findings {
    /// Whether each lab can be done here.
    #[must_use]
    pub fn good(&self) -> bool {
        self.ways.iter().all(|way| way.chosen.is_some()) && self.rows.iter().take(1).all(|row| row.good)
    }

    /// For people.
    #[must_use]
    pub fn text(&self, ink: Ink) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let mark = if row.good { ink.green("✓") } else { ink.red("✗") };
            text += &format!("{mark} {:<12} {}\n", row.what, row.found);
            if let Some(help) = &row.help {
                text += &format!("    {help}\n");
            }
        }
        text += "\nwhere the checks run\n";
        for way in &self.ways {
            let place = way.chosen.map_or_else(|| ink.red("nowhere"), |place| format!("{place:?}").to_lowercase());
            text += &format!("  {} · {:<30} {place:<8} {}\n", way.lab, way.title, ink.dim(&way.why));
        }
        text
    }
}
