//! The program of a container that is made and locked: launched, recorded, waited for.

use super::Engine;
use super::end::Ran;
use crate::cgroup;
use crate::container::{Exit, LastWord, Record, State};
use crate::events::Notes;
use crate::launch::{Launch, Supervision, launch};
use crate::monitor::Monitor;
use crate::network::{self, Begun, Networking, Plan, open_namespace};
use crate::users;
use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::path::Path;
use step02_pid_ns::ForwardedSignals;
use step03_mount_overlay::Overlay;
use sys::explain::phase;
use sys::process::exit_code;

impl Engine {
    pub(super) fn plan<'a>(&'a self, id: &'a str, name: Option<&'a str>, networking: &'a Networking) -> Plan<'a> {
        Plan { dirs: &self.dirs, id, name, networking }
    }

    /// Starts the program of a container that is made and locked, and stays with it until its end, which is in the record
    /// then.
    pub(crate) fn start_made(
        &self,
        mut record: Record,
        overlay: &Overlay,
        network: Option<Begun>,
        signals: &ForwardedSignals,
        monitor: Option<&mut Monitor>,
        notes: Notes,
    ) -> Result<Ran> {
        phase("share the network and write down that it is starting");
        record.exit = None;
        record.started = Some(Timestamp::now());
        network::share(&self.dirs, &mut record)?;
        users::write(&self.dirs, &mut record)?;
        let network = self.network_of(&record, network)?;
        record.write_starting(&self.dirs)?;
        cgroup::remember(&self.dirs.live(&record.id), &record.spec)?;
        let what = Launch {
            spec: &record.spec,
            shared_memory: network::shared_memory(&self.dirs, &record)?,
            root: overlay,
            root_path: None,
            network,
            init: record.init,
            interactive: record.interactive,
            privilege: self.privilege,
            gate: None,
            barrier: None,
            listener: None,
            extra_descriptors: 0,
            new_keyring: true,
        };
        let has_monitor = monitor.is_some();
        let supervision = monitor.map_or(Supervision::Foreground, Supervision::Monitor);
        let mut namespaces = Vec::new();
        let ended = launch(what, signals, supervision, |pid| {
            if !has_monitor {
                namespaces.extend(open_namespace(Path::new(&format!("/proc/{pid}/ns/mnt"))));
            }
            let state = state_of(pid)?;
            record.write_started(&self.dirs, &state)?;
            notes.and_start(&record).write(&self.dirs);
            Ok(())
        })?;
        namespaces.extend(ended.network);
        phase("the program has ended: give back what it had on the network");
        network::release(&self.dirs, &record)?;
        record.exit = Some(Exit {
            code: code(ended.status)?,
            started: record.started,
            finished: Timestamp::now(),
            oom_killed: ended.oom_killed,
        });
        if record.auto_remove && (has_monitor || LastWord::is_asked_for(&self.dirs, &record.id)) {
            record.write_last_word(&self.dirs)?;
        }
        Ok(Ran { record, namespaces })
    }

    /// The container's network, begun if nobody has yet, with the files that go with it.
    fn network_of(&self, record: &Record, begun: Option<Begun>) -> Result<Option<Begun>> {
        let begun = match begun {
            Some(begun) => Some(begun),
            None if users::are_own(&record.spec) => {
                self.plan(&record.id, Some(&record.name), &record.networking).later()?
            }
            None => self.plan(&record.id, Some(&record.name), &record.networking).begin()?,
        };
        match begun {
            Some(begun) => begun.with_files(&self.dirs, record).map(Some),
            None => network::files::write(&self.dirs, record).map(|_| None),
        }
    }
}

fn state_of(pid: Pid) -> Result<State> {
    // A child that we have not waited for is in /proc even when it has ended.
    let start_time = sys::process::start_time(pid).with_context(|| format!("the start time of process {pid}"))?;
    Ok(State { host_pid: pid.as_raw(), start_time, started: Timestamp::now(), paused: false })
}

fn code(status: WaitStatus) -> Result<u8> {
    exit_code(status).context("the program did not end")
}
