//! What the specification demands of a configuration, and what is not supported here: said at `create`, never ignored.

use super::bundle::wrong;
use anyhow::{Context, Result, ensure};
use nix::sys::stat::stat;
use oci_spec::runtime::{
    Hook, Hooks, Linux, LinuxNamespace, LinuxNamespaceType, LinuxSeccomp, LinuxSeccompAction, Mount, Process, Spec,
};
use std::collections::HashSet;
use std::path::Path;

/// Checks the whole configuration.
///
/// # Errors
/// A refusal with the first field that is wrong.
pub(super) fn check(spec: &Spec) -> Result<()> {
    version(spec.version())?;
    ensure!(spec.root().is_some(), wrong("root", "is required"));
    let process = spec.process().as_ref().ok_or_else(|| wrong("process", "is required"))?;
    check_process(process, "process")?;
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        check_mount(mount).map_err(|(field, why)| wrong(&format!("mounts[{index}].{field}"), why))?;
    }
    spec.hooks().as_ref().map_or(Ok(()), check_hooks)?;
    let linux = spec.linux().clone().unwrap_or_default();
    check_namespaces(spec, &linux)?;
    check_linux(&linux)
}

/// Any 1.x is ours: the specification keeps compatibility within a major version.
fn version(text: &str) -> Result<()> {
    let mut parts = text.split(['-', '+']).next().unwrap_or_default().split('.').map(str::parse::<u32>);
    let is_semver = matches!(
        (parts.next(), parts.next(), parts.next(), parts.next()),
        (Some(Ok(1)), Some(Ok(_)), Some(Ok(_)), None)
    );
    ensure!(is_semver, wrong("ociVersion", format!("`{text}` is no version 1.x.y")));
    Ok(())
}

/// Checks a process, of the container or of `exec`.
pub(super) fn check_process(process: &Process, at: &str) -> Result<()> {
    let field = |name: &str| format!("{at}.{name}");
    let args = process.args().as_deref().unwrap_or_default();
    ensure!(args.first().is_some_and(|first| !first.is_empty()), wrong(&field("args"), "names no program"));
    ensure!(
        process.cwd().is_absolute(),
        wrong(&field("cwd"), format!("`{}` is not absolute", process.cwd().display()))
    );
    for (index, entry) in process.env().iter().flatten().enumerate() {
        let named = entry.split_once('=').is_some_and(|(name, _)| !name.is_empty());
        ensure!(named, wrong(&field(&format!("env[{index}]")), format!("`{entry}` is no NAME=value")));
    }
    ensure!(
        process.oom_score_adj().is_none_or(|score| (-1000..=1000).contains(&score)),
        wrong(&field("oomScoreAdj"), "is not between -1000 and 1000")
    );
    for (index, text) in args.iter().chain(process.env().iter().flatten()).enumerate() {
        let name = if index < args.len() { format!("args[{index}]") } else { format!("env[{}]", index - args.len()) };
        ensure!(!text.contains('\0'), wrong(&field(&name), "contains a NUL byte"));
    }
    let mut seen = HashSet::new();
    for (index, limit) in process.rlimits().iter().flatten().enumerate() {
        let name = format!("rlimits[{index}]");
        ensure!(
            seen.insert(limit.typ().to_string()),
            wrong(&field(&format!("{name}.type")), format!("`{}` is there twice", limit.typ()))
        );
        ensure!(limit.soft() <= limit.hard(), wrong(&field(&name), "the soft limit is above the hard one"));
    }
    lsm(process.apparmor_profile().as_deref(), "/sys/kernel/security/apparmor", &field("apparmorProfile"))?;
    lsm(process.selinux_label().as_deref(), "/sys/fs/selinux/enforce", &field("selinuxLabel"))
}

/// A security module that is asked for and not there is not a lesser isolation, but an error.
fn lsm(label: Option<&str>, present: &str, field: &str) -> Result<()> {
    let Some(label) = label.filter(|label| !label.is_empty()) else { return Ok(()) };
    ensure!(
        Path::new(present).exists(),
        wrong(field, format!("`{label}`: this kernel does not have that security module on"))
    );
    Ok(())
}

fn check_mount(mount: &Mount) -> Result<(), (&'static str, String)> {
    let destination = mount.destination();
    if !destination.is_absolute() {
        return Err(("destination", format!("`{}` is not absolute", destination.display())));
    }
    match (mount.uid_mappings().is_some(), mount.gid_mappings().is_some()) {
        (true, false) => Err(("gidMappings", "is required beside uidMappings".to_owned())),
        (false, true) => Err(("uidMappings", "is required beside gidMappings".to_owned())),
        _ => Ok(()),
    }
}

fn check_hooks(hooks: &Hooks) -> Result<()> {
    // Of startContainer's hooks the path means the container's files: it is looked up there.
    let outside = [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (name, list) in outside.into_iter().chain([("startContainer", hooks.start_container())]) {
        for (index, hook) in list.iter().flatten().enumerate() {
            let at = format!("hooks.{name}[{index}]");
            check_hook(hook, &at)?;
            if name != "startContainer" {
                stat(hook.path())
                    .with_context(|| wrong(&format!("{at}.path"), format!("`{}`", hook.path().display())))?;
            }
        }
    }
    Ok(())
}

fn check_hook(hook: &Hook, at: &str) -> Result<()> {
    ensure!(
        hook.path().is_absolute(),
        wrong(&format!("{at}.path"), format!("`{}` is not absolute", hook.path().display()))
    );
    ensure!(hook.timeout().is_none_or(|seconds| seconds > 0), wrong(&format!("{at}.timeout"), "is not above zero"));
    Ok(())
}

fn check_namespaces(spec: &Spec, linux: &Linux) -> Result<()> {
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    let mut seen = HashSet::new();
    for (index, namespace) in namespaces.iter().enumerate() {
        let at = format!("linux.namespaces[{index}]");
        ensure!(
            seen.insert(namespace.typ()),
            wrong(&format!("{at}.type"), format!("`{}` is there twice", namespace.typ()))
        );
        check_namespace(namespace).map_err(|why| wrong(&format!("{at}.path"), why))?;
    }
    let is_new = |kind| namespaces.iter().any(|one| one.typ() == kind && one.path().is_none());
    let has = |kind| namespaces.iter().any(|one| one.typ() == kind);
    ensure!(has(LinuxNamespaceType::Mount), wrong("linux.namespaces", "a container needs a mount namespace"));
    for (field, value) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let needs = value.as_deref().is_none_or(str::is_empty) || has(LinuxNamespaceType::Uts);
        ensure!(needs, wrong(field, "needs a UTS namespace: without one it would be the host's"));
    }
    let mappings = linux.uid_mappings().as_ref().or(linux.gid_mappings().as_ref()).is_some_and(|list| !list.is_empty());
    ensure!(!mappings || has(LinuxNamespaceType::User), wrong("linux.uidMappings", "needs a user namespace"));
    ensure!(
        mappings || !is_new(LinuxNamespaceType::User),
        wrong("linux.uidMappings", "a new user namespace needs mappings")
    );
    let net_devices = linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty());
    ensure!(
        !net_devices || has(LinuxNamespaceType::Network),
        wrong("linux.netDevices", "needs a network namespace: the links are there already")
    );
    for name in linux.net_devices().iter().flatten().map(|(name, _)| name) {
        nix::net::if_::if_nametoindex(name.as_str()).with_context(|| wrong("linux.netDevices", format!("`{name}`")))?;
    }
    let joins_users = |one: &LinuxNamespace| one.typ() == LinuxNamespaceType::User && one.path().is_some();
    if let Some(index) = namespaces.iter().position(joins_users) {
        return Err(
            wrong(&format!("linux.namespaces[{index}].path"), "to join a user namespace is not supported").into()
        );
    }
    let offsets = linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty());
    ensure!(!offsets || is_new(LinuxNamespaceType::Time), wrong("linux.timeOffsets", "needs a new time namespace"));
    Ok(())
}

/// A path has to be a namespace, and of the kind that it is given as.
fn check_namespace(namespace: &LinuxNamespace) -> Result<(), String> {
    let Some(path) = namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty()) else { return Ok(()) };
    let file = std::fs::File::open(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    match sys::process::namespace_kind(&file) {
        Ok(kind) if kind == namespace.typ() as i32 => Ok(()),
        Ok(_) => Err(format!("`{}` is a namespace of another kind than `{}`", path.display(), namespace.typ())),
        Err(_) => Err(format!("`{}` is not a namespace", path.display())),
    }
}

/// A call that a listener shall decide about needs one.
fn check_seccomp(seccomp: &LinuxSeccomp) -> Result<()> {
    let listens = seccomp.listener_path().as_ref().is_some_and(|path| !path.as_os_str().is_empty());
    let notify = LinuxSeccompAction::ScmpActNotify;
    let asks = |action: LinuxSeccompAction, at: &str| {
        ensure!(listens || action != notify, wrong(at, "SCMP_ACT_NOTIFY needs `linux.seccomp.listenerPath`"));
        Ok(())
    };
    asks(seccomp.default_action(), "linux.seccomp.defaultAction")?;
    for (index, rule) in seccomp.syscalls().iter().flatten().enumerate() {
        asks(rule.action(), &format!("linux.seccomp.syscalls[{index}].action"))?;
        for (number, argument) in rule.args().iter().flatten().enumerate() {
            let at = format!("linux.seccomp.syscalls[{index}].args[{number}].index");
            ensure!(argument.index() < 6, wrong(&at, format!("{}: a call has arguments 0 to 5", argument.index())));
        }
    }
    Ok(())
}

fn check_linux(linux: &Linux) -> Result<()> {
    let unsupported = |field: &str| wrong(field, "is not supported");
    ensure!(linux.intel_rdt().is_none(), unsupported("linux.intelRdt"));
    ensure!(linux.memory_policy().is_none(), unsupported("linux.memoryPolicy"));
    if let Some(seccomp) = linux.seccomp() {
        check_seccomp(seccomp)?;
    }
    if let Some(resources) = linux.resources() {
        let none = |list: &Option<Vec<_>>| list.as_ref().is_none_or(Vec::is_empty);
        let block_io = resources.block_io().clone().unwrap_or_default();
        ensure!(none(block_io.weight_device()), unsupported("linux.resources.blockIO.weightDevice"));
        ensure!(
            block_io.leaf_weight().is_none_or(|weight| weight == 0),
            unsupported("linux.resources.blockIO.leafWeight")
        );
        ensure!(
            resources.hugepage_limits().as_ref().is_none_or(Vec::is_empty),
            unsupported("linux.resources.hugepageLimits")
        );
        let network = resources.network().clone().unwrap_or_default();
        ensure!(network.class_id().is_none_or(|id| id == 0), unsupported("linux.resources.network.classID"));
        ensure!(
            network.priorities().as_ref().is_none_or(Vec::is_empty),
            unsupported("linux.resources.network.priorities")
        );
        ensure!(resources.rdma().as_ref().is_none_or(|rdma| rdma.is_empty()), unsupported("linux.resources.rdma"));
    }
    for (field, paths) in [("maskedPaths", linux.masked_paths()), ("readonlyPaths", linux.readonly_paths())] {
        for (index, path) in paths.iter().flatten().enumerate() {
            ensure!(
                path.starts_with('/'),
                wrong(&format!("linux.{field}[{index}]"), format!("`{path}` is not absolute"))
            );
        }
    }
    for (index, device) in linux.devices().iter().flatten().enumerate() {
        ensure!(
            device.path().is_absolute(),
            wrong(&format!("linux.devices[{index}].path"), format!("`{}` is not absolute", device.path().display()))
        );
    }
    let propagation = linux.rootfs_propagation().as_deref().unwrap_or_default();
    let words = ["", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];
    ensure!(words.contains(&propagation), wrong("linux.rootfsPropagation", format!("`{propagation}` is unknown")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn complaint(change: impl FnOnce(&mut Value)) -> String {
        let mut document = json!({
            "ociVersion": "1.0.2",
            "root": { "path": "rootfs" },
            "process": { "user": { "uid": 0, "gid": 0 }, "args": ["true"], "cwd": "/" },
            "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }] },
        });
        change(&mut document);
        let parsed = super::super::bundle::parse::<Spec>(document.to_string().as_bytes(), Path::new("config.json"));
        parsed.and_then(|spec| check(&spec)).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_sound_configuration_passes() {
        assert_eq!(complaint(|_| ()), "");
        assert_eq!(complaint(|document| document["unknown"] = json!(1)), "");
    }

    #[test]
    fn every_complaint_names_the_field() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 12] = [
            ("ociVersion", |it| it["ociVersion"] = json!("2.0.0")),
            ("process.cwd", |it| it["process"]["cwd"] = json!("here")),
            ("process.args", |it| it["process"]["args"] = json!([])),
            ("process.args[1]", |it| it["process"]["args"] = json!(["a", 5])),
            ("process.capabilities.bounding", |it| it["process"]["capabilities"] = json!({ "bounding": ["CAP_FLY"] })),
            ("mounts[0].destination", |it| it["mounts"] = json!([{ "destination": "data" }])),
            ("hooks.poststop[0].path", |it| it["hooks"] = json!({ "poststop": [{ "path": "/none/such" }] })),
            ("hooks.prestart[0].timeout", |it| {
                it["hooks"] = json!({ "prestart": [{ "path": "/bin/sh", "timeout": 0 }] })
            }),
            ("linux.namespaces[2].path", |it| {
                it["linux"]["namespaces"] =
                    json!([{ "type": "mount" }, { "type": "pid" }, { "type": "network", "path": "/proc/self/ns/uts" }])
            }),
            ("linux.namespaces[1].type", |it| it["linux"]["namespaces"][1] = json!({ "type": "mount" })),
            ("hostname", |it| it["hostname"] = json!("x")),
            ("linux.rootfsPropagation", |it| it["linux"]["rootfsPropagation"] = json!("sideways")),
        ];
        for (field, change) in cases {
            let said = complaint(change);
            assert!(said.contains(field), "`{said}` does not name {field}");
        }
    }
}
