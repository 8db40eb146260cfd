//! What runs: argv, environment, and where PATH says it may be.

use crate::Error;
use nix::errno::Errno;
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, access};
use std::ffi::{CStr, CString};
use sys::Failure;
use sys::exec::{CStringArray, Execute, execve};

/// Where programs are looked for when the environment has no PATH. Source: the default of docker and of OCI images.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program ready to be executed: nothing is allocated any more when its turn comes.
#[derive(Debug)]
pub struct Program {
    /// The paths to try, in order. They mean the file system of whoever executes: inside the new root.
    candidates: Vec<CString>,
    argv: CStringArray,
    envp: CStringArray,
}

impl Program {
    /// Prepares `command` (its first word is the program) with the environment `env` (`NAME=value`).
    ///
    /// A program without a slash is looked for in the PATH of `env`. The lookup itself happens in the child half, inside the
    /// new root, where volumes and links are what the program will see: outside it could only be guessed.
    ///
    /// # Errors
    /// [`Error::NoCommand`], [`Error::Nul`].
    pub fn new(command: &[String], env: &[String]) -> Result<Self, Error> {
        let name = command.first().filter(|name| !name.is_empty()).ok_or(Error::NoCommand)?;
        Ok(Self {
            candidates: c_strings(&candidates(name, env))?,
            argv: CStringArray::new(c_strings(command)?),
            envp: CStringArray::new(c_strings(env)?),
        })
    }

    /// As [`Program::new`], but the program is the file at `path`, whatever its first argument calls it.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub fn at(path: &str, command: &[String], env: &[String]) -> Result<Self, Error> {
        Ok(Self { candidates: c_strings(&[path.to_owned()])?, ..Self::new(command, env)? })
    }

    /// The name the program was asked by.
    #[must_use]
    pub fn name(&self) -> &CStr {
        self.argv.strings().first().map_or(c"", |name| name.as_c_str())
    }
}

impl Program {
    /// Looks whether there is something to execute, without doing it: for a process that will do it later, when nobody is there to
    /// hear why not. Child half.
    ///
    /// # Errors
    /// ENOENT, or EACCES for what is not executable.
    pub fn check(&self) -> Result<(), Failure<'_>> {
        let mut refusal = Failure { doing: "find", on: self.name().to_bytes(), errno: Errno::ENOENT };
        for path in &self.candidates {
            match access(path.as_c_str(), AccessFlags::X_OK) {
                Ok(()) if is_file(path) => return Ok(()),
                Ok(()) | Err(Errno::EACCES) => {
                    refusal = Failure { doing: "execute", on: path.to_bytes(), errno: Errno::EACCES }
                }
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

fn is_file(path: &CStr) -> bool {
    stat(path).is_ok_and(|found| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

impl Execute for Program {
    /// Tries the candidates as execvp(3) does: a missing one is passed over, a forbidden one is remembered.
    // ANCHOR: execute
    fn execute(&self) -> Failure<'_> {
        // ANCHOR: task2_execute
        let mut refusal = Failure { doing: "find", on: self.name().to_bytes(), errno: Errno::ENOENT };
        for path in &self.candidates {
            let errno = execve(path, &self.argv, &self.envp);
            let failure = Failure { doing: "execute", on: path.to_bytes(), errno };
            match errno {
                // execve also says ENOENT for a file that is there but whose interpreter (`#!`, ld.so) is not.
                Errno::ENOENT if access(path.as_c_str(), AccessFlags::F_OK).is_ok() => return failure,
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => refusal = failure,
                _ => return failure,
            }
        }
        refusal
        // ANCHOR_END: task2_execute
    }
    // ANCHOR_END: execute
}

fn candidates(name: &str, env: &[String]) -> Vec<String> {
    // ANCHOR: task2_candidates
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    // An empty entry means the working directory (environ(7)).
    let folder = |entry: &str| {
        if entry.is_empty() { ".".to_owned() } else { entry.to_owned() }
    };
    path.split(':').map(|entry| format!("{}/{name}", folder(entry).trim_end_matches('/'))).collect()
    // ANCHOR_END: task2_candidates
}

fn c_strings(strings: &[String]) -> Result<Vec<CString>, Error> {
    strings.iter().map(|text| CString::new(text.as_str()).map_err(|_| Error::Nul(text.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_the_container_decides_where_to_look() {
        let env = ["PATH=/a:/b/:".to_owned()];
        assert_eq!(candidates("ls", &env), ["/a/ls", "/b/ls", "./ls"]);
        assert_eq!(candidates("./ls", &env), ["./ls"]);
        assert_eq!(candidates("ls", &[])[0], "/usr/local/sbin/ls");
    }

    #[test]
    fn a_command_is_needed_and_has_no_nul() {
        assert!(matches!(Program::new(&[], &[]), Err(Error::NoCommand)));
        assert!(matches!(Program::new(&[String::new()], &[]), Err(Error::NoCommand)));
        assert!(matches!(Program::new(&["a\0b".to_owned()], &[]), Err(Error::Nul(_))));
    }
}
