//! Errors as the user sees them: what failed, during what, the kernel's words, what to do; and the exit code.

use anyhow::Error;
use nix::errno::Errno;
use std::{fmt, io};
use sys::failure::describe;

/// An error of the engine itself that has a remedy or an exit code of its own.
#[derive(Debug)]
pub struct Refusal {
    what: String,
    help: Option<String>,
    code: u8,
}

impl Refusal {
    /// What is refused, in one line. The exit code is 125, as docker's for errors of its own.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, code: 125 }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Another exit code.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

/// The whole report, lines that end in a newline.
#[must_use]
pub fn text(error: &Error) -> String {
    let mut causes = causes(error).into_iter();
    let mut report = format!("error: {}\n", causes.next().unwrap_or_default());
    let during: Vec<String> = causes.collect();
    if !during.is_empty() {
        report += &format!("  while: {}\n", during.join(": "));
    }
    if let Some(words) = kernel(error) {
        report += &format!("  kernel: {words}\n");
    }
    if let Some(help) = help(error) {
        report += &format!("  help: {help}\n");
    }
    report
}

/// What each link of the chain says, once: some errors end in the words of their source.
fn causes(error: &Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    for words in error.chain().map(words) {
        if !causes.last().is_some_and(|last| last.ends_with(&words)) {
            causes.push(words);
        }
    }
    causes
}

/// What one link of the chain says; the kernel's errno as everywhere: its sentence and its name.
fn words(cause: &(dyn std::error::Error + 'static)) -> String {
    errno(cause).map_or_else(|| cause.to_string(), describe)
}

fn errno(cause: &(dyn std::error::Error + 'static)) -> Option<Errno> {
    let of_io = || cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw);
    cause.downcast_ref::<Errno>().copied().or_else(of_io)
}

fn find<T: std::error::Error + 'static>(error: &Error) -> Option<&T> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn kernel(error: &Error) -> Option<String> {
    let mounting = || find::<step03_mount_overlay::Error>(error)?.kernel();
    let network = || find::<step04_net_bridge::Error>(error)?.kernel_words();
    mounting().or_else(network).map(str::to_owned)
}

fn help(error: &Error) -> Option<String> {
    let own = find::<Refusal>(error).and_then(|refusal| refusal.help.clone());
    let dockerfile = || find::<step07_images::build::Problem>(error)?.advice().map(str::to_owned);
    let own = own.or_else(dockerfile);
    let program = || find::<step01_chroot::Error>(error)?.help();
    let process = || find::<step02_pid_ns::Error>(error)?.help();
    let mounts = || find::<step03_mount_overlay::Error>(error)?.help();
    let network = || find::<step04_net_bridge::Error>(error)?.help();
    let user = || Some(find::<step06_capabilities::Error>(error)?.help());
    let share = || find::<step05_cgroups::Error>(error)?.help();
    let image = || find::<step07_images::Error>(error)?.help();
    let kernel = || error.chain().find_map(errno).and_then(help_for);
    let of_a_step = || {
        program()
            .or_else(process)
            .or_else(mounts)
            .or_else(network)
            .or_else(user)
            .or_else(share)
            .or_else(image)
            .map(str::to_owned)
    };
    let mismatch = || find::<step02_pid_ns::Error>(error).and_then(help_for_mount).map(str::to_owned);
    own.or_else(mismatch).or_else(of_a_step).or_else(|| kernel().map(str::to_owned))
}

/// The kernel has one errno for all that can be wrong with a mount; where everything was prepared, one thing is left.
fn help_for_mount(error: &step02_pid_ns::Error) -> Option<&'static str> {
    match error {
        step02_pid_ns::Error::ChildHalf { doing, errno: Errno::EINVAL | Errno::ENOTDIR, .. } if doing == "mount on" => {
            Some("a directory goes on a directory, a file on a file: see what the image has there")
        }
        _ => None,
    }
}

/// What to do about an error of the kernel on the engine's own files.
fn help_for(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::ENOSPC | Errno::EDQUOT => {
            Some("free some space, or put the state directory on a larger file system with `--root DIR`")
        }
        Errno::EROFS => Some("choose writable state directories with `--root DIR` and `--run-root DIR`"),
        _ => None,
    }
}

/// The exit code: 126 and 127 for a program that cannot be executed or is not there, 125 for the engine's own errors.
#[must_use]
pub fn exit_code(error: &Error) -> u8 {
    let program = find::<step01_chroot::Error>(error).map(step01_chroot::Error::exit_code);
    program.or_else(|| find::<Refusal>(error).map(|refusal| refusal.code)).unwrap_or(125)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_report_has_three_parts() {
        let error = Error::new(Refusal::new("no").help("do this").code(1));
        let error = Err::<(), _>(error).context("cannot start container `web`").expect_err("an error");
        assert_eq!(text(&error), "error: cannot start container `web`\n  while: no\n  help: do this\n");
        assert_eq!(exit_code(&error), 1);
    }
}
