//! PID 1 of the machine.

use super::MODULES;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a system of the bare kernel, runs `main`, and switches the machine off when it has ended.
pub(crate) fn run(main: &mut Command) -> ! {
    mount_all();
    // As every machine has one; the kernel's own is `(none)`.
    nix::unistd::sethostname("machine").expect("PID 1 of a machine may name it");
    let modules = std::env::var(MODULES).unwrap_or_default();
    modules.split(',').filter(|name| !name.is_empty()).for_each(load);
    match main.env("TMPDIR", "/run").spawn() {
        Ok(child) => reap_until_it_ends(Pid::from_raw(i32::try_from(child.id()).expect("a pid"))),
        Err(error) => println!("the machine's program does not start: {error}"),
    }
    let Err(errno) = reboot(RebootMode::RB_POWER_OFF);
    panic!("the machine cannot be switched off: {errno}")
}

fn mount_all() {
    let nothing = MsFlags::empty();
    let list = [
        // First of all: until here /proc is the host's.
        ("proc", "/proc", ""),
        ("sysfs", "/sys", ""),
        ("cgroup2", "/sys/fs/cgroup", ""),
        // The one place to write to. Not /tmp: the programs that are tested may be there.
        ("tmpfs", "/run", "mode=755"),
    ];
    for (kind, at, options) in list {
        let result = mount(Some(kind), at, Some(kind), nothing, Some(options));
        result.unwrap_or_else(|errno| println!("the machine's {at}: {errno}"));
    }
    // /dev is the kernel's own devtmpfs.
    for (kind, at) in [("devpts", "/dev/pts"), ("tmpfs", "/dev/shm")] {
        let made = fs::create_dir_all(at).is_ok();
        let mounted = mount(Some(kind), at, Some(kind), nothing, None::<&str>);
        assert!(made && mounted.is_ok(), "the machine's {at}");
    }
}

fn reap_until_it_ends(main: Pid) {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) if pid == main => return,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return println!("PID 1 of the machine cannot wait: {errno}"),
        }
    }
}

/// Loads a module and before it what it needs, which `modules.dep` lists. Source: modules.dep(5).
fn load(name: &str) {
    let Some(folder) = modules_folder() else { return println!("the machine has no modules") };
    let table = fs::read_to_string(folder.join("modules.dep")).unwrap_or_default();
    let of = |path: &str| Path::new(path).file_stem().is_some_and(|stem| stem == name);
    let Some((module, needs)) = table.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| of(path)) else {
        return println!("the machine has no module {name}");
    };
    for path in needs.split_ascii_whitespace().rev().chain([module]) {
        let loaded = fs::File::open(folder.join(path)).map(|file| finit_module(file, c"", ModuleInitFlags::empty()));
        match loaded {
            Ok(Ok(()) | Err(nix::errno::Errno::EEXIST)) => {}
            other => println!("the machine's module {path}: {other:?}"),
        }
    }
}

fn modules_folder() -> Option<PathBuf> {
    let release = nix::sys::utsname::uname().ok()?;
    Some(Path::new("/usr/lib/uml/modules").join(release.release())).filter(|folder| folder.is_dir())
}
