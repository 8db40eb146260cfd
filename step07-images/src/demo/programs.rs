//! The demo image's programs: one static busybox with all its names, or the host's tools with the libraries they need.

use super::elf::{Program, inspect};
use super::files::Files;
use crate::error::Error;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a first look around a container needs, where there is no busybox.
#[rustfmt::skip]
const TOOLS: [&str; 44] = [
    "sh", "ls", "cat", "ps", "mount", "umount", "id", "uname", "hostname", "env", "sleep", "echo", "mkdir", "rm", "rmdir", "cp", "mv", "ln",
    "touch", "chmod", "chown", "mknod", "head", "tail", "wc", "sort", "grep", "sed", "cut", "tr", "true", "false", "test", "kill", "date", "df",
    "du", "dd", "pwd", "tty", "stat", "readlink", "ip", "free",
];

/// Adds the programs to `files`.
pub(super) fn add(files: &mut Files) -> Result<(), Error> {
    if let Some(busybox) = static_busybox() {
        return add_busybox(files, busybox);
    }
    add_tools(files);
    if files.has("bin/sh") { Ok(()) } else { Err(Error::Demo { missing: "static busybox and no shell to copy" }) }
}

fn static_busybox() -> Option<PathBuf> {
    let found = ["busybox", "busybox-static", "busybox.static"].into_iter().flat_map(in_path);
    found.into_iter().find(|path| inspect(path) == Some(Program::Static))
}

/// Every place of PATH where `program` is; the administrator's folders too, which an ordinary user's PATH lacks.
fn in_path(program: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).filter(|path| path.is_file()).collect()
}

fn add_busybox(files: &mut Files, busybox: PathBuf) -> Result<(), Error> {
    let output = Command::new(&busybox).arg("--list").env_clear().output();
    let output = output.map_err(|error| Error::io("run", &busybox, error))?;
    for applet in String::from_utf8_lossy(&output.stdout).lines() {
        if !applet.is_empty() && applet != "busybox" && !applet.contains('/') {
            files.link(&format!("bin/{applet}"), "busybox");
        }
    }
    files.program("bin/busybox", busybox);
    Ok(())
}

/// Copies the tools that this machine has. Several names of one file (Alpine's busybox) stay one file.
fn add_tools(files: &mut Files) {
    let mut copied: HashMap<PathBuf, &str> = HashMap::new();
    for tool in TOOLS {
        let real = in_path(tool).into_iter().find_map(|path| {
            let real = path.canonicalize().ok()?;
            Some((inspect(&real)?, real))
        });
        let Some((program, real)) = real else { continue };
        if let Some(first) = copied.get(&real) {
            files.link(&format!("bin/{tool}"), first);
            continue;
        }
        if let Program::Dynamic(loader) = program {
            add_libraries(files, &loader, &real);
        }
        files.program(&format!("bin/{tool}"), real.clone());
        copied.insert(real, tool);
    }
}

/// Copies the loader and the libraries of `program` to where the loader looks for them. The loader itself says which: glibc's
/// and musl's both understand `--list`.
fn add_libraries(files: &mut Files, loader: &Path, program: &Path) {
    let output = Command::new(loader).arg("--list").arg(program).env_clear().output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    let mentioned = text.lines().filter_map(library).chain(loader.to_str());
    for path in mentioned {
        files.program(path, path.into());
    }
}

/// The file in a line such as `libc.so.6 => /lib/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn library(line: &str) -> Option<&str> {
    let line = line.rsplit_once(" => ").map_or(line, |(_, path)| path).trim();
    let path = line.rsplit_once(" (").map_or(line, |(path, _)| path);
    (path.starts_with('/') && Path::new(path).is_file()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_list_names_files() {
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffe)"), None);
        assert_eq!(library("\tlibx.so.1 => not found"), None);
        assert_eq!(library("\tlibc.so.6 => /etc/passwd (0x00007f)"), Some("/etc/passwd"));
        assert_eq!(library("\t/etc/passwd (0x00007f)"), Some("/etc/passwd"));
    }
}
