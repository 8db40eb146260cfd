//! One line of /proc/self/mountinfo, and ours of /proc/self/cgroup. Sources: proc_pid_mountinfo(5), proc_pid_cgroup(5).

use crate::hierarchy::{Controller, Tree, Version};
use std::path::{Path, PathBuf};

/// The tree that a line of mountinfo mounts, if it does:
/// `36 35 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory`.
pub(crate) fn tree(line: &str, own: &str, controllers: impl Fn(&Path) -> String) -> Option<Tree> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    let version = match file_system.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options = file_system.nth(1).unwrap_or_default();
    let fields: Vec<&str> = mount.split(' ').collect();
    let (root, mount_point) = (unescape(fields.get(3)?), PathBuf::from(unescape(fields.get(4)?)));
    let mount_options = fields.get(5)?;
    let controllers: Vec<String> = match version {
        Version::V1 => known(options.split(',')),
        Version::V2 => known(controllers(&mount_point).split_ascii_whitespace()),
    };
    let read_only = [options, mount_options].iter().any(|list| list.split(',').any(|word| word == "ro"));
    let own = own_path(own, version, &controllers).and_then(|path| below(path, &root));
    Some(Tree { version, mount_point, controllers, own, read_only })
}

/// Our path in a tree, as /proc/self/cgroup has it: `4:memory:/a/b`, and `0::/a/b` for v2.
fn own_path<'a>(own: &'a str, version: Version, controllers: &[String]) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let matches = match version {
            Version::V2 => number == "0" && names.is_empty(),
            Version::V1 => names.split(',').any(|name| controllers.iter().any(|known| known == name)),
        };
        matches.then_some(path)
    })
}

/// `path` below the mount: a bind mount (a container's) shows only what is below its `root`.
pub(crate) fn below(path: &str, root: &str) -> Option<PathBuf> {
    let rest = Path::new(path).strip_prefix(root).ok()?;
    let stays = rest.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    stays.then(|| rest.to_owned())
}

/// The words that are names of controllers: the others are mount options.
pub(crate) fn known<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let is_known = |word: &&str| {
        Controller::ALL.iter().any(|controller| controller.v1_name() == *word || controller.v2_name() == Some(word))
    };
    words.filter(is_known).map(str::to_owned).collect()
}

/// mountinfo writes space, tab, newline and backslash as `\040` and so on.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let octal = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                result.push(char::from(byte));
                result.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                result.push('\\');
                result.push_str(part);
            }
        }
    }
    result
}
