//! What the specification leaves to the program, made ready for the child half.

use super::prepare::user_of;
use crate::spec::{SECCOMP, capabilities, in_oci_words};
use anyhow::{Context, Result, bail};
use nix::unistd::Uid;
use oci_spec::runtime::{Linux, LinuxCapabilities, LinuxNamespaceType, Process, Spec};
use std::path::PathBuf;
use step06_capabilities::{
    Capabilities, Filter, Limits, MaskedPaths, Options, OwnNamespaces, Privileges, ProcSettings, Profile, Sets, User,
};

/// Capabilities, user, filter, `no_new_privs` of the process of `spec`.
///
/// # Errors
/// What is no capability; a profile that cannot be compiled.
pub(crate) fn privileges(spec: &Spec, process: &Process, user: User, may_set_groups: bool) -> Result<Privileges> {
    let sets = sets(process)?;
    let filter = filter(spec, sets.bounding)?;
    of(sets, filter, process, user, may_set_groups)
}

/// The same for a process that comes later (`exec`): the filter stays the container's.
///
/// # Errors
/// As [`privileges`].
pub(crate) fn privileges_of_exec(spec: &Spec, process: &Process, may_set_groups: bool) -> Result<Privileges> {
    let ceiling = spec.process().as_ref().map(sets).transpose()?.map_or(Capabilities::NONE, |sets| sets.bounding);
    of(sets(process)?, filter(spec, ceiling)?, process, user_of(process), may_set_groups)
}

/// What another user gets of the capabilities of `process`; with `all` those of the kernel.
///
/// # Errors
/// A capability that the kernel does not know.
pub(crate) fn capabilities_of_exec(process: &Process, user: &User, all: bool) -> Result<LinuxCapabilities> {
    let given = if all { Capabilities::of_kernel()? } else { sets(process)?.bounding };
    Ok(in_oci_words(Sets::of_user(given, user.uid))?)
}

fn of(sets: Sets, filter: Option<Filter>, process: &Process, user: User, may_set_groups: bool) -> Result<Privileges> {
    let no_new_privs = process.no_new_privileges().unwrap_or(false);
    let privileges = Privileges::new(&Options { sets, user, may_set_groups, profile: None, no_new_privs })?;
    Ok(match filter {
        Some(filter) => privileges.filtered(filter),
        None => privileges,
    })
}

/// Without a word about capabilities a process of another user has none, and root all.
fn sets(process: &Process) -> Result<Sets> {
    let Some(words) = process.capabilities() else {
        return Ok(Sets::of_user(Capabilities::of_kernel()?, Uid::from_raw(process.user().uid())));
    };
    let [bounding, permitted, effective, inheritable, ambient] =
        [words.bounding(), words.permitted(), words.effective(), words.inheritable(), words.ambient()]
            .map(|list| capabilities(list.as_ref()));
    let (permitted, inheritable) = (permitted?, inheritable?);
    // The kernel has no ambient capability that is not permitted and inheritable (capabilities(7)), and the default configuration of
    // runc asks for some: it passes over them, and so do all.
    let ambient = ambient? & permitted & inheritable;
    Ok(Sets { bounding: bounding?, permitted, effective: effective?, inheritable, ambient })
}

fn filter(spec: &Spec, ceiling: Capabilities) -> Result<Option<Filter>> {
    if let Some(profile) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) {
        // The OCI form is the plain part of docker's. Who listens is no part of the filter.
        let profile = Profile::of_oci(profile)?;
        return Ok(Some(Filter::compile(&profile, ceiling)?));
    }
    match spec.annotations().as_ref().and_then(|all| all.get(SECCOMP)).map(String::as_str) {
        None => Ok(None),
        Some("default") => Ok(Some(Filter::standard(ceiling)?)),
        Some(other) => bail!("the annotation `{SECCOMP}` is `{other}`, and only `default` is known"),
    }
}

/// What is hidden and what can only be read.
///
/// # Errors
/// A path that is none below `/`.
pub(crate) fn masked(spec: &Spec) -> Result<MaskedPaths> {
    let linux = spec.linux().as_ref();
    let paths =
        |list: Option<&Vec<String>>| -> Vec<PathBuf> { list.into_iter().flatten().map(PathBuf::from).collect() };
    let masked = paths(linux.and_then(|linux| linux.masked_paths().as_ref()));
    Ok(MaskedPaths::prepare(&masked, &paths(linux.and_then(|linux| linux.readonly_paths().as_ref())))?)
}

/// `--ulimit`.
///
/// # Errors
/// A soft limit above its hard one.
pub(crate) fn limits(process: &Process) -> Result<Limits> {
    let mut limits = Limits::default();
    for limit in process.rlimits().iter().flatten() {
        limits.add(&limit.typ().to_string(), limit.soft(), limit.hard())?;
    }
    Ok(limits)
}

/// `--sysctl` and `--oom-score-adj`.
///
/// # Errors
/// A setting that is the whole machine's.
pub(crate) fn settings(spec: &Spec, process: &Process) -> Result<ProcSettings> {
    let mut settings = oom_score(process)?;
    let linux = spec.linux().as_ref().context("the specification has no part for Linux")?;
    let own = own_namespaces(linux);
    let mut sorted: Vec<_> = linux.sysctl().iter().flatten().collect();
    sorted.sort();
    for (name, value) in sorted {
        settings.sysctl(&format!("{name}={value}"), own)?;
    }
    Ok(settings)
}

/// `--oom-score-adj` alone: what a process that comes later does not get from its namespaces.
///
/// # Errors
/// A number out of its bounds.
pub(crate) fn oom_score(process: &Process) -> Result<ProcSettings> {
    let mut settings = ProcSettings::default();
    if let Some(score) = process.oom_score_adj() {
        settings.oom_score_adj(score.into())?;
    }
    Ok(settings)
}

fn own_namespaces(linux: &Linux) -> OwnNamespaces {
    let has = |kind| linux.namespaces().iter().flatten().any(|namespace| namespace.typ() == kind);
    OwnNamespaces {
        ipc: has(LinuxNamespaceType::Ipc),
        network: has(LinuxNamespaceType::Network),
        uts: has(LinuxNamespaceType::Uts),
    }
}
