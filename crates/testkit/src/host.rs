//! What a test's body gets: a folder of its own, root file systems, ways to run programs.

use crate::probe::{self, Facts};
use crate::runner::find_program;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tests' folder, on the fake host's own tmpfs.
pub(crate) const HOME: &str = "/run/testkit";

/// What this test's copies of the probe say.
fn probe_nonce() -> &'static str {
    static NONCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NONCE.get_or_init(crate::runner::nonce)
}

/// The fake host that a test runs on.
#[derive(Debug)]
pub struct Host {
    home: PathBuf,
}

/// How a program ended and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code, or 128 and the signal's number.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Says how it ended and what it complained about: read by whoever looks at a test that fails.
    fn tell(&self, command: &Command) {
        if self.code == 0 && self.stderr.is_empty() {
            return;
        }
        let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        eprintln!("  | $ {}: {}", words.join(" "), self.code);
        self.stderr.lines().for_each(|line| eprintln!("  | {line}"));
    }

    /// The standard output of a program that must have ended well.
    ///
    /// # Panics
    /// When the exit code is not 0.
    #[allow(clippy::must_use_candidate, reason = "that it ended well is often all a test wants")]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "exit code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr);
        self.stdout
    }

    /// What the probe printed.
    ///
    /// # Panics
    /// When the program failed or did not print facts.
    #[must_use]
    pub fn facts(self) -> Facts {
        let text = self.ok();
        let facts: Facts =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("the probe's output: {error}\n{text}"));
        assert_eq!(facts.nonce, probe_nonce(), "these facts are not the probe's");
        facts
    }
}

/// A file of the host that is covered by another as long as this lives.
#[derive(Debug)]
pub struct Replaced(PathBuf);

impl Drop for Replaced {
    fn drop(&mut self) {
        let _nothing_more_to_do = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        let home = PathBuf::from(HOME);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o755).create(&home).expect("the tests' folder");
        Self { home }
    }

    /// The name of the test that runs: one body can serve a table of tests.
    #[must_use]
    pub fn test_name(&self) -> String {
        std::env::var(crate::runner::NAME).unwrap_or_default()
    }

    /// A path in the test's folder: a tmpfs of the fake host, gone with it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Makes a folder in the test's folder.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder in the test's folder");
        path
    }

    /// Makes a root file system of the static busybox, with all its applets, an `/etc` and the empty folders of a root.
    ///
    /// # Panics
    /// When busybox is missing ([`crate::BUSYBOX`]) or a file cannot be written.
    #[must_use]
    pub fn busybox_root(&self, name: &str) -> PathBuf {
        let root = self.folder(name);
        if root.join("bin/sh").exists() {
            return root;
        }
        for folder in ["bin", "sbin", "usr/bin", "usr/sbin", "etc", "proc", "sys", "dev", "tmp", "root", "var", "home"]
        {
            fs::create_dir_all(root.join(folder)).expect("a folder of the root");
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("mode of /tmp");
        let busybox = find_program("busybox").expect("busybox: declare the need BUSYBOX");
        fs::copy(&busybox, root.join("bin/busybox")).expect("a copy of busybox");
        let applets = Command::new(&busybox).arg("--list").output().expect("busybox --list").stdout;
        for applet in String::from_utf8_lossy(&applets).lines().filter(|applet| *applet != "busybox") {
            symlink("busybox", root.join("bin").join(applet)).expect("an applet");
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
            .expect("etc/passwd");
        fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").expect("etc/group");
        root
    }

    /// Copies this test program into `root` as `/bin/probe`: `probe facts` there prints what it sees.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn add_probe(&self, root: &Path) {
        fs::create_dir_all(root.join("bin")).expect("bin");
        let mut program = fs::read("/proc/self/exe").expect("this program");
        probe::mark(&mut program, probe_nonce());
        fs::write(root.join("bin/probe"), program).expect("a copy of the probe");
        fs::set_permissions(root.join("bin/probe"), fs::Permissions::from_mode(0o755)).expect("the probe's mode");
    }

    /// Puts a file with `text` in the place of the host's `path` until the returned guard is dropped.
    ///
    /// # Panics
    /// When it cannot be mounted there.
    #[must_use]
    pub fn replace_file(&self, path: &str, text: &str) -> Replaced {
        let stand_in = self.path(&path.replace('/', "_"));
        fs::write(&stand_in, text).expect("the file's stand-in");
        if !Path::new(path).exists() {
            fs::write(path, "").expect("a file to cover");
        }
        mount(Some(&stand_in), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a bind mount over the file");
        Replaced(path.into())
    }

    /// The parent for this test's cgroups, as `--cgroup-parent` takes it: the one thing a test makes on the real host. It is not
    /// made yet, and has to be gone when the test ends.
    #[must_use]
    pub fn cgroup_parent(&self) -> String {
        format!("/{}", std::env::var(crate::cgroups::PARENT).unwrap_or_default())
    }

    /// Removes that parent, for a program that keeps it for its next container.
    pub fn remove_cgroup_parent(&self) {
        crate::cgroups::sweep(&std::env::var(crate::cgroups::PARENT).unwrap_or_default());
    }

    /// A command with an empty environment but for PATH, HOME and TMPDIR (in the test's folder).
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.folder("home"));
        command.env("TMPDIR", self.folder("tmp"));
        command
    }

    /// The same as an ordinary user (1000) with no groups; `program` is copied to where that user can reach it.
    ///
    /// # Panics
    /// When the program cannot be copied.
    #[must_use]
    pub fn command_as_user(&self, program: impl AsRef<Path>) -> Command {
        let program = program.as_ref();
        let name = program.file_name().and_then(|name| name.to_str()).expect("a program's name");
        let copy = self.folder("user-bin").join(name);
        if !copy.exists() {
            fs::copy(program, &copy).expect("a copy of the program");
        }
        let mut command = self.command(copy);
        let home = self.folder("home-of-user");
        std::os::unix::fs::chown(&home, Some(1000), Some(1000)).expect("owner of the user's home");
        command.env("HOME", &home).current_dir(&home).uid(1000).gid(1000);
        command
    }

    /// Runs `command` to its end, with no standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, command: &mut Command) -> Output {
        let output = command.stdin(std::process::Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let output = Output {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        output.tell(command);
        output
    }
}
