//! `--userns auto`: users of the container's own, which are nobody on the host.
//!
//! The container gets as many numbers as there are in 16 bits. Which ones is said by a file in `RUN/containers/<id>`, and so they are
//! free again when that folder is gone, however the container ended. On the disk nothing belongs to them: layers and volumes
//! are mapped (step 3), so the next start may get other numbers.

use crate::container::{Record, ids};
use crate::dirs::Dirs;
use crate::network::{Mode, Networking};
use crate::report::Refusal;
use crate::rootless::Privilege;
use crate::spec::Security;
use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{LinuxIdMappingBuilder, LinuxNamespaceType, Spec};
use std::fs::{self, File};
use std::path::Path;
use step02_pid_ns::UserMap;
use step02_pid_ns::user::open_new;
use step03_mount_overlay::MappedUsers;

/// The first number outside, in `RUN/containers/<id>`.
const USERS: &str = "users";
/// How many a container has.
const COUNT: u32 = 65536;
/// The numbers that are set apart for containers. Source: systemd, "Users, Groups, UIDs and GIDs on systemd Systems".
const SET_APART: std::ops::Range<u32> = 0x8_0000..0x6FFF_0000;

/// Takes numbers for the container `id`, whose lock the caller holds.
///
/// # Errors
/// When all are taken.
pub(crate) fn take(dirs: &Dirs, id: &str) -> Result<()> {
    // One at a time: what is free is seen by all.
    let lives = File::open(dirs.lives()).context("open the folder of all that live")?;
    let _turn = Flock::lock(lives, FlockArg::LockExclusive).map_err(|(_, errno)| errno).context("wait for our turn")?;
    let taken: Vec<u32> = ids(&dirs.lives())?.iter().filter_map(|id| first(dirs, id)).collect();
    let others = ranges_of_others();
    let is_free = |start: &u32| {
        let overlaps = |(other, count): &(u32, u32)| *start < other.saturating_add(*count) && *other < start + COUNT;
        !taken.contains(start) && !others.iter().any(overlaps)
    };
    let chosen = SET_APART.step_by(COUNT as usize).find(is_free);
    let chosen = chosen.ok_or_else(|| Refusal::new("all numbers for users of containers are taken"))?;
    let path = dirs.live(id).join(USERS);
    fs::write(&path, chosen.to_string()).with_context(|| format!("write `{}`", path.display()))
}

fn first(dirs: &Dirs, id: &str) -> Option<u32> {
    fs::read_to_string(dirs.live(id).join(USERS)).ok()?.parse().ok()
}

/// What /etc/subuid and /etc/subgid give to somebody: other engines, ordinary users. Source: subuid(5).
fn ranges_of_others() -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut numbers = line.split(':').skip(1).map(|number| number.trim().parse().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    let of = |file| fs::read_to_string(file).unwrap_or_default().lines().filter_map(range).collect::<Vec<_>>();
    ["/etc/subuid", "/etc/subgid"].into_iter().flat_map(of).collect()
}

/// The users of the container `id` for its file systems; `None` for one that has the host's.
pub(crate) fn of(dirs: &Dirs, id: &str) -> Result<Option<MappedUsers>> {
    first(dirs, id).map(mapped).transpose()
}

fn mapped(outside: u32) -> Result<MappedUsers> {
    let all = || vec![[0, outside, COUNT]];
    let namespace = open_new(&UserMap::Given { uids: all(), gids: all() })?;
    Ok(MappedUsers { namespace, root: (Uid::from_raw(outside), Gid::from_raw(outside)) })
}

/// Whether the specification asks for a new user namespace.
pub(crate) fn are_own(spec: &Spec) -> bool {
    let namespaces = spec.linux().iter().filter_map(|linux| linux.namespaces().as_ref()).flatten();
    namespaces.into_iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none())
}

/// Writes the numbers into the specification: at each start, since they are others then.
pub(crate) fn write(dirs: &Dirs, record: &mut Record) -> Result<()> {
    let (Some(outside), Some(linux)) = (first(dirs, &record.id), record.spec.linux_mut().as_mut()) else {
        return Ok(());
    };
    let mapping = LinuxIdMappingBuilder::default().container_id(0u32).host_id(outside).size(COUNT).build()?;
    linux.set_uid_mappings(Some(vec![mapping])).set_gid_mappings(Some(vec![mapping]));
    Ok(())
}

/// What a bind mount of the host needs so that its files belong to the container's users; devices have no owner to speak of.
pub(crate) fn map_binds(mounts: &mut [step03_mount_overlay::Mount]) {
    for mount in
        mounts.iter_mut().filter(|mount| mount.fs_type == "bind" && !mount.source.starts_with(Path::new("/dev")))
    {
        mount.options.push("idmap".to_owned());
    }
    // A terminal that `exec` opens later belongs to whoever opens it, if nobody says otherwise.
    for mount in mounts.iter_mut().filter(|mount| mount.fs_type == "devpts") {
        mount.options.push("uid=0".to_owned());
    }
}

/// What does not go with users of one's own: namespaces that belong to others, and the privileges of the host's root.
///
/// # Errors
/// [`Refusal`], in docker's words where it has some.
pub(crate) fn check(privilege: Privilege, security: &Security, networking: &Networking) -> Result<()> {
    if !security.own_users {
        return Ok(());
    }
    let refused = |what: &str| Err(Refusal::new(what).help("go without users of its own: `--userns host`").into());
    if privilege.in_user_namespace {
        return refused(
            "without root every container is in a user namespace already, and its numbers cannot be divided",
        );
    }
    if security.privileged {
        return refused("privileged mode is incompatible with user namespaces");
    }
    let others = [
        ("network", matches!(networking.mode, Mode::Host | Mode::Container(_))),
        ("UTS", !networking.uts.is_own()),
        ("PID", !networking.pid.is_own()),
        ("IPC", !networking.ipc.is_own()),
    ];
    match others.iter().find(|(_, shared)| *shared) {
        None => Ok(()),
        Some((kind, _)) => refused(&format!(
            "cannot share the {kind} namespace of the host or of another container when user namespaces are enabled"
        )),
    }
}
