//! Privileges: what the program may be and do.

use crate::report::Refusal;
use crate::spec::{Device, Seccomp, Security};
use anyhow::{Context, Result};
use clap::Args;
use oci_spec::runtime::PosixRlimit;
use std::path::{Path, PathBuf};
use step05_cgroups::Bytes;
use step06_capabilities::{Limits, Profile};

/// What the program may be and do.
#[derive(Debug, Args)]
#[command(next_help_heading = "Privileges")]
pub(crate) struct SecurityOptions {
    /// Give a capability, or ALL.
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// Take a capability, or ALL.
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// All capabilities and devices, no filter of system calls, nothing hidden.
    #[arg(long)]
    privileged: bool,
    /// `seccomp=FILE|unconfined`, `no-new-privileges[:true]`, `unmask=PATH:…|ALL`, `systempaths=unconfined`.
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Give a device of the host.
    #[arg(long, value_name = "SRC[:DST[:rwm]]")]
    device: Vec<String>,
    /// Limit each process, for example `nofile=1024:4096`.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Set a parameter of the kernel in the container's namespaces.
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Add a supplementary group, by name or number.
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Whose users: `host`, or `auto` for numbers of its own that are nobody on this host.
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,
    /// How likely it is ended when memory is short: -1000 (never) to 1000.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    oom_score_adj: Option<i32>,
    /// The size of /dev/shm [default: 64m].
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<Bytes>,
}

impl SecurityOptions {
    pub(crate) fn security(&self) -> Result<Security> {
        let mut security = Security {
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            privileged: self.privileged,
            devices: self.device.iter().map(|text| device(text)).collect::<Result<_>>()?,
            ulimits: ulimits(&self.ulimit)?,
            sysctl: self.sysctl.clone(),
            options: self.security_opt.clone(),
            groups: self.group_add.clone(),
            oom_score_adj: self.oom_score_adj,
            shm_size: self.shm_size.map(|size| size.0),
            own_users: own_users(self.userns.as_deref())?,
            ..Security::default()
        };
        for option in &self.security_opt {
            self.take(&mut security, option)?;
        }
        Ok(security)
    }

    /// One `--security-opt`. docker separates name and value by `=`, and earlier by `:`.
    fn take(&self, security: &mut Security, option: &str) -> Result<()> {
        let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        match (name, value) {
            ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
            ("seccomp", "default" | "builtin") => security.seccomp = Seccomp::Default,
            ("seccomp", file) if !file.is_empty() => security.seccomp = profile(Path::new(file), security)?,
            ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("unmask", list) if !list.is_empty() => security.unmask.extend(list.split(':').map(PathBuf::from)),
            ("systempaths", "unconfined") => security.unmask.push("ALL".into()),
            _ => {
                let help =
                    "seccomp=FILE|unconfined, no-new-privileges, unmask=PATH|ALL and systempaths=unconfined are there";
                return Err(Refusal::new(format!("`--security-opt {option}` is unknown")).help(help).into());
            }
        }
        Ok(())
    }
}

fn own_users(mode: Option<&str>) -> Result<bool> {
    match mode.unwrap_or_default() {
        "" | "host" => Ok(false),
        "auto" | "private" => Ok(true),
        other => {
            let refusal = Refusal::new(format!("invalid mode `{other}` for `--userns`"));
            Err(refusal.help("`host` and `auto` are there").into())
        }
    }
}

/// A profile in docker's form becomes one in OCI's: what counts here, for these capabilities.
fn profile(file: &Path, security: &Security) -> Result<Seccomp> {
    let plain = Profile::read(file)?.plain(security.capabilities()?)?;
    let profile = serde_json::to_value(plain).and_then(serde_json::from_value);
    Ok(Seccomp::Profile(profile.with_context(|| format!("the profile `{}`", file.display()))?))
}

/// Source: docker's reference, "Add host device to container".
fn device(text: &str) -> Result<Device> {
    let refused = || Refusal::new(format!("`--device {text}`")).help("write SRC[:DST[:rwm]], for example /dev/fuse");
    let fields: Vec<&str> = text.split(':').collect();
    let is_access = |field: &str| !field.is_empty() && field.chars().all(|letter| "rwm".contains(letter));
    let (source, path, access) = match fields[..] {
        [source] => (source, source, "rwm"),
        [source, access] if is_access(access) => (source, source, access),
        [source, path] => (source, path, "rwm"),
        [source, path, access] if is_access(access) => (source, path, access),
        _ => return Err(refused().into()),
    };
    if !path.starts_with('/') {
        return Err(refused().into());
    }
    Ok(Device { source: source.into(), path: path.into(), access: access.to_owned() })
}

fn ulimits(texts: &[String]) -> Result<Vec<PosixRlimit>> {
    let mut limits = Limits::default();
    texts.iter().try_for_each(|text| limits.parse(text))?;
    let oci = |(name, soft, hard): (&str, u64, u64)| {
        let value =
            serde_json::json!({ "type": format!("RLIMIT_{}", name.to_uppercase()), "soft": soft, "hard": hard });
        serde_json::from_value(value).context("the limit in OCI's words")
    };
    limits.iter().map(oci).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_dockers() {
        let of = |text: &str| device(text).map(|device| (device.source, device.path, device.access)).unwrap();
        assert_eq!(of("/dev/a"), ("/dev/a".into(), "/dev/a".into(), "rwm".to_owned()));
        assert_eq!(of("/dev/a:r"), ("/dev/a".into(), "/dev/a".into(), "r".to_owned()));
        assert_eq!(of("/dev/a:/dev/b:rw"), ("/dev/a".into(), "/dev/b".into(), "rw".to_owned()));
        for bad in ["/dev/a:/dev/b:x", "a", "/dev/a:b", ""] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
