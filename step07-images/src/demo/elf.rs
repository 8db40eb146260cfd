//! Which interpreter a program asks for: none, when it is static. Source: elf(5), "Program header (Phdr)".

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const INTERP: u64 = 3;

/// What kind of program a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Needs nothing but the kernel.
    Static,
    /// Needs this dynamic loader, and what the loader finds.
    Dynamic(PathBuf),
}

/// Looks at the headers of `path`; `None` when it is no ELF program of this machine.
pub(super) fn inspect(path: &Path) -> Option<Program> {
    let file = File::open(path).ok()?;
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).ok()?;
    if sys::arch::of_elf(&header)? != sys::arch::OCI_ARCHITECTURE {
        return None;
    }
    let fields = Fields { wide: header[4] == 2, big_endian: header[5] == 2 };
    let (table, size, count) = match fields.wide {
        true => (fields.word(&header, 32, 8)?, fields.word(&header, 54, 2)?, fields.word(&header, 56, 2)?),
        false => (fields.word(&header, 28, 4)?, fields.word(&header, 42, 2)?, fields.word(&header, 44, 2)?),
    };
    for number in 0..count {
        let mut entry = [0; 56];
        let entry = entry.get_mut(..usize::try_from(size).ok()?.min(56))?;
        file.read_exact_at(entry, table.checked_add(number * size)?).ok()?;
        if fields.word(entry, 0, 4)? == INTERP {
            return Some(Program::Dynamic(interpreter(&file, &fields, entry)?));
        }
    }
    Some(Program::Static)
}

fn interpreter(file: &File, fields: &Fields, entry: &[u8]) -> Option<PathBuf> {
    let (offset, size) = match fields.wide {
        true => (fields.word(entry, 8, 8)?, fields.word(entry, 32, 8)?),
        false => (fields.word(entry, 4, 4)?, fields.word(entry, 16, 4)?),
    };
    let mut name = vec![0; usize::try_from(size).ok().filter(|size| *size <= 4096)?];
    file.read_exact_at(&mut name, offset).ok()?;
    name.truncate(name.iter().position(|byte| *byte == 0)?);
    Some(OsString::from_vec(name).into())
}

struct Fields {
    wide: bool,
    big_endian: bool,
}

impl Fields {
    fn word(&self, bytes: &[u8], at: usize, size: usize) -> Option<u64> {
        let mut field = bytes.get(at..at + size)?.to_vec();
        if self.big_endian {
            field.reverse();
        }
        Some(field.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_no_program() {
        assert_eq!(inspect(Path::new("/etc/passwd")), None);
    }

    /// This test program is static by `.cargo/config.toml`; the host's `cargo` or `sh` need not be.
    #[test]
    fn this_program_is_what_it_was_linked_as() {
        let program = inspect(Path::new("/proc/self/exe")).unwrap();
        assert_eq!(program == Program::Static, cfg!(target_feature = "crt-static"));
    }
}
