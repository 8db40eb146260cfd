//! Where the commands of the pages run: a folder and a `/var/lib` of their own, and the programs as they are now.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::Host;

/// The folder where cargo puts the programs: two above this test.
pub(crate) fn programs() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(2).unwrap().to_owned()
}

/// The steps and `tara` as they are now. As a user who does not own the target folder (.ci/as-student): as they were built.
pub(crate) fn build_programs() {
    let folder = programs();
    if folder.metadata().unwrap().uid() != nix::unistd::geteuid().as_raw() {
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--workspace", "--bins"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build.status();
    assert!(built.is_ok_and(|status| status.success()), "the programs that the book shows cannot be built");
}

pub(crate) fn shell(host: &Host, work: &Path, first: Option<&Path>) -> Command {
    let mut shell = host.command("bash");
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let first = first.map_or(String::new(), |first| format!("{}:", first.display()));
    shell.current_dir(work).env("PATH", format!("{first}{}:{usual}", programs().display()));
    shell.env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1").env("COLUMNS", "100");
    shell
}

/// A `/var/lib` of the test's own: that is where `tara` keeps images and containers.
pub(crate) struct OwnState {
    /// Podman binds its folder on itself, also in the process that tidies up after a container.
    of_podman: PathBuf,
}

impl OwnState {
    pub(crate) fn mount(work: &Path) -> Self {
        const NONE: Option<&str> = None;
        mount(Some("state"), "/var/lib", Some("tmpfs"), MsFlags::empty(), NONE).unwrap();
        Self { of_podman: work.join("podman/overlay") }
    }
}

/// Whether a process called so is on the fake host.
fn is_running(names: &[&str]) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut all = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok());
    all.any(|name| names.contains(&name.trim()))
}

impl Drop for OwnState {
    fn drop(&mut self) {
        // An heir of `tara run --rm` is one of `tara`'s processes until all is removed.
        testkit::until("all have tidied up", || (!is_running(&["podman", "conmon", "tara"])).then_some(()));
        let check = Command::new(programs().join("tara")).args(["system", "check"]).output().unwrap();
        assert!(check.status.success(), "the page leaves: {}", String::from_utf8_lossy(&check.stdout));
        let _not_made = umount2(&self.of_podman, MntFlags::MNT_DETACH);
        umount2("/var/lib", MntFlags::MNT_DETACH).unwrap();
        // What programs make at their first start and keep for the next ones: folders, the network that is always there.
        for folder in ["tara", "step04-net-bridge", "runc", "mount", "libpod", "containers", "crun", "lock"] {
            let _not_made = std::fs::remove_dir_all(Path::new("/run").join(folder));
        }
        let network = "ip link delete tara0; nft delete table inet tara; nft delete table bridge tara";
        // On the real host, and only if nobody else has something in it.
        let parent = "rmdir /sys/fs/cgroup/{,*/}{tara,libpod_parent/{conmon,}}";
        let _not_made = Command::new("bash").args(["-c", &format!("{network}; {parent}")]).output();
    }
}
