//! Programs that start a container from a folder: namespaces alone, or an OCI bundle.

use super::{Field, PROGRAM, words};
use crate::cgroup;
use crate::stage::{Bundle, Stage};
use crate::subject::{Group, Missing, Subject, find};
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(super) fn add(field: &mut Field, stage: &Stage) -> Result<()> {
    add_simple(field, stage);
    for (name, package) in [("crun", "crun"), ("runc", "runc"), ("youki", "youki (not in Debian)")] {
        match find(name) {
            Some(program) => oci(field, stage, name, &program)?,
            None => field.lacks(Missing::program(name, package)),
        }
    }
    Ok(())
}

fn add_simple(field: &mut Field, stage: &Stage) {
    match find("unshare") {
        Some(program) => {
            let mut command = vec![program.into_os_string()];
            command.extend(words(&["--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "--root"]));
            command.extend([stage.rootfs.clone().into(), PROGRAM.into()]);
            field.add(Subject::new("unshare", Group::Runtime, command).floor("floor min"));
        }
        None => field.lacks(Missing::program("unshare", "util-linux")),
    }
    match find("bwrap") {
        Some(program) => {
            let mut command = vec![program.into_os_string(), "--bind".into(), stage.rootfs.clone().into()];
            command.extend(words(&[
                "/",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "--unshare-pid",
                "--unshare-ipc",
                "--unshare-uts",
                PROGRAM,
            ]));
            field.add(Subject::new("bwrap", Group::Runtime, command).floor("floor min"));
        }
        None => field.lacks(Missing::program("bwrap", "bubblewrap")),
    }
}

/// The same bundle three times: without a cgroup, with one, and with docker's filter as well.
fn oci(field: &mut Field, stage: &Stage, name: &str, program: &Path) -> Result<()> {
    let plain = Bundle { network: true, ..Bundle::default() };
    let limited = Bundle { limits: true, ..plain };
    let filtered = Bundle { seccomp: true, ..limited };
    let kinds: [(&str, Bundle, bool); 3] =
        [("no cgroup", plain, false), ("cgroups", limited, true), ("cgroups, docker's seccomp", filtered, true)];
    for (number, (kind, bundle, cgroups)) in kinds.into_iter().enumerate() {
        // Only crun can do without.
        if !cgroups && name != "crun" {
            continue;
        }
        let folder = with_cgroup(bundle, stage, &format!("{name}-{number}"), cgroups)?;
        let mut command = runtime(program, name);
        if !cgroups {
            command.push("--cgroup-manager=disabled".into());
        }
        command.extend(words(&["run", "--bundle"]));
        command.extend([folder.into(), "{id}".into()]);
        let subject = Subject::new::<OsString>(&format!("{name}, {kind}"), Group::Runtime, command);
        field.add(subject.floor("floor bundle").hides_unified());
    }
    Ok(())
}

/// A runtime and the words before its command: its state is on the stage.
pub(crate) fn runtime(program: &Path, name: &str) -> Vec<OsString> {
    vec![program.into(), "--root".into(), format!("/run/{name}-bench").into()]
}

/// A bundle whose cgroup, if it has one, is below the bench's.
pub(crate) fn with_cgroup(bundle: Bundle, stage: &Stage, name: &str, cgroups: bool) -> Result<PathBuf> {
    let folder = bundle.write(stage, name)?;
    if cgroups {
        let path = folder.join("config.json");
        let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        config["linux"]["cgroupsPath"] = format!("{}/{name}", cgroup::PEERS).into();
        std::fs::write(path, serde_json::to_string_pretty(&config)?)?;
    }
    Ok(folder)
}
