//! Image configuration and arguments become an OCI runtime specification: one description for `run`, `inspect` and, later, for
//! the callers of the OCI runtime face.

mod resources;
mod security;

use crate::cgroup;
use anyhow::{Context, Result};
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources, MountBuilder, ProcessBuilder,
    RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use step01_chroot::DEFAULT_PATH;
use step03_mount_overlay::Mount;
use step06_capabilities::User;

pub use resources::{from_limits, to_limits};
pub use security::{Device, SECCOMP, Seccomp, Security};
pub(crate) use security::{capabilities, in_oci_words, with_default_devices};

/// What the command line says about the process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Arguments {
    /// Replaces the image's entrypoint; the image's own command is dropped then, as docker does.
    pub entrypoint: Option<String>,
    /// Replaces the image's command.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Replaces the image's working directory.
    pub workdir: Option<String>,
    /// Whether the program gets a terminal.
    pub terminal: bool,
    /// The host name inside.
    pub hostname: String,
    /// Whether the root is read-only.
    pub read_only: bool,
    /// Whether the network namespace is new.
    pub own_network: bool,
    /// Everything that is mounted, in order.
    pub mounts: Vec<Mount>,
    /// Privileges.
    #[serde(default)]
    pub security: Security,
    /// Limits, without the list of devices.
    #[serde(default)]
    pub resources: LinuxResources,
    /// `--cgroup-parent`.
    #[serde(default)]
    pub cgroup_parent: Option<String>,
    /// `--cgroups disabled`: no cgroup of its own.
    #[serde(default)]
    pub no_cgroup: bool,
}

/// Builds the specification of the container `id`. `user` is who the program runs as; in a user namespace (`rootless`) device files
/// are bound instead of made.
///
/// # Errors
/// When neither the image nor the arguments say what to run.
pub fn build(image: &ImageConfiguration, arguments: &Arguments, user: &User, id: &str, rootless: bool) -> Result<Spec> {
    let security = &arguments.security;
    let process = ProcessBuilder::default()
        .terminal(arguments.terminal)
        .args(command(image, arguments)?)
        .env(environment(image, arguments, user))
        .cwd(workdir(image, arguments))
        .user(
            UserBuilder::default()
                .uid(user.uid.as_raw())
                .gid(user.gid.as_raw())
                .additional_gids(user.groups.iter().map(|gid| gid.as_raw()).collect::<Vec<_>>())
                .build()?,
        )
        .capabilities(security.sets(user)?)
        .no_new_privileges(security.no_new_privileges)
        .rlimits(security.ulimits.clone());
    let mut process = process.build()?;
    process.set_oom_score_adj(security.oom_score_adj);
    let mut spec = SpecBuilder::default()
        .version("1.2.0")
        .process(process)
        .root(RootBuilder::default().path("rootfs").readonly(arguments.read_only).build()?)
        .mounts(arguments.mounts.iter().map(mount).collect::<Result<Vec<_>>>()?)
        .linux(linux(arguments, id, rootless)?)
        .build()?;
    // The builder fills in what was not given; only the network namespace may belong to somebody else.
    spec.set_hostname(Some(arguments.hostname.clone()));
    let default_filter = matches!(security.seccomp, Seccomp::Default) && !security.privileged;
    spec.set_annotations(default_filter.then(|| [(SECCOMP.to_owned(), "default".to_owned())].into()));
    Ok(spec)
}

/// The part for Linux: all that the builder would fill in for itself is said.
fn linux(arguments: &Arguments, id: &str, rootless: bool) -> Result<Linux> {
    let security = &arguments.security;
    let (masked, read_only) = security.masked();
    let mut resources = arguments.resources.clone();
    resources.set_devices(Some(security.device_rules()?));
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(arguments)?)
        .masked_paths(masked)
        .readonly_paths(read_only)
        .resources(resources)
        .build()?;
    if !rootless && !security.own_users {
        linux.set_devices(Some(security.device_files()?));
    }
    if let Seccomp::Profile(profile) = &security.seccomp {
        linux.set_seccomp(Some((**profile).clone()));
    }
    if !arguments.no_cgroup {
        linux.set_cgroups_path(Some(cgroup::path(arguments.cgroup_parent.as_deref(), id)));
    }
    linux.set_sysctl(Some(sysctl(&security.sysctl)?));
    Ok(linux)
}

/// Name and value; what they mean is looked at by step 6.
fn sysctl(list: &[String]) -> Result<HashMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| step06_capabilities::Error::Sysctl(text.clone()))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    list.iter().map(pair).collect()
}

/// Entrypoint and command. Source: OCI image specification, config.md; docker's `--entrypoint`.
fn command(image: &ImageConfiguration, arguments: &Arguments) -> Result<Vec<String>> {
    let config = image.config().as_ref();
    let of_image = |list: fn(&oci_spec::image::Config) -> &Option<Vec<String>>| {
        config.and_then(|config| list(config).clone()).unwrap_or_default()
    };
    let (mut command, default) = match arguments.entrypoint.as_deref() {
        None => (of_image(oci_spec::image::Config::entrypoint), of_image(oci_spec::image::Config::cmd)),
        Some("") => (Vec::new(), Vec::new()),
        Some(program) => (vec![program.to_owned()], Vec::new()),
    };
    command.extend(if arguments.command.is_empty() { default } else { arguments.command.clone() });
    (!command.is_empty()).then_some(command).context("no command was given, and the image names none")
}

/// The image's variables, then the given ones; a later one replaces an earlier one of the same name, as docker does.
fn environment(image: &ImageConfiguration, arguments: &Arguments, user: &User) -> Vec<String> {
    let of_image = image.config().as_ref().and_then(|config| config.env().clone()).unwrap_or_default();
    let own = [format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={}", arguments.hostname)];
    let terminal = arguments.terminal.then(|| "TERM=xterm".to_owned());
    let mut environment: Vec<String> = Vec::new();
    for entry in own.into_iter().chain(terminal).chain(of_image).chain(arguments.env.iter().cloned()) {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name).to_owned();
        let same = |other: &&mut String| other.split_once('=').is_some_and(|(other, _)| other == name);
        match environment.iter_mut().find(same) {
            Some(place) => *place = entry,
            None => environment.push(entry),
        }
    }
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={}", user.home));
    }
    environment
}

fn workdir(image: &ImageConfiguration, arguments: &Arguments) -> String {
    let of_image = image.config().as_ref().and_then(|config| config.working_dir().clone());
    let workdir =
        arguments.workdir.clone().or(of_image).filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    if workdir.starts_with('/') { workdir } else { format!("/{workdir}") }
}

fn mount(mount: &Mount) -> Result<oci_spec::runtime::Mount> {
    Ok(MountBuilder::default()
        .destination(&mount.destination)
        .typ(&mount.fs_type)
        .source(&mount.source)
        .options(mount.options.clone())
        .build()?)
}

fn namespaces(arguments: &Arguments) -> Result<Vec<oci_spec::runtime::LinuxNamespace>> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let kinds = [Mount, Pid, Ipc, Uts, Cgroup].into_iter().chain(arguments.own_network.then_some(Network));
    let kinds = kinds.chain(arguments.security.own_users.then_some(User));
    kinds.map(|kind| Ok(LinuxNamespaceBuilder::default().typ(kind).build()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{Gid, Uid};

    fn image(json: &str) -> ImageConfiguration {
        let whole = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"config":{json}}}"#
        );
        serde_json::from_str(&whole).unwrap()
    }

    fn root() -> User {
        User { uid: Uid::from_raw(0), gid: Gid::from_raw(0), groups: Vec::new(), home: "/root".to_owned() }
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn entrypoint_and_command_combine_as_dockers() {
        let both = image(r#"{"Entrypoint":["e"],"Cmd":["c"]}"#);
        let none = image("{}");
        type Case<'a> = (&'a ImageConfiguration, Option<&'a str>, &'a [&'a str], &'a [&'a str]);
        let cases: [Case<'_>; 6] = [
            (&both, None, &[], &["e", "c"]),
            (&both, None, &["x"], &["e", "x"]),
            (&both, Some("n"), &[], &["n"]),
            (&both, Some("n"), &["x"], &["n", "x"]),
            (&both, Some(""), &["x"], &["x"]),
            (&none, None, &["x"], &["x"]),
        ];
        for (image, entrypoint, given, expected) in cases {
            let arguments =
                Arguments { entrypoint: entrypoint.map(str::to_owned), command: words(given), ..Arguments::default() };
            assert_eq!(command(image, &arguments).unwrap(), expected, "{entrypoint:?} {given:?}");
        }
        assert!(command(&none, &Arguments::default()).is_err());
    }

    #[test]
    fn a_later_variable_replaces_an_earlier_one() {
        let image = image(r#"{"Env":["PATH=/i","A=1"]}"#);
        let arguments = Arguments { env: words(&["A=2", "B="]), hostname: "h".to_owned(), ..Arguments::default() };
        assert_eq!(environment(&image, &arguments, &root()), ["PATH=/i", "HOSTNAME=h", "A=2", "B=", "HOME=/root"]);
    }

    #[test]
    fn the_working_directory_is_absolute() {
        let of_image = image(r#"{"WorkingDir":"srv"}"#);
        assert_eq!(workdir(&of_image, &Arguments::default()), "/srv");
        assert_eq!(workdir(&image("{}"), &Arguments::default()), "/");
    }
}
