//! What the labs' tests share: the program, the reference's sources, a folder for students.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test program uses some of it, and fails by panicking"
)]

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use testkit::{Host, Need};

pub const LAB: &str = env!("CARGO_BIN_EXE_lab");
pub const UML: Need = Need::Program("linux.uml", "user-mode-linux");
pub const MINUTES: Need = Need::Time(Duration::from_secs(1200));

/// `program` without what the runner of this test has told it.
pub fn outside(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TESTKIT_")) {
        command.env_remove(name);
    }
    command.env("RUST_BACKTRACE", "0");
    command
}

/// A file system of the test's own: below `/run`, where the fake host is at home, the fake hosts of the checks would cover it.
pub struct Own(&'static str);

impl Own {
    fn new(folder: &'static str) -> Self {
        mount(Some("own"), folder, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        Self(folder)
    }

    /// For the students' crates.
    pub fn students() -> Self {
        Self::new("/mnt")
    }

    /// For submissions and grades: cells have a `/mnt` of their own.
    pub fn class() -> Self {
        Self::new("/srv")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _what_fails_is_the_test = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

pub const STUDENT: &str = "/mnt/student";
pub const CLASS: &str = "/srv/class";
pub const GRADES: &str = "/srv/grades";

/// `lab` with a student's folder.
pub fn lab(host: &Host, arguments: &[&str]) -> Command {
    let mut command = outside(LAB);
    command.arg("--dir").arg(STUDENT).args(arguments).env("TMPDIR", host.folder("tmp"));
    command
}

pub fn run(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

pub fn ok(command: &mut Command) -> String {
    let (code, text) = run(command);
    assert_eq!(code, 0, "{text}");
    text
}

/// The workshop.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
