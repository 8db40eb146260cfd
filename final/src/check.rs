//! What killed processes left behind, and containers whose record and reality disagree.

use crate::cgroup;
use crate::container::{Alive, Container, Exit, Lock, Record, State, Status, ids};
use crate::dirs::Dirs;
use crate::network;
use crate::reclaim::{put_to_rest, reclaim};
use crate::trash::{finish, forgotten};
use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::SIGKILL;
use nix::mount::{MntFlags, umount2};
use nix::unistd::Pid;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use step04_net_bridge::Lease;
use step07_images::Store;

/// One thing that should not be there, or not so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "`describe` says what each is")]
pub enum Finding {
    Process { host_pid: i32, id: String },
    Mount { path: PathBuf },
    HalfMade { id: String },
    Trash { path: PathBuf },
    NotRemoved { id: String, name: String },
    Abandoned { id: String, name: String },
    Address { network: String, id: String },
    StaleName { name: String, id: String },
    Store { what: String },
}

impl Finding {
    /// What it is, in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Process { host_pid, id } => {
                format!("process {host_pid} of container {} has no supervisor", short(id))
            }
            Self::Mount { path } => format!("`{}` is still mounted", path.display()),
            Self::Trash { path } => format!("`{}` was thrown away and is not removed", path.display()),
            Self::HalfMade { id } => format!("container {} is half-made", short(id)),
            Self::NotRemoved { id, name } => {
                format!("container {} ({name}) has ended and was to be removed then", short(id))
            }
            Self::Abandoned { id, name } => {
                format!("container {} ({name}): its supervisor died without a word about its end", short(id))
            }
            Self::Address { network, id } => {
                format!("container {} has an address in the network `{network}` and is not there", short(id))
            }
            Self::StaleName { name, id } => {
                format!("the name `{name}` leads to container {}, which is not there", short(id))
            }
            Self::Store { what } => what.clone(),
        }
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Looks for everything that a container can leave behind.
///
/// # Errors
/// When a folder of the engine cannot be read.
pub fn check(dirs: &Dirs, store: &Store) -> Result<Vec<Finding>> {
    let mut findings = processes(dirs);
    findings.extend(mounts(dirs));
    findings.extend(containers(dirs)?);
    findings.extend(names(dirs)?);
    findings.extend(addresses(dirs)?);
    findings.extend(forgotten(dirs)?.into_iter().map(|path| Finding::Trash { path }));
    let leftovers = store.check().context("cannot look through the images")?;
    findings.extend(leftovers.iter().map(|leftover| Finding::Store { what: leftover.to_string() }));
    Ok(findings)
}

fn containers(dirs: &Dirs) -> Result<Vec<Finding>> {
    let all: BTreeSet<String> = ids(&dirs.containers())?.into_iter().chain(ids(&dirs.lives())?).collect();
    Ok(all.into_iter().filter_map(|id| of_container(dirs, id)).collect())
}

fn of_container(dirs: &Dirs, id: String) -> Option<Finding> {
    if Lock::of_the_dead(dirs, &id).is_err() {
        return None;
    }
    let Some(Container { record, status }) = Container::read(dirs, &id) else { return Some(Finding::HalfMade { id }) };
    let name = record.name;
    match status {
        _ if record.auto_remove => Some(Finding::NotRemoved { id, name }),
        Status::Exited(_) if !dirs.live(&id).exists() => None,
        Status::Created | Status::Starting | Status::Running(_) => None,
        Status::Exited(_) | Status::Abandoned(_) => Some(Finding::Abandoned { id, name }),
    }
}

fn names(dirs: &Dirs) -> Result<Vec<Finding>> {
    let targets = ids(&dirs.names())?.into_iter().filter_map(|name| {
        let id = fs::read_link(dirs.names().join(&name)).ok()?.display().to_string();
        let there = dirs.container(&id).exists() || dirs.live(&id).exists();
        (!there).then_some(Finding::StaleName { name, id })
    });
    Ok(targets.collect())
}

fn addresses(dirs: &Dirs) -> Result<Vec<Finding>> {
    let Some(networks) = network::alive_if_any(dirs) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for network in networks.all()? {
        let gone = |lease: &Lease| !dirs.container(&lease.id).exists() && !dirs.live(&lease.id).exists();
        let leases = networks.leases(&network.name)?.all()?.into_iter().filter(gone);
        found.extend(leases.map(|lease| Finding::Address { network: network.name.clone(), id: lease.id }));
    }
    Ok(found)
}

/// Processes that live on an overlay of ours, by their own table of mounts, and whose supervisor is dead.
fn processes(dirs: &Dirs) -> Vec<Finding> {
    let pids = ids(Path::new("/proc")).unwrap_or_default().into_iter().filter_map(|name| name.parse::<i32>().ok());
    let lives_in = |host_pid| {
        let id = container_of(dirs, host_pid)?;
        Lock::of_the_dead(dirs, &id).is_ok().then_some(Finding::Process { host_pid, id })
    };
    pids.filter_map(lives_in).collect()
}

/// The id of the container whose overlay is the root of the process.
fn container_of(dirs: &Dirs, host_pid: i32) -> Option<String> {
    let marker = format!("upperdir={}/", dirs.containers().display());
    let table = fs::read_to_string(format!("/proc/{host_pid}/mountinfo")).ok()?;
    let (_, rest) = table.lines().find(|line| line.contains(" / / "))?.split_once(&marker)?;
    Some(rest.split_once('/')?.0.to_owned())
}

/// Mounts below the containers' folders in our own table: there are none, every mount is in the container's.
fn mounts(dirs: &Dirs) -> Vec<Finding> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let ours = |path: &PathBuf| path.starts_with(dirs.containers()) || path.starts_with(dirs.lives());
    points.filter(ours).map(|path| Finding::Mount { path }).collect()
}

/// Repairs every finding. What it returns was repaired.
///
/// # Errors
/// The first finding that could not be repaired.
pub fn repair(dirs: &Dirs, store: &Store) -> Result<Vec<Finding>> {
    // One at a time: a name that another has removed since may be a new container's by now.
    let _turn = turn(dirs)?;
    let findings = check(dirs, store)?;
    for finding in &findings {
        repair_one(dirs, finding).with_context(|| finding.describe())?;
    }
    let leftovers = store.check().context("cannot look through the images")?;
    store.reclaim(&leftovers).context("cannot clean up the images")?;
    Ok(findings)
}

fn turn(dirs: &Dirs) -> Result<Flock<File>> {
    let context = || format!("lock `{}`", dirs.root.display());
    let root = File::open(&dirs.root).with_context(context)?;
    Flock::lock(root, FlockArg::LockExclusive).map_err(|(_, errno)| errno).with_context(context)
}

fn repair_one(dirs: &Dirs, finding: &Finding) -> Result<()> {
    match finding {
        Finding::Process { host_pid, id } => kill_and_wait(dirs, *host_pid, id),
        Finding::Mount { path } => Ok(umount2(path, MntFlags::MNT_DETACH)?),
        Finding::Trash { path } => finish(dirs, path).context("empty the trash"),
        Finding::HalfMade { id } | Finding::NotRemoved { id, .. } => remove_dead(dirs, id),
        Finding::Abandoned { id, .. } => record_the_end(dirs, id),
        Finding::Address { id, .. } => network::forget(dirs, id),
        Finding::StaleName { name, .. } => Ok(fs::remove_file(dirs.names().join(name))?),
        Finding::Store { .. } => Ok(()),
    }
}

fn kill_and_wait(dirs: &Dirs, host_pid: i32, id: &str) -> Result<()> {
    use nix::poll::{PollFd, PollFlags, poll};
    use std::os::fd::AsFd;
    let Ok(process) = sys::process::pidfd_open(Pid::from_raw(host_pid)) else { return Ok(()) };
    // Asked again now that the descriptor is open: the number may have become somebody else's.
    if container_of(dirs, host_pid).as_deref() != Some(id) {
        return Ok(());
    }
    let _ended_already = sys::process::pidfd_send(&process, SIGKILL);
    // Who is paused would not take it.
    cgroup::thaw(&dirs.live(id), id)?;
    // A pidfd becomes readable when its process has ended.
    poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], 5000u16)?;
    Ok(())
}

fn remove_dead(dirs: &Dirs, id: &str) -> Result<()> {
    match Lock::of_the_dead(dirs, id) {
        Ok(lock) => reclaim(dirs, id, lock),
        Err(Alive) => Ok(()),
    }
}

fn record_the_end(dirs: &Dirs, id: &str) -> Result<()> {
    let Ok(lock) = Lock::of_the_dead(dirs, id) else { return Ok(()) };
    // Not by way of its status: that asks the lock, and now the lock is ours.
    let Some(record) = Record::read(dirs, id) else { return Ok(()) };
    if record.exit.is_none() {
        let state = State::read(dirs, id);
        state.as_ref().map(|state| state.signal(SIGKILL)).transpose()?;
        let exit = Exit {
            code: 255,
            started: state.map(|state| state.started),
            finished: Timestamp::now(),
            oom_killed: false,
        };
        Record { exit: Some(exit), ..record }.write_ended(dirs)?;
    }
    network::forget(dirs, id)?;
    lock.map_or(Ok(()), |lock| put_to_rest(dirs, id, lock))
}
