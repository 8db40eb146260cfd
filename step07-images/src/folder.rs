//! Open folders and what is in them.

use crate::error::{Doing, Error};
use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag};
use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// For a folder that is no link.
pub(crate) const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The names in a folder, sorted; messages call it `shown`.
pub(crate) fn names(folder: BorrowedFd<'_>, shown: &Path) -> Result<Vec<CString>, Error> {
    let again = openat(folder, c".", FOLDER, Mode::empty()).doing("open", shown)?;
    let mut dir = Dir::from_fd(again).doing("read", shown)?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let name = entry.doing("read", shown)?.file_name().to_owned();
        if ![c".", c".."].contains(&name.as_c_str()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// A path below another, without a slash in front.
pub(crate) fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder {
        b"" | b"." => name.to_vec(),
        _ => [folder, b"/", name].concat(),
    }
}

/// The file type of a stat.
pub(crate) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}
