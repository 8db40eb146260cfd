//! What a container that runs may use: pause, update, statistics.

use crate::cgroup;
use crate::container::{Container, Record, State, Status, Turn, find_id, set_paused};
use crate::engine::Engine;
use crate::events::note;
use crate::lifecycle::not_up;
use crate::report::Refusal;
use crate::spec::{from_limits, to_limits};
use anyhow::{Context, Result};
use oci_spec::runtime::{LinuxResources, Spec};
use step05_cgroups::{Cgroup, Limits, Statistics};

impl Engine {
    /// Stops every process of a running container, without any of them noticing.
    ///
    /// # Errors
    /// [`Refusal`] for one that does not run, is paused, or has no cgroup.
    pub fn pause(&self, reference: &str) -> Result<()> {
        let (record, state) = self.running(reference)?;
        if state.paused {
            return Err(Refusal::new(format!("container `{reference}` is already paused")).code(1).into());
        }
        self.share(reference, &record.spec)?.freeze()?;
        set_paused(self.dirs(), &record.id, true)?;
        note(self.dirs(), &record, "pause", &[]);
        Ok(())
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// [`Refusal`] for one that is not paused.
    pub fn unpause(&self, reference: &str) -> Result<()> {
        let Container { record, status, .. } = Container::find(self.dirs(), reference)?;
        let Status::Running(state @ State { paused: true, .. }) = status else {
            return Err(Refusal::new(format!("container `{reference}` is not paused")).code(1).into());
        };
        self.go_on(&record, &state)?;
        note(self.dirs(), &record, "unpause", &[]);
        Ok(())
    }

    /// After a signal: who is paused would not take it.
    pub(crate) fn go_on(&self, record: &Record, state: &State) -> Result<()> {
        if state.paused {
            // In v2 a signal ends also who is paused, and its cgroup may be gone by now.
            if let Some(cgroup) = cgroup::open(&record.spec)? {
                cgroup.thaw()?;
            }
            set_paused(self.dirs(), &record.id, false)?;
        }
        Ok(())
    }

    /// Changes the limits that are given; at once where the container runs, and in its record.
    ///
    /// # Errors
    /// A limit that cannot be had: nothing is written down then.
    pub fn update(&self, reference: &str, limits: &Limits) -> Result<()> {
        let id = find_id(self.dirs(), reference)?;
        let _turn = Turn::take(self.dirs(), &id, reference)?;
        let Container { mut record, status, .. } = Container::find(self.dirs(), &id)?;
        let resources = changed(&record.spec, limits)?;
        if matches!(status, Status::Running(_)) {
            self.share(reference, &record.spec)?.update(limits)?;
        }
        let linux = record.spec.linux_mut().as_mut().context("the record has no part for Linux")?;
        linux.set_resources(Some(resources));
        record.rewrite(self.dirs(), reference)?;
        note(self.dirs(), &record, "update", &[]);
        Ok(())
    }

    /// What a running container has used.
    ///
    /// # Errors
    /// As [`Engine::pause`].
    pub fn statistics(&self, container: &Container) -> Result<Statistics> {
        match cgroup::open(&container.record.spec)? {
            Some(cgroup) => Ok(cgroup.statistics()?),
            None => Ok(Statistics::default()),
        }
    }

    fn running(&self, reference: &str) -> Result<(Record, State)> {
        let Container { record, status, .. } = Container::find(self.dirs(), reference)?;
        match status {
            Status::Running(state) => Ok((record, state)),
            other => Err(not_up(reference, &other)),
        }
    }

    fn share(&self, reference: &str, spec: &Spec) -> Result<Cgroup> {
        let none = || {
            let refusal = Refusal::new(format!("container `{reference}` has no cgroup of its own"));
            refusal.help("run it as root, or where a cgroup is delegated to you").code(1)
        };
        cgroup::open(spec)?.ok_or_else(|| none().into())
    }
}

/// The limits of the record with those of `new` in their place, in OCI's words; the list of devices stays.
fn changed(spec: &Spec, new: &Limits) -> Result<LinuxResources> {
    let old = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let was = to_limits(&old)?;
    let limits = Limits {
        memory: new.memory.or(was.memory),
        memory_swap: new.memory_swap.or(was.memory_swap),
        memory_reservation: new.memory_reservation.or(was.memory_reservation),
        cpus: new.cpus.or(was.cpus),
        cpu_shares: new.cpu_shares.or(was.cpu_shares),
        cpuset_cpus: new.cpuset_cpus.clone().or(was.cpuset_cpus),
        cpuset_mems: new.cpuset_mems.clone().or(was.cpuset_mems),
        pids: new.pids.or(was.pids),
        ..was
    };
    limits.check()?;
    let mut resources = from_limits(&limits)?;
    resources.set_devices(old.devices().clone());
    Ok(resources)
}
