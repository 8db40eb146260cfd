//! What is mounted where every distribution mounts it: asked of the kernel place by place.
//!
//! /proc/self/mountinfo has a line for every mount of the machine, and writing each costs the kernel about 1.5 µs: on a host with a
//! thousand mounts that would be longer than the rest of a container's start.

use crate::hierarchy::{Tree, Version};
use crate::mountinfo::{below, known};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;
use std::fs;
use std::path::Path;

const PLACE: &str = "/sys/fs/cgroup";

/// The trees, where each line of `own` (the text of /proc/self/cgroup) has its own in the usual place; else `None`, and mountinfo
/// knows.
///
/// Sources: systemd, docs/CGROUP_DELEGATION.md, "Three Different Tree Setups"; statfs(2).
pub(crate) fn trees(own: &str) -> Option<Vec<Tree>> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        if names.is_empty() {
            let v2 = |place: &Path| tree(place, Version::V2, names, path);
            found.push(v2(Path::new(PLACE)).or_else(|| v2(&Path::new(PLACE).join("unified")))?);
        } else if !known(names.split(',')).is_empty() {
            found.push(tree(&Path::new(PLACE).join(names), Version::V1, names, path)?);
        }
    }
    // None at all is not for this to say: the file may be missing.
    (!found.is_empty()).then_some(found)
}

/// The tree that is mounted at `place`, if it is one of this version.
fn tree(place: &Path, version: Version, names: &str, own: &str) -> Option<Tree> {
    let found = statfs(place).ok()?;
    let expected = if version == Version::V1 { CGROUP_SUPER_MAGIC } else { CGROUP2_SUPER_MAGIC };
    let own = below(own, "/")?;
    // Else it is not the tree's root that is mounted here.
    let shows_all = || own.as_os_str().is_empty() || place.join(&own).is_dir();
    if found.filesystem_type() != expected || !shows_all() {
        return None;
    }
    let controllers = match version {
        Version::V1 => known(names.split(',')),
        Version::V2 => known(fs::read_to_string(place.join("cgroup.controllers")).ok()?.split_ascii_whitespace()),
    };
    let read_only = found.flags().contains(FsFlags::ST_RDONLY);
    Some(Tree { version, mount_point: place.to_owned(), controllers, own: Some(own), read_only })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hierarchy;

    #[test]
    fn the_usual_places_hold_what_mountinfo_says() {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let controllers = |tree: &Path| fs::read_to_string(tree.join("cgroup.controllers")).unwrap_or_default();
        let said = Hierarchy::parse(&mountinfo, &own, controllers);
        // Elsewhere there may be none.
        let Some(mut found) = trees(&own) else { return };
        let mut said = said.trees().to_vec();
        for list in [&mut found, &mut said] {
            list.sort_by_key(|tree| tree.mount_point.clone());
        }
        assert_eq!(found, said);
    }

    #[test]
    fn what_is_not_there_is_left_to_mountinfo() {
        assert_eq!(trees(""), None);
        assert_eq!(trees("1:name=systemd:/\n"), None);
        assert_eq!(trees("2:cpu,nowhere:/\n"), None);
    }
}
