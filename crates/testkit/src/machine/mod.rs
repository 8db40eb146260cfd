//! A machine for tests: a Linux kernel that runs as a process (User-Mode Linux), without root and without KVM, in about 1.5 s.
//!
//! Its kernel is another one than the host's, so cgroup v2 with all its controllers, modules and block devices are there whatever
//! the host has. Its root is the host's, read-only (hostfs); its init is a program of the caller.
//!
//! A test says [`crate::Need::Machine`], and runs twice: on this host, and as `machine::NAME` in there (`tests.rs`). All of
//! the tests in there share one boot.
//!
//! | where | what runs |
//! |---|---|
//! | `cargo test` | the runner; parses result lines |
//! | a fake host, as for any test | [`Machine::command`]: the kernel; what it prints is passed on |
//! | the machine, PID 1 | `init.rs`: mounts, modules; reaps; switches off |
//! | the machine | `tests.rs`: each test in a fake host of its own, a result line for each |
//!
//! Source: Documentation/virt/uml/user_mode_linux_howto_v2.rst.

mod init;
pub(crate) mod tests;

use crate::Need;
use std::path::Path;
use std::process::Command;

/// The kernel that is a program.
pub const KERNEL: Need = Need::Program("linux.uml", "user-mode-linux");

/// What the machine is made of.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Memory in MiB.
    pub memory: u32,
    /// The size of the empty disk `/dev/ubda` in MiB.
    pub disk: u32,
    /// The kernel modules that are loaded, with what they need.
    pub modules: Vec<String>,
    /// Whether standard input is the console's.
    pub interactive: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self { memory: 256, disk: 64, modules: vec!["overlay".to_owned()], interactive: false }
    }
}

/// Kernel modules, in the words of `init`'s environment.
const MODULES: &str = "TESTKIT_MODULES";

impl Machine {
    /// The command that boots it. `home` is a folder for its memory and its disk, best on a tmpfs; `init` is PID 1 inside and
    /// gets `environment` (names without a dot). Standard output is the console; it ends when the machine is switched off.
    ///
    /// # Panics
    /// When the disk cannot be made; on a processor with AMX, when there is no C compiler.
    #[must_use]
    pub fn command(&self, home: &Path, init: &Path, environment: &[(&str, &str)]) -> Command {
        let disk = home.join("disk");
        let made = std::fs::File::create(&disk).and_then(|file| file.set_len(u64::from(self.disk) << 20));
        made.expect("the machine's disk");
        let mut command = Command::new("linux.uml");
        command.env("TMPDIR", home).env("HOME", home);
        // ro: the host's files. con0: no input, output to our standard output. quiet: errors of the kernel only.
        command.args(["rootfstype=hostfs", "rootflags=/", "ro", "con=null", "quiet"]);
        command.arg(if self.interactive { "con0=fd:0,fd:1" } else { "con0=null,fd:1" });
        command.arg(format!("mem={}M", self.memory));
        command.arg(format!("ubd0={}", disk.display()));
        command.arg(format!("uml_dir={}/", home.display()));
        command.arg(format!("init={}", init.display()));
        command.arg(format!("{MODULES}={}", self.modules.join(",")));
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        if has_amx() {
            command.env("LD_PRELOAD", register_shim(home));
        }
        command
    }
}

/// Boots a machine with a shell on this terminal, and waits for its end. `init` is a program whose `main` begins with
/// [`crate::main`].
///
/// # Errors
/// When the kernel does not start.
pub fn shell(init: &Path) -> std::io::Result<std::process::ExitStatus> {
    let home = std::env::temp_dir().join(format!("testkit-machine-{}", std::process::id()));
    std::fs::create_dir_all(&home)?;
    let machine = Machine { interactive: true, ..Machine::default() };
    let status = machine.command(&home, init, &[("TESTKIT_STAGE", "machine-shell")]).status();
    let _in_memory_anyway = std::fs::remove_dir_all(&home);
    status
}

/// PID 1 of such a machine.
pub(crate) fn be_shell() -> ! {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    init::run(
        Command::new("/bin/sh").arg("-i").env_clear().env("PATH", path).env("PS1", "machine# ").env("HOME", "/run"),
    )
}

fn has_amx() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" amx_tile"))
}

/// Builds `xstate.c`, which says why.
fn register_shim(home: &Path) -> std::path::PathBuf {
    let (source, library) = (home.join("xstate.c"), home.join("xstate.so"));
    std::fs::write(&source, include_str!("xstate.c")).expect("the shim's source");
    let built = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
    let built =
        built.expect("cc: this processor's registers are too many for User-Mode Linux 6.1, and a shim has to be built");
    assert!(built.status.success(), "cc: {}", String::from_utf8_lossy(&built.stderr));
    library
}
