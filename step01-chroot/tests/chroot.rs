//! What a chroot does, and what it does not do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use testkit::{BUSYBOX, Host, Need, Output};

testkit::suite! {
    the_directory_becomes_the_root: [Need::Root],
    the_exit_status_is_passed_on: [BUSYBOX],
    a_signal_becomes_128_and_its_number: [BUSYBOX],
    only_the_kind_of_terminal_is_inherited: [Need::Root],
    path_is_looked_up_inside: [BUSYBOX],
    a_missing_root_is_named: [],
    a_file_as_root_is_named: [BUSYBOX],
    a_missing_program_is_127: [BUSYBOX],
    a_missing_interpreter_is_told_from_a_missing_program: [BUSYBOX],
    a_file_without_execute_permission_is_126: [BUSYBOX],
    a_program_of_another_architecture_is_126: [BUSYBOX],
    a_text_file_is_no_program: [BUSYBOX],
    a_double_chroot_gets_out: [Need::Root],
    the_hosts_processes_are_in_sight: [Need::Root],
}

fn step(host: &Host, root: &Path, command: &[&str]) -> Output {
    host.run(host.command(env!("CARGO_BIN_EXE_step01-chroot")).env("TERM", "vt100").arg(root).args(command))
}

fn root_with_probe(host: &Host) -> std::path::PathBuf {
    let root = host.folder("rootfs");
    fs::create_dir_all(root.join("proc")).unwrap();
    host.add_probe(&root);
    root
}

fn the_directory_becomes_the_root(host: &Host) {
    let facts = step(host, &root_with_probe(host), &["probe", "facts"]).facts();
    assert_eq!(facts.root, ["bin", "proc"]);
    assert_eq!(facts.cwd, "/");
}

fn the_exit_status_is_passed_on(host: &Host) {
    let root = host.busybox_root("rootfs");
    assert_eq!(step(host, &root, &["sh", "-c", "exit 7"]).code, 7);
    assert_eq!(step(host, &root, &["true"]).code, 0);
}

fn a_signal_becomes_128_and_its_number(host: &Host) {
    assert_eq!(step(host, &host.busybox_root("rootfs"), &["sh", "-c", "kill -TERM $$"]).code, 143);
}

fn only_the_kind_of_terminal_is_inherited(host: &Host) {
    let root = root_with_probe(host);
    let mut command = host.command(env!("CARGO_BIN_EXE_step01-chroot"));
    let output = host.run(command.env("TERM", "vt100").env("SECRET", "1").arg(&root).args(["probe", "facts"]));
    let names: Vec<String> = output.facts().environment.into_keys().collect();
    assert_eq!(names, ["HOME", "PATH", "TERM"]);
}

fn path_is_looked_up_inside(host: &Host) {
    let root = host.busybox_root("rootfs");
    fs::create_dir_all(root.join("usr/local/bin")).unwrap();
    fs::write(root.join("usr/local/bin/only-inside"), "#!/bin/sh\necho found\n").unwrap();
    make_executable(&root.join("usr/local/bin/only-inside"));
    assert_eq!(step(host, &root, &["only-inside"]).ok(), "found\n");
}

fn a_missing_root_is_named(host: &Host) {
    let output = step(host, Path::new("/no/such/root"), &["true"]);
    assert_eq!((output.code, first_line(&output)), (125, "error: root file system `/no/such/root` does not exist"));
}

fn a_file_as_root_is_named(host: &Host) {
    let file = host.busybox_root("rootfs").join("bin/busybox");
    let output = step(host, &file, &["true"]);
    assert_eq!(output.code, 125);
    assert!(first_line(&output).ends_with("cannot be opened: not a directory (ENOTDIR)"), "{}", output.stderr);
}

fn a_missing_program_is_127(host: &Host) {
    let output = step(host, &host.busybox_root("rootfs"), &["no-such-program"]);
    let message = "error: program `no-such-program` was not found in the root file system";
    assert_eq!((output.code, first_line(&output)), (127, message));
}

fn a_missing_interpreter_is_told_from_a_missing_program(host: &Host) {
    let root = host.busybox_root("rootfs");
    fs::write(root.join("script"), "#!/no/such/shell\n").unwrap();
    make_executable(&root.join("script"));
    let output = step(host, &root, &["/script"]);
    let message = "error: program `/script` is there, but the interpreter that it names is not";
    assert_eq!((output.code, first_line(&output)), (127, message));
}

fn a_file_without_execute_permission_is_126(host: &Host) {
    let root = host.busybox_root("rootfs");
    fs::write(root.join("plain"), "#!/bin/sh\n").unwrap();
    let output = step(host, &root, &["/plain"]);
    let message = "error: program `/plain` cannot be executed: permission denied (EACCES)";
    assert_eq!((output.code, first_line(&output)), (126, message));
}

fn a_program_of_another_architecture_is_126(host: &Host) {
    let root = host.busybox_root("rootfs");
    let mut program = fs::read(root.join("bin/busybox")).unwrap();
    program[18..20].copy_from_slice(&22u16.to_le_bytes());
    fs::write(root.join("foreign"), program).unwrap();
    make_executable(&root.join("foreign"));
    let output = step(host, &root, &["/foreign"]);
    assert_eq!(output.code, 126);
    assert!(first_line(&output).starts_with("error: program `/foreign` is for s390x, and this machine is "));
}

fn a_text_file_is_no_program(host: &Host) {
    let root = host.busybox_root("rootfs");
    fs::write(root.join("text"), "echo no\n").unwrap();
    make_executable(&root.join("text"));
    let output = step(host, &root, &["/text"]);
    let message = "error: program `/text` is neither an ELF program nor a script that begins with `#!`";
    assert_eq!((output.code, first_line(&output)), (126, message));
}

/// The attack that this step does not stop; step 3 does.
fn a_double_chroot_gets_out(host: &Host) {
    fs::write(host.path("canary"), "outside\n").unwrap();
    let canary = host.path("canary");
    let output = step(host, &root_with_probe(host), &["probe", "double-chroot", canary.to_str().unwrap()]);
    assert_eq!(output.ok(), "outside\n");
}

/// What this step leaves in sight; step 2 takes it away.
fn the_hosts_processes_are_in_sight(host: &Host) {
    let root = root_with_probe(host);
    let proc = root.join("proc");
    nix::mount::mount(Some("/proc"), &proc, None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>).unwrap();
    let facts = step(host, &root, &["probe", "facts"]).facts();
    nix::mount::umount(&proc).unwrap();
    assert!(facts.pids.contains(&std::process::id()), "{:?}", facts.pids);
    let ours = fs::read_link("/proc/self/ns/pid").unwrap();
    assert_eq!(facts.namespaces["pid"], ours.to_str().unwrap());
}

fn make_executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn first_line(output: &Output) -> &str {
    output.stderr.lines().next().unwrap_or_default()
}
