//! What else the kernel knows of a process, besides its namespaces and privileges.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use anyhow::{Context, Result, bail};
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::personality::{self, Persona};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, write};
use oci_spec::runtime::{
    IOPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler, Spec,
};
use std::ffi::{CStr, CString};
use std::path::Path;
use sys::schedule::{Attributes as Schedule, IoPriority, set_io_priority, set_schedule};
use sys::{Failure, Whilst, process};

/// Source: linux/personality.h.
const PER_LINUX32: nix::libc::c_int = 8;

/// Attributes of a process, ready for the child half.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    new_keyring: bool,
    domainname: Option<CString>,
    /// Words for the security modules, and the files that take them.
    labels: Vec<(CString, CString)>,
    schedule: Option<Schedule>,
    io_priority: Option<IoPriority>,
    affinity: Option<CpuSet>,
    propagation: Option<MsFlags>,
    personality: Option<Persona>,
    umask: Option<Mode>,
}

impl Attributes {
    /// Those of a container's first process.
    ///
    /// # Errors
    /// A word that the kernel has no number for.
    pub(crate) fn new(spec: &Spec, process: &Process, new_keyring: bool) -> Result<Self> {
        let linux = spec.linux().as_ref();
        let domainname = spec.domainname().as_deref().filter(|name| !name.is_empty());
        let personality = linux.and_then(|linux| linux.personality().as_ref());
        Ok(Self {
            new_keyring,
            domainname: domainname.map(CString::new).transpose().context("domainname")?,
            propagation: propagation(
                linux.and_then(|linux| linux.rootfs_propagation().as_deref()).unwrap_or_default(),
            )?,
            personality: personality.map(|personality| match personality.domain() {
                LinuxPersonalityDomain::PerLinux => Persona::empty(),
                LinuxPersonalityDomain::PerLinux32 => Persona::from_bits_retain(PER_LINUX32),
            }),
            ..Self::of_exec(process)?
        })
    }

    /// Those of a process that comes later.
    ///
    /// # Errors
    /// As [`Attributes::new`].
    pub(crate) fn of_exec(process: &Process) -> Result<Self> {
        let io_priority = process.io_priority().as_ref().map(|io| IoPriority {
            class: match io.class() {
                IOPriorityClass::IoprioClassRt => 1,
                IOPriorityClass::IoprioClassBe => 2,
                IOPriorityClass::IoprioClassIdle => 3,
            },
            level: io.priority(),
        });
        let affinity = process.exec_cpu_affinity().as_ref().and_then(|affinity| affinity.cpu_affinity_final().clone());
        Ok(Self {
            labels: labels(process)?,
            schedule: process.scheduler().as_ref().map(schedule).transpose()?,
            io_priority,
            affinity: affinity.as_deref().map(processors).transpose()?,
            umask: process.user().umask().map(Mode::from_bits_truncate),
            ..Self::default()
        })
    }

    /// What is done while the host's `/proc` is still there. Child half.
    pub(crate) fn enter_early(&self) -> Result<(), Failure<'_>> {
        if self.new_keyring {
            process::join_new_keyring().whilst("make a keyring", c"")?;
        }
        if let Some(domainname) = &self.domainname {
            process::set_domainname(domainname).whilst("set the domain name", domainname)?;
        }
        for (file, word) in &self.labels {
            write_word(file, word).whilst("ask the security module for", word)?;
        }
        Ok(())
    }

    /// What is done as root of the new root. Child half.
    pub(crate) fn enter(&self) -> Result<(), Failure<'_>> {
        const NONE: Option<&CStr> = None;
        if let Some(propagation) = self.propagation {
            mount(NONE, c"/", NONE, propagation, NONE).whilst("set the propagation of", c"/")?;
        }
        if let Some(schedule) = &self.schedule {
            set_schedule(schedule).whilst("set the scheduler", c"")?;
        }
        if let Some(io_priority) = self.io_priority {
            set_io_priority(io_priority).whilst("set the I/O priority", c"")?;
        }
        if let Some(processors) = &self.affinity {
            sched_setaffinity(Pid::from_raw(0), processors).whilst("set the processors", c"")?;
        }
        if let Some(persona) = self.personality {
            personality::set(persona).whilst("set the personality", c"")?;
        }
        if let Some(mask) = self.umask {
            umask(mask);
        }
        Ok(())
    }
}

fn write_word(file: &CStr, word: &CStr) -> nix::Result<()> {
    let file = open(file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    write(file, word.to_bytes()).map(drop)
}

/// What the security modules do at execve. Sources: apparmor's and selinux's interfaces in proc_pid_attr(5).
fn labels(process: &Process) -> Result<Vec<(CString, CString)>> {
    let mut labels = Vec::new();
    if let Some(profile) = process.apparmor_profile().as_deref().filter(|profile| !profile.is_empty()) {
        // Where several security modules share the old file, AppArmor has one of its own.
        let own = "/proc/thread-self/attr/apparmor/exec";
        let file = if Path::new(own).exists() { own } else { "/proc/thread-self/attr/exec" };
        labels.push((CString::new(file)?, CString::new(format!("exec {profile}"))?));
    }
    if let Some(label) = process.selinux_label().as_deref().filter(|label| !label.is_empty()) {
        labels.push((CString::new("/proc/thread-self/attr/exec")?, CString::new(label)?));
    }
    Ok(labels)
}

fn propagation(word: &str) -> Result<Option<MsFlags>> {
    let flags = match word.trim_start_matches('r') {
        "" | "private" => return Ok(None),
        "slave" => MsFlags::MS_SLAVE,
        "shared" => MsFlags::MS_SHARED,
        "unbindable" => MsFlags::MS_UNBINDABLE,
        _ => bail!("linux.rootfsPropagation: `{word}` is unknown"),
    };
    Ok(Some(if word.starts_with('r') { flags | MsFlags::MS_REC } else { flags }))
}

fn schedule(scheduler: &Scheduler) -> Result<Schedule> {
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    Ok(Schedule {
        policy: match scheduler.policy() {
            LinuxSchedulerPolicy::SchedOther => 0,
            LinuxSchedulerPolicy::SchedFifo => 1,
            LinuxSchedulerPolicy::SchedRr => 2,
            LinuxSchedulerPolicy::SchedBatch => 3,
            LinuxSchedulerPolicy::SchedIso => bail!("process.scheduler.policy: SCHED_ISO is in no kernel"),
            LinuxSchedulerPolicy::SchedIdle => 5,
            LinuxSchedulerPolicy::SchedDeadline => 6,
        },
        flags: scheduler.flags().iter().flatten().map(flag).sum(),
        nice: scheduler.nice().unwrap_or(0),
        priority: u32::try_from(scheduler.priority().unwrap_or(0)).context("process.scheduler.priority")?,
        runtime_ns: scheduler.runtime().unwrap_or(0),
        deadline_ns: scheduler.deadline().unwrap_or(0),
        period_ns: scheduler.period().unwrap_or(0),
    })
}

/// `0-3,7`. Source: cpuset(7), "List format".
fn processors(list: &str) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    let wrong = || format!("process.execCPUAffinity: `{list}` is no list of processors");
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().with_context(wrong)?, last.parse().with_context(wrong)?);
        for number in first..=last {
            set.set(number).with_context(wrong)?;
        }
    }
    Ok(set)
}
