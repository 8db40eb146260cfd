//! Who the program runs as: `-u`, by the `/etc/passwd` and `/etc/group` of the image, which are not to be trusted.

use crate::Error;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Gid, Uid};
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use sys::failure::describe;
use sys::process::{set_gid, set_groups, set_uid};
use sys::{Failure, Whilst, fd};

/// A user inside: numbers only, as the kernel knows users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: Uid,
    /// The primary group's number.
    pub gid: Gid,
    /// The supplementary groups.
    pub groups: Vec<Gid>,
    /// The home directory; `/` for a user that `/etc/passwd` does not name.
    pub home: String,
}

impl User {
    /// Finds `spec` (`USER[:GROUP]`, each a name or a number; empty means root) in the files below `root`.
    ///
    /// # Errors
    /// [`Error`]. A missing file is an empty one.
    pub fn lookup(root: BorrowedFd<'_>, spec: &str) -> Result<Self, Error> {
        let passwd = read(root, "/etc/passwd", c"/etc/passwd")?;
        let (user, group) = spec.split_once(':').unwrap_or((spec, ""));
        let mut found = find_user(&passwd, if user.is_empty() { "0" } else { user })?;
        if group.is_empty() {
            found.user.groups = groups_of(&read(root, "/etc/group", c"/etc/group")?, &found.name);
        } else {
            found.user.gid = find_group(&read(root, "/etc/group", c"/etc/group")?, group)?;
        }
        // Or a set-group-ID program would be the way to get rid of it, where a group is denied something (CVE-2022-36109).
        let own = found.user.gid;
        found.user.groups.retain(|gid| *gid != own);
        found.user.groups.insert(0, own);
        Ok(found.user)
    }

    /// Adds supplementary groups, each a name of the image's `/etc/group` or a number (`--group-add`).
    ///
    /// # Errors
    /// As [`User::lookup`].
    pub fn add_groups<S: AsRef<str>>(&mut self, root: BorrowedFd<'_>, groups: &[S]) -> Result<(), Error> {
        if groups.is_empty() {
            return Ok(());
        }
        let known = read(root, "/etc/group", c"/etc/group")?;
        for group in groups {
            let gid = find_group(&known, group.as_ref())?;
            if !self.groups.contains(&gid) {
                self.groups.push(gid);
            }
        }
        Ok(())
    }

    /// Becomes the user, for good. Child half; the groups first, while it is still allowed.
    ///
    /// `may_set_groups` is false in a user namespace with a map of a single user, where the kernel forbids it.
    ///
    /// # Errors
    /// EINVAL for a number that the user namespace does not have; EPERM. Source: credentials(7).
    // ANCHOR: enter
    pub fn enter(&self, may_set_groups: bool) -> Result<(), Failure<'static>> {
        // What the kernel forbids to set is not asked for, where it would change nothing.
        if may_set_groups || self.groups.iter().any(|group| *group != self.gid) {
            set_groups(&self.groups).whilst("set the supplementary groups", c"")?;
        }
        // Real, effective and saved: a saved 0 would be a way back.
        set_gid(self.gid).whilst("set the group", c"")?;
        set_uid(self.uid).whilst("set the user", c"")
    }
    // ANCHOR_END: enter
}

struct Found {
    user: User,
    name: String,
}

fn find_user(passwd: &str, wanted: &str) -> Result<Found, Error> {
    let number = number(wanted)?;
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else {
            return None;
        };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        (name == wanted || number == Some(uid)).then(|| Found {
            user: User { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups: Vec::new(), home: home.to_owned() },
            name: name.to_owned(),
        })
    });
    let unknown = |uid| Found {
        user: User { uid: Uid::from_raw(uid), gid: Gid::from_raw(0), groups: Vec::new(), home: "/".to_owned() },
        name: String::new(),
    };
    found.or_else(|| number.map(unknown)).ok_or_else(|| Error::NoSuchUser(wanted.to_owned()))
}

fn find_group(group: &str, wanted: &str) -> Result<Gid, Error> {
    if let Some(number) = number(wanted)? {
        return Ok(Gid::from_raw(number));
    }
    let found = entries(group).find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
    found.ok_or_else(|| Error::NoSuchGroup(wanted.to_owned()))
}

fn groups_of(group: &str, user: &str) -> Vec<Gid> {
    if user.is_empty() {
        return Vec::new();
    }
    entries(group)
        .filter(|(.., members)| members.split(',').any(|member| member == user))
        .map(|(_, gid, _)| gid)
        .collect()
}

/// The lines of /etc/group: name, number, members. Source: group(5).
fn entries(group: &str) -> impl Iterator<Item = (&str, Gid, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.splitn(4, ':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some((name, Gid::from_raw(gid), fields.next().unwrap_or_default()))
    })
}

/// A number in plain decimal form; `None` for a name. What looks like a number and is none is refused: `+0`, `0x0` and the like
/// mean different users to different programs.
fn number(text: &str) -> Result<Option<u32>, Error> {
    let begins_a_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '+' || first == '-');
    if !begins_a_number {
        return Ok(None);
    }
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    match text.parse::<u32>() {
        Ok(number) if decimal && number < 1 << 31 => Ok(Some(number)),
        _ => Err(Error::Malformed(text.to_owned())),
    }
}

/// Reads a file of the image: below the root, a regular file, and not more than it should be.
fn read(root: BorrowedFd<'_>, file: &'static str, path: &CStr) -> Result<String, Error> {
    const LIMIT: u64 = 4 << 20;
    let unreadable = |why| Error::Unreadable { file, why };
    // O_NONBLOCK: opening a fifo would wait for a writer that never comes.
    let opened =
        match fd::open_in_root(root, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(String::new()),
            result => result.map_err(|errno| unreadable(describe(errno)))?,
        };
    let kind = fstat(&opened).map_err(|errno| unreadable(describe(errno)))?.st_mode;
    if SFlag::from_bits_truncate(kind) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(unreadable("it is not a regular file".to_owned()));
    }
    let mut text = Vec::new();
    let read = File::from(opened).take(LIMIT + 1).read_to_end(&mut text);
    read.map_err(|error: io::Error| unreadable(error.to_string()))?;
    if text.len() as u64 > LIMIT {
        return Err(unreadable("it is larger than 4 MiB".to_owned()));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\nann:x:1000:\nwheel:x:10:root,ann\naudio:x:63:ann\n";

    fn root_with(passwd: &str, group: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        fs::write(root.path().join("etc/group"), group).unwrap();
        root
    }

    fn lookup(root: &Path, spec: &str) -> Result<User, Error> {
        User::lookup(File::open(root).unwrap().as_fd(), spec)
    }

    fn numbers(user: &User) -> (u32, u32, Vec<u32>, &str) {
        (user.uid.as_raw(), user.gid.as_raw(), user.groups.iter().map(|gid| gid.as_raw()).collect(), &user.home)
    }

    #[test]
    fn a_user_is_a_name_or_a_number_with_or_without_a_group() {
        let root = root_with(PASSWD, GROUP);
        let cases = [
            ("", (0, 0, vec![0, 10], "/root")),
            ("ann", (1000, 1000, vec![1000, 10, 63], "/home/ann")),
            ("1000", (1000, 1000, vec![1000, 10, 63], "/home/ann")),
            ("ann:wheel", (1000, 10, vec![10], "/home/ann")),
            ("7:8", (7, 8, vec![8], "/")),
            ("7", (7, 0, vec![0], "/")),
            (":audio", (0, 63, vec![63], "/root")),
        ];
        for (spec, expected) in cases {
            assert_eq!(numbers(&lookup(root.path(), spec).unwrap()), expected, "{spec}");
        }
    }

    #[test]
    fn only_plain_decimal_numbers_are_numbers() {
        let root = root_with(PASSWD, GROUP);
        for spec in ["+0", "-1", "00", "0x0", "1e3", "2147483648", "99999999999", "0:01"] {
            assert!(matches!(lookup(root.path(), spec), Err(Error::Malformed(_))), "{spec}");
        }
        assert!(matches!(lookup(root.path(), "bob"), Err(Error::NoSuchUser(_))));
        assert!(matches!(lookup(root.path(), "ann:no"), Err(Error::NoSuchGroup(_))));
    }

    #[test]
    fn missing_files_are_empty_and_links_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(lookup(root.path(), "5").unwrap().uid.as_raw(), 5);
        symlink("/etc", root.path().join("etc")).unwrap();
        assert!(matches!(lookup(root.path(), "root"), Err(Error::NoSuchUser(_) | Error::Unreadable { .. })));
    }

    #[test]
    fn a_fifo_does_not_hang_it_and_a_huge_file_is_refused() {
        let root = root_with(PASSWD, GROUP);
        let passwd = root.path().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        nix::unistd::mkfifo(&passwd, Mode::S_IRWXU).unwrap();
        assert!(matches!(lookup(root.path(), "ann"), Err(Error::Unreadable { .. })));
        fs::remove_file(&passwd).unwrap();
        File::create(&passwd).unwrap().set_len(5 << 20).unwrap();
        assert!(matches!(lookup(root.path(), "ann"), Err(Error::Unreadable { .. })));
    }
}
