//! Profiles in docker's format, of which the OCI runtime specification's `linux.seccomp` is the plain part.
//!
//! Sources: docker's documentation, "Seccomp security profiles for Docker"; OCI runtime specification, config-linux.md, "Seccomp".

use super::rules;
use crate::{Capabilities, Error};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// What is written down in a profile. Fields that it does not know (`comment`) are skipped, as docker does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub(super) default_action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default_errno_ret: Option<u16>,
    /// OCI's form: the ways into the kernel besides its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) architectures: Option<Vec<String>>,
    /// Docker's form: the same for each processor.
    #[serde(skip_serializing)]
    pub(super) arch_map: Option<Vec<ArchMap>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flags: Option<Vec<Flag>>,
    #[serde(skip_serializing)]
    listener_path: Option<String>,
    pub(super) syscalls: Option<Vec<Entry>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArchMap {
    pub(super) architecture: String,
    pub(super) sub_architectures: Option<Vec<String>>,
}

/// One entry of `syscalls`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// The older form of `names`.
    #[serde(skip_serializing)]
    name: Option<String>,
    names: Option<Vec<String>>,
    pub(super) action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errno_ret: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Vec<Argument>>,
    #[serde(default, skip_serializing)]
    pub(super) includes: Filter,
    #[serde(default, skip_serializing)]
    pub(super) excludes: Filter,
}

impl Entry {
    pub(super) fn plain(
        names: Vec<String>,
        action: Action,
        errno_ret: Option<u16>,
        args: Option<Vec<Argument>>,
    ) -> Self {
        let (includes, excludes) = (Filter::default(), Filter::default());
        Self { name: None, names: Some(names), action, errno_ret, args, includes, excludes }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().chain(&self.name).map(String::as_str)
    }
}

/// A condition on one argument of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Argument {
    pub(super) index: u8,
    pub(super) value: u64,
    #[serde(default)]
    pub(super) value_two: u64,
    pub(super) op: Operator,
}

/// For whom an entry counts (`includes`) or does not (`excludes`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    pub(super) caps: Option<Vec<String>>,
    pub(super) arches: Option<Vec<String>>,
    pub(super) min_kernel: Option<String>,
}

/// Source: OCI runtime specification, config-linux.md, "Seccomp", `defaultAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub(super) enum Action {
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

/// How an argument is compared. Source: seccomp_rule_add(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    /// `argument & value == valueTwo`
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// Source: OCI runtime specification, config-linux.md, "Seccomp", `flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Flag {
    /// All threads at once: the child has one.
    #[serde(rename = "SECCOMP_FILTER_FLAG_TSYNC")]
    Tsync,
    #[serde(rename = "SECCOMP_FILTER_FLAG_LOG")]
    Log,
    #[serde(rename = "SECCOMP_FILTER_FLAG_SPEC_ALLOW")]
    SpecAllow,
    /// Only means something to a listener.
    #[serde(rename = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")]
    WaitKillable,
}

impl Profile {
    /// The project's own: it denies at least what docker's default denies, and `socketcall`, behind whose pointer a 32-bit program
    /// could name any family of sockets.
    ///
    /// # Errors
    /// None, as a test shows.
    pub fn standard() -> Result<Self, Error> {
        Self::parse(include_str!("default.json"))
    }

    /// Reads a profile from a file of the host.
    ///
    /// # Errors
    /// [`Error::Profile`], with the file and the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let refused = |why| Error::Profile { file: Some(path.to_owned()), why };
        let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        Self::parse(&text).map_err(|error| match error {
            Error::Profile { why, .. } => refused(why),
            other => other,
        })
    }

    /// Reads a profile from text.
    ///
    /// # Errors
    /// [`Error::Profile`], with the line or the entry.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refused = |why| Error::Profile { file: None, why };
        let profile: Self = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
        profile.check().map_err(refused)?;
        Ok(profile)
    }

    /// The OCI runtime specification's form of it: what counts for a process that may have `capabilities`, on this kernel and processor.
    ///
    /// # Errors
    /// [`Error::NoTable`] on a processor without a table of system calls.
    pub fn plain(self, capabilities: Capabilities) -> Result<Self, Error> {
        let architectures = rules::entries_into(&self)?;
        let kernel = rules::running_kernel()?;
        let counts = |entry: &Entry| rules::counts(entry, capabilities, kernel);
        let plain = |entry: Entry| Entry {
            names: Some(entry.names().map(str::to_owned).collect()),
            name: None,
            includes: Filter::default(),
            excludes: Filter::default(),
            ..entry
        };
        let syscalls = self.syscalls.into_iter().flatten().filter(counts).map(plain).collect();
        Ok(Self { architectures: Some(architectures), arch_map: None, syscalls: Some(syscalls), ..self })
    }

    pub(super) fn plain_of(
        (default_action, default_errno_ret): (Action, Option<u16>),
        architectures: Option<Vec<String>>,
        flags: Option<Vec<Flag>>,
        syscalls: Vec<Entry>,
    ) -> Self {
        Self {
            default_action,
            default_errno_ret,
            architectures,
            arch_map: None,
            flags,
            listener_path: None,
            syscalls: Some(syscalls),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.architectures.as_ref().is_some_and(|list| !list.is_empty()) && self.arch_map.is_some() {
            return Err("`architectures` and `archMap` are both there; which one counts?".to_owned());
        }
        if self.listener_path.as_ref().is_some_and(|path| !path.is_empty()) {
            return Err("`listenerPath`: a listener for SCMP_ACT_NOTIFY is not supported".to_owned());
        }
        check_errno(self.default_errno_ret).map_err(|why| format!("`defaultErrnoRet`: {why}"))?;
        for (index, entry) in self.syscalls.iter().flatten().enumerate() {
            entry.check().map_err(|why| format!("`syscalls[{index}]`: {why}"))?;
        }
        Ok(())
    }
}

impl Entry {
    fn check(&self) -> Result<(), String> {
        if self.name.is_some() && self.names.as_ref().is_some_and(|names| !names.is_empty()) {
            return Err("`name` and `names` are both there; which one counts?".to_owned());
        }
        check_errno(self.errno_ret).map_err(|why| format!("`errnoRet`: {why}"))?;
        for (index, argument) in self.args.iter().flatten().enumerate() {
            if argument.index > 5 {
                return Err(format!("`args[{index}].index`: {}, and a call has arguments 0 to 5", argument.index));
            }
        }
        for version in [&self.includes.min_kernel, &self.excludes.min_kernel].into_iter().flatten() {
            kernel_version(version).ok_or_else(|| format!("`minKernel`: `{version}` is no version such as 4.8"))?;
        }
        Ok(())
    }
}

/// The kernel takes no errno above 4095 (`MAX_ERRNO`).
fn check_errno(errno: Option<u16>) -> Result<(), String> {
    match errno {
        Some(errno @ 4096..) => Err(format!("{errno} is no errno, they end at 4095")),
        _ => Ok(()),
    }
}

/// Major and minor number of a kernel: `6.18.44-cloud` is (6, 18).
pub(super) fn kernel_version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let minor = rest.split(|other: char| !other.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
