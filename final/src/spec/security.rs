//! Privileges in OCI's words: capabilities, filter, hidden paths, devices, limits of the process.

use crate::report::Refusal;
use anyhow::{Context, Result};
use oci_spec::runtime::{
    Capability as OciCapability, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxDevice, LinuxDeviceBuilder,
    LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxSeccomp, PosixRlimit,
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use step03_mount_overlay::Mount;
use step05_cgroups::{DeviceKind, DeviceRule, default_devices};
use step06_capabilities::{Capabilities, Capability, MaskedPaths, Sets, User};

/// The annotation that says that the system calls are filtered by the engine's own profile: written out that would be 60 KB in the
/// record of each container, and the filter is in this program already. Its one value is `default`.
pub const SECCOMP: &str = "tara.seccomp";

/// What the command line says about privileges.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--privileged`: all capabilities and devices, no filter, nothing hidden.
    pub privileged: bool,
    /// Which system calls are answered.
    pub seccomp: Seccomp,
    /// `--security-opt no-new-privileges`.
    pub no_new_privileges: bool,
    /// `--security-opt unmask=…`: paths that stay as they are; `ALL` is all.
    pub unmask: Vec<PathBuf>,
    /// `--device`.
    pub devices: Vec<Device>,
    /// `--security-opt`, as it was written.
    pub options: Vec<String>,
    /// `--ulimit`.
    pub ulimits: Vec<PosixRlimit>,
    /// `--sysctl`: `NAME=VALUE`.
    pub sysctl: Vec<String>,
    /// `--group-add`: names or numbers.
    pub groups: Vec<String>,
    /// `--oom-score-adj`.
    pub oom_score_adj: Option<i32>,
    /// `--userns auto`: users of its own.
    pub own_users: bool,
    /// `--shm-size`, in bytes.
    pub shm_size: Option<u64>,
}

/// Which system calls are answered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub enum Seccomp {
    /// Those of the engine's own profile.
    #[default]
    Default,
    /// All.
    Unconfined,
    /// Those of a profile.
    Profile(Box<LinuxSeccomp>),
}

/// `--device SRC[:DST[:rwm]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The host's device file.
    pub source: PathBuf,
    /// Where it is inside.
    pub path: PathBuf,
    /// Of `rwm`: read, write, mknod.
    pub access: String,
}

impl Security {
    /// The capabilities that the container's root has.
    ///
    /// # Errors
    /// A name that is none.
    pub fn capabilities(&self) -> Result<Capabilities> {
        if self.privileged {
            return Ok(Capabilities::of_kernel()?);
        }
        if self.cap_add.is_empty() && self.cap_drop.is_empty() {
            return Ok(Capabilities::docker());
        }
        Ok(Capabilities::docker().tweak(&self.cap_add, &self.cap_drop, Capabilities::of_kernel()?)?)
    }

    /// The five sets of `user`, in OCI's words.
    pub(super) fn sets(&self, user: &User) -> Result<LinuxCapabilities> {
        Ok(in_oci_words(Sets::of_user(self.capabilities()?, user.uid))?)
    }

    /// What is hidden and what can only be read.
    pub(super) fn masked(&self) -> (Vec<String>, Vec<String>) {
        if self.privileged || self.unmask.iter().any(|path| path == Path::new("ALL")) {
            return (Vec::new(), Vec::new());
        }
        let keep = |path: &PathBuf| !self.unmask.iter().any(|given| covers(given, path));
        let words =
            |list: Vec<PathBuf>| list.iter().filter(|path| keep(path)).map(|path| path.display().to_string()).collect();
        let (masked, read_only) = MaskedPaths::docker();
        (words(masked), words(read_only))
    }

    /// The list of devices that may be used: docker's, and those that were asked for.
    pub(super) fn device_rules(&self) -> Result<Vec<LinuxDeviceCgroup>> {
        if self.privileged {
            return Ok(vec![LinuxDeviceCgroupBuilder::default().allow(true).access("rwm").build()?]);
        }
        let mut rules = with_default_devices(None)?;
        for device in &self.devices {
            let (kind, major, minor, _) = device.look()?;
            let rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).major(major).minor(minor);
            rules.push(rule.access(device.access.as_str()).build()?);
        }
        Ok(rules)
    }

    /// The device files to make inside: those asked for, and with `--privileged` all of the host.
    pub(super) fn device_files(&self) -> Result<Vec<LinuxDevice>> {
        let all = if self.privileged { of_the_host() } else { Vec::new() };
        let asked = |device: &Device| !self.devices.iter().any(|other| other.path == device.path);
        all.iter().filter(|device| asked(device)).chain(&self.devices).map(Device::file).collect()
    }

    /// The same as mounts: in a user namespace no device file can be made.
    pub fn device_mounts(&self) -> Vec<Mount> {
        let options = || ["bind", "nosuid", "noexec"].map(str::to_owned).to_vec();
        let mount = |Device { source, path, .. }: &Device| Mount {
            destination: path.clone(),
            fs_type: "bind".to_owned(),
            source: source.clone(),
            options: options(),
        };
        self.devices.iter().map(mount).collect()
    }
}

/// Adds what every container may open to a list of devices; without a list nothing else is allowed.
///
/// # Errors
/// What is no rule.
pub(crate) fn with_default_devices(rules: Option<Vec<LinuxDeviceCgroup>>) -> Result<Vec<LinuxDeviceCgroup>> {
    let nothing = || Ok(vec![LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?]);
    let mut rules: Vec<LinuxDeviceCgroup> = rules.map_or_else(nothing, anyhow::Ok)?;
    for rule in default_devices() {
        rules.push(device_rule(&rule)?);
    }
    Ok(rules)
}

/// A path of the list; `*` at its end stands for anything, as podman's.
fn covers(given: &Path, path: &Path) -> bool {
    match given.to_str().and_then(|text| text.strip_suffix('*')) {
        Some(beginning) => path.to_str().is_some_and(|path| path.starts_with(beginning)),
        None => path == given,
    }
}

impl Device {
    /// Kind, numbers and permissions of the host's file.
    fn look(&self) -> Result<(LinuxDeviceType, i64, i64, fs::Metadata)> {
        let path = self.source.display();
        let found = fs::metadata(&self.source).with_context(|| format!("cannot find the device `{path}`"))?;
        let kind = match found.file_type() {
            kind if kind.is_char_device() => LinuxDeviceType::C,
            kind if kind.is_block_device() => LinuxDeviceType::B,
            _ => {
                return Err(Refusal::new(format!("`{path}` is no device file"))
                    .help("`-v` binds files and directories")
                    .into());
            }
        };
        let number = |number: u64| i64::try_from(number).context("the device's number");
        let (major, minor) = (nix::sys::stat::major(found.rdev()), nix::sys::stat::minor(found.rdev()));
        Ok((kind, number(major)?, number(minor)?, found))
    }

    fn file(&self) -> Result<LinuxDevice> {
        let (kind, major, minor, found) = self.look()?;
        let file = LinuxDeviceBuilder::default().path(&self.path).typ(kind).major(major).minor(minor);
        Ok(file.file_mode(found.permissions().mode() & 0o7777).uid(found.uid()).gid(found.gid()).build()?)
    }
}

/// Every device file of the host's `/dev` that a container does not have anyway, without terminals and shared memory.
fn of_the_host() -> Vec<Device> {
    const OWN: [&str; 12] =
        ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd"];
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/dev")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if OWN.iter().any(|name| path == Path::new("/dev").join(name)) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_char_device() || kind.is_block_device() {
                found.push(Device { source: path.clone(), path, access: "rwm".to_owned() });
            }
        }
    }
    found
}

fn device_rule(rule: &DeviceRule) -> Result<LinuxDeviceCgroup> {
    let kind = match rule.kind {
        DeviceKind::Any => LinuxDeviceType::A,
        DeviceKind::Character => LinuxDeviceType::C,
        DeviceKind::Block => LinuxDeviceType::B,
    };
    let letters = [(rule.access.read, 'r'), (rule.access.write, 'w'), (rule.access.mknod, 'm')];
    let access: String = letters.into_iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
    let mut built = LinuxDeviceCgroupBuilder::default().allow(rule.allow).typ(kind).access(access);
    if let Some(major) = rule.major {
        built = built.major(major);
    }
    if let Some(minor) = rule.minor {
        built = built.minor(minor);
    }
    Ok(built.build()?)
}

/// The five sets in OCI's words.
pub(crate) fn in_oci_words(sets: Sets) -> Result<LinuxCapabilities, oci_spec::OciSpecError> {
    let Sets { bounding, permitted, effective, inheritable, ambient } = sets;
    LinuxCapabilitiesBuilder::default()
        .bounding(words(bounding))
        .permitted(words(permitted))
        .effective(words(effective))
        .inheritable(words(inheritable))
        .ambient(words(ambient))
        .build()
}

/// OCI has names for them, without the prefix in its Rust form; what has no name there is left out.
fn words(capabilities: Capabilities) -> HashSet<OciCapability> {
    let name = |capability: Capability| capability.name().to_str().ok()?.strip_prefix("CAP_")?.parse().ok();
    capabilities.iter().filter_map(name).collect()
}

/// And back.
pub(crate) fn capabilities(words: Option<&HashSet<OciCapability>>) -> Result<Capabilities> {
    let named = |word: &OciCapability| Ok(Capability::by_name(&word.to_string())?);
    words.into_iter().flatten().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_survive_ocis_words() {
        let docker = Capabilities::docker();
        assert_eq!(capabilities(Some(&words(docker))).unwrap(), docker);
        let all = Capabilities::of_kernel().unwrap();
        assert_eq!(capabilities(Some(&words(all))).unwrap(), all);
    }

    #[test]
    fn unmasking_takes_paths_patterns_and_all() {
        let masked = |unmask: &str| Security { unmask: vec![unmask.into()], ..Security::default() }.masked();
        assert_eq!(masked("ALL"), (Vec::new(), Vec::new()));
        assert!(!masked("/proc/kcore").0.contains(&"/proc/kcore".to_owned()));
        assert!(masked("/proc/*").0.iter().all(|path| path.starts_with("/sys")) && masked("/proc/*").1.is_empty());
    }
}
