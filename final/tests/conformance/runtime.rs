//! Which runtimes are asked, and how each is called.

use nix::mount::{MntFlags, umount2};
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::{Host, Need};

/// A comma-separated list of paths, or of `tara`, `runc` and `crun`.
const WANTED: &str = "TARA_CONFORMANCE_RUNTIME";
const TARA: &str = env!("CARGO_BIN_EXE_tara");

/// A runtime: a name for the tables, and the words before its options.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    /// `tara`, `runc`, `crun`, or the program's name.
    pub(crate) name: String,
    words: Vec<String>,
}

impl Runtime {
    /// The runtimes of the environment; else `tara oci` if there is such a command; else the two of Debian.
    pub(crate) fn wanted() -> Vec<Self> {
        if let Ok(list) = std::env::var(WANTED) {
            return list.split(',').map(Self::from_word).collect();
        }
        let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let has_oci = quiet(Command::new(TARA).args(["oci", "--version"])).is_ok_and(|status| status.success());
        let names: &[&str] = if has_oci { &["tara"] } else { &["runc", "crun"] };
        names.iter().map(|name| Self::from_word(name)).collect()
    }

    /// One of those, by the name that tests have.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::wanted().into_iter().find(|runtime| runtime.name == name)
    }

    fn from_word(word: &str) -> Self {
        if word == "tara" {
            return Self { name: word.into(), words: vec![TARA.into(), "oci".into()] };
        }
        let file = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or(word);
        let name = if file.starts_with("tara") { "tara" } else { file };
        // A link to tara by any other name than `tara-oci` is tara itself.
        let oci = if file == "tara" { Some("oci".to_owned()) } else { None };
        Self { name: name.into(), words: [word.to_owned()].into_iter().chain(oci).collect() }
    }

    /// `tara`'s own promises hold for `tara` only: which field an error names, what `features` says.
    pub(crate) fn is_tara(&self) -> bool {
        self.name == "tara"
    }

    /// What the tests of this runtime cannot do without.
    pub(crate) fn need(&self) -> Need {
        match self.words[0].as_str() {
            "runc" => Need::Program("runc", "runc"),
            "crun" => Need::Program("crun", "crun"),
            _ => Need::Root,
        }
    }

    /// crun does not start where cgroup v2 is mounted beside v1 and has a controller: the fake host does without.
    pub(crate) fn prepare(&self) {
        if self.name == "crun" {
            let _was_not_there = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
        }
    }

    /// A call of it, with its own state directory.
    pub(crate) fn command(&self, host: &Host) -> Command {
        let mut command = host.command(&self.words[0]);
        command.args(&self.words[1..]).arg("--root").arg(host.path("runtime-root"));
        command
    }
}
